"""Token calls, and how much of a response is read."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPException
from typing import Any

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
    body = AuthBody(effect.timeout)
    replies: list[Reply] = []

    def receive(response: requests.Response, **kwargs: Any) -> None:
        replies.append(Reply(response.status_code, response.headers, read(response, body)))

    # The first hook: it reads the response before another one raises for the status.
    prepared.hooks["response"].insert(0, receive)
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
        if replies:
            return replies[0]
        failure = transport_failure(error, effect, timeouts, hint)
    finally:
        prepared.body = b""
        body.clear()
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
    """Yield what is there.

    Older releases of urllib3 wait until they have as much as they were asked for, so that is
    little at first: a response that drips takes at most twice the time.
    """
    options = {"decode_content": False} if hasattr(raw, "stream") else {}
    take, size = (raw.read1, 1 << 16) if hasattr(raw, "read1") else (raw.read, 1)
    sock: Any = getattr(getattr(raw, "connection", None), "sock", None)
    silence = sock.gettimeout() if sock is not None else None
    while True:
        if silence is not None and isinstance(body, AuthBody):
            sock.settimeout(min(silence, max(body.left, 0.1)))
        chunk = take(size, **options)
        if not chunk:
            return
        yield chunk
        size = min(2 * size, 1 << 16)


def _no_auth(r: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep the session's own auth, netrc and Authorization header out of a token call."""
    r.headers.pop("Authorization", None)
    return r
