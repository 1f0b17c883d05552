"""Token calls, and how much of a response is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.client import HTTPException
from typing import Any, Self

import requests
from urllib3 import Timeout as Limits
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as SilenceError

from monta_auth._adapters.bodies import AuthBody, Body
from monta_auth._core.effects import Send
from monta_auth._core.errors import TransportFailure, is_from_signal_handler
from monta_auth._core.replies import Reply

from ._errors import transport_failure

Timeout = float | tuple[float | None, float | None] | None


def make_token_call(session: requests.Session, effect: Send, timeout: Timeout, hint: str) -> Reply:
    """Make a token call without the session's auth and redirects.

    Args:
        timeout: the caller's own.
        hint: for what TLS or a proxy makes fail.

    Raises:
        TransportFailure: no reply came.
    """
    call = effect.request
    request = requests.Request("POST", call.url, call.headers, data=call.body, auth=_no_auth)
    prepared = session.prepare_request(request)
    request.data = b""
    received = _Receive(AuthBody(effect.timeout))
    prepared.hooks["response"].insert(0, received)
    connect, silent = timeout if isinstance(timeout, tuple) else (timeout, timeout)
    timeouts = effect.within(connect, connect=True), effect.within(silent)
    limits: Any = Limits(effect.timeout, *timeouts)
    try:
        settings = session.merge_environment_settings(call.url, {}, False, None, None)
        response = session.send(prepared, timeout=limits, allow_redirects=False, **settings)
        return Reply(response.status_code, response.headers, response.content)
    except TransportFailure as error:
        failure = error.with_traceback(None)
    except Exception as error:
        if is_from_signal_handler(error):
            raise
        if received.reply is not None:
            return received.reply  # another hook raised, perhaps for the status
        failure = transport_failure(error, effect, timeouts, hint)
    finally:
        prepared.body = b""
    raise failure


def read(response: requests.Response, body: Body) -> bytes:
    """Read a response within limits, unless that was done before; requests would read it all."""
    if response._content is not False or response.raw is None:
        return response.content or b""
    try:
        body.read(_chunks(response.raw, body))
    except (HTTPError, HTTPException, OSError) as error:
        body.is_cut = True
        kind = requests.exceptions.ChunkedEncodingError
        raise (requests.ReadTimeout if isinstance(error, SilenceError) else kind)(error) from None
    finally:
        response._content, response._content_consumed = b"", True
        if body.is_cut:
            response.raw.close()
    response._content = body.decoded(response.headers)
    return response._content


def _chunks(raw: Any, body: Body) -> Iterator[bytes]:
    """Yield what is there. Only newer releases of urllib3 do not wait for a whole chunk."""
    options = {"decode_content": False} if hasattr(raw, "stream") else {}
    take = getattr(raw, "read1", raw.read)
    sock: Any = getattr(getattr(raw, "connection", None), "sock", None)
    silence = sock.gettimeout() if sock is not None else None
    while True:
        if silence is not None and isinstance(body, AuthBody):
            sock.settimeout(min(silence, max(body.left, 0.1)))
        chunk = take(1 << 16, **options)
        if not chunk:
            return
        yield chunk


def _no_auth(r: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep the session's own auth, netrc and Authorization header out of a token call."""
    r.headers.pop("Authorization", None)
    return r


class Hook:
    """A response hook: copies of a request share it, as redirects do.

    It pickles to a hook that does nothing, since responses are pickled (caches, process pools).
    """

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        return _no_hook, ()


class _Receive(Hook):
    """The first response hook of a token call: reads the response before anybody else does."""

    __slots__ = ("_body", "reply")

    def __init__(self, body: Body) -> None:
        self._body = body
        self.reply: Reply | None = None

    def __call__(self, response: requests.Response, **kwargs: Any) -> None:
        content = read(response, self._body)
        self.reply = Reply(response.status_code, response.headers, content)
        self._body.clear()


def _no_hook() -> Callable[..., None]:
    return _leave


def _leave(response: requests.Response, **kwargs: Any) -> None:
    """A hook that leaves the response as it is."""
