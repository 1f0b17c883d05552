"""The response hook that retries a refused request once.

It follows requests' own digest auth: rewind, drain, close, copy, send through the same adapter with
the same settings, history.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from http.client import HTTPException
from typing import Any

import requests
from requests.cookies import extract_cookies_to_jar
from requests.exceptions import UnrewindableBodyError
from requests.utils import rewind_body
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as SilenceError

from monta_auth._adapters.auth import is_refused
from monta_auth._adapters.bodies import Body
from monta_auth._core.origins import Origins
from monta_auth._core.policy import Spent
from monta_auth._core.secret import BearerHeader
from monta_auth._core.source import Source

#: Marks a retried request, so that its 401 is returned (requests-cache calls hooks twice). Copies
#: of the request, for example for a redirect, do not have the mark.
_RESENT = "_monta_auth_resent"


class Resend:
    """The response hook of an auth object, which retries a refused request once.

    A request shares it with its redirects. Responses are pickled (caches, process pools), but this
    hook leads to the secret, so it pickles to a hook that does nothing.

    Args:
        origins: the allowed origins.
        header: returns the header for the retry; its request is for errors.
        spent: what this request has spent on the token; None for the hook that requests share.
    """

    __slots__ = ("_header", "_origins", "_source", "_spent")

    def __init__(
        self,
        source: Source,
        origins: Origins,
        header: Callable[[requests.PreparedRequest, Spent], BearerHeader],
        spent: Spent | None = None,
    ) -> None:
        self._source = source
        self._origins = origins
        self._header = header
        self._spent = spent

    def __call__(self, response: requests.Response, **kwargs: Any) -> requests.Response:
        # A prepared request may be sent several times.
        spent, self._spent = self._spent or Spent(), None
        answer = self._answer(response, spent, kwargs)
        if 300 <= answer.status_code < 400 and spent.renewals:
            # The next hop continues with what is left.
            hooks = getattr(response.request, "hooks", {"response": []})["response"]
            again = Resend(self._source, self._origins, self._header, spent)
            hooks[:] = [again if hook is self else hook for hook in hooks]
        return answer

    def _answer(
        self, response: requests.Response, spent: Spent, kwargs: dict[str, Any]
    ) -> requests.Response:
        refused = response.request
        if response.status_code != 401 or hasattr(refused, _RESENT):
            return response
        connection = getattr(response, "connection", None)
        if connection is None:
            return response  # from a cache: it says nothing about the current token
        sent = refused.headers.get("Authorization")
        # Only the core makes such headers, so it is ours even in a copy of the request.
        ours = sent if isinstance(sent, BearerHeader) else None
        if not is_refused(self._source, self._origins, 401, refused, ours):
            return response
        again = refused.copy()
        if not _rewound(again):
            return response
        with suppress(requests.RequestException, OSError, ValueError, RuntimeError):
            read(response, Body)  # so that its connection can be reused
        response.close()
        header = self._header(refused, spent)
        if header == sent:
            return response  # no other token is available
        jar = again._cookies
        if jar is not None:
            extract_cookies_to_jar(jar, refused, response.raw)
            again.prepare_cookies(jar)
        again.headers["Authorization"] = header
        setattr(again, _RESENT, True)
        # The session builds redirects from the request that it knows; the history shows what was
        # sent.
        response.request = refused.copy()
        refused.headers["Authorization"] = header
        started = time.perf_counter()
        answer: requests.Response = connection.send(again, **kwargs)
        answer.elapsed = timedelta(seconds=time.perf_counter() - started)
        answer.history.append(response)
        answer.request = again
        return answer

    def __copy__(self) -> Resend:
        return self

    def __deepcopy__(self, memo: object) -> Resend:
        return self

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        return _no_hook, ()


def _no_hook() -> Callable[..., None]:
    return _leave


def _leave(response: requests.Response, **kwargs: Any) -> None:
    """Return the response unchanged: a hook that does nothing."""


def _rewound(request: requests.PreparedRequest) -> bool:
    """Rewind the body; return False if it cannot be sent a second time."""
    body: object = request.body
    if body is None or isinstance(body, bytes | str):
        return True
    try:
        rewind_body(request)
    except (UnrewindableBodyError, ValueError):  # ValueError: the file is closed
        return False
    return True


def content_of(response: requests.Response) -> bytes | None:
    """Return the body if it was read; `response.content` would read it from the network."""
    # There is no public way to know. A response without `raw` was made by hand.
    is_unread = response._content is False and response.raw is not None
    return None if is_unread else response.content or b""


def read(response: requests.Response, begin: Callable[[], Body]) -> bytes:
    """Read a response within limits, unless it was read before; requests has no limits."""
    content = content_of(response)
    if content is not None:
        return content
    body = begin()
    try:
        body.read_file(response.raw)
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
