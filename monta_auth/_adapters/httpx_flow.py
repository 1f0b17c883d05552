"""An auth flow in the shape that httpx and httpx2 want, as objects and not as generators.

A library closes the flow when a request fails. A generator would see neither why nor get on from
there; an object can look at the exception that is under way. The common case, a token that is
ready, makes no generator at all.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any, NoReturn

from .._core.drivers import Done, Raised, aadvance, advance, resume
from .._core.effects import Send
from .._core.errors import MontaAuthError, TransportFailure
from .._core.secret import BearerHeader
from .httpx_library import as_it_is

if TYPE_CHECKING:
    from .httpx_auth import HttpxAuth


class _Deliver:
    """Effect: send the user's request; its response comes back."""

    __slots__ = ("request",)

    def __init__(self, request: Any) -> None:
        self.request = request


class _Drain:
    """Effect: read the response to its end, so that its connection is free again."""

    __slots__ = ("response",)

    def __init__(self, response: Any) -> None:
        self.response = response


class _Flow:
    """What the sync and the async flow of one request have in common: all but the driving."""

    __slots__ = (
        "_auth",
        "_calls",
        "_done",
        "_header",
        "_is_calling",
        "_replies",
        "_request",
        "_rewind",
        "_steps",
    )

    _blocking: bool

    def __init__(
        self, auth: HttpxAuth[Any, Any], request: Any, header: BearerHeader | None = None
    ) -> None:
        self._auth = auth
        self._request = request
        self._header = header
        self._steps: Generator[Any, Any, None] | None = None
        self._done = False

    def _start(self) -> bool:
        """Begin with a request that is not ready to go; False if it goes without a token."""
        auth, request = self._auth, self._request
        url = str(request.url)
        if not auth._origins.allows(url):
            auth._origins.warn_about(url)
            return False
        library = auth._library
        is_bytes = isinstance(request.stream, library.byte_stream)
        self._rewind = as_it_is if is_bytes else library.rewinder(request.stream)
        self._begin(self._first())
        return True

    def _begin(self, steps: Generator[Any, Any, None]) -> None:
        self._steps = steps
        self._calls: list[Any] = []
        self._replies: list[Any] = []
        self._is_calling = False

    def _first(self) -> Generator[Any, Any, None]:
        """The steps of a request for which no token is ready."""
        yield from self._authorize(self._request)
        response = yield _Deliver(self._request)
        yield from self._second(response)

    def _second(self, response: Any) -> Generator[Any, Any, None]:
        """The steps after the response to the user's request."""
        request = response.request
        if not self._is_refused(response):
            return
        # A redirect may have left the body behind.
        if not isinstance(request.stream, self._auth._library.byte_stream) and (
            self._rewind is None or not self._rewind()
        ):
            return
        yield _Drain(response)
        yield from self._authorize(request)
        yield _Deliver(request)

    def _authorize(self, request: Any) -> Generator[Any, Any, None]:
        self._header = yield from self._auth._source.acquire(blocking=self._blocking)
        request.headers["Authorization"] = self._header

    def _is_refused(self, response: Any) -> bool:
        request = response.request
        sent = request.headers.get("Authorization")
        return self._auth._source.refuse(
            response.status_code, str(request.url), sent, self._header, self._auth._origins
        )

    def hear(self, cause: BaseException | None) -> None:
        """Mark the token as refused if an event hook raised for a 401, before we saw that."""
        response = getattr(cause, "response", None)
        if isinstance(response, self._auth._library.module.Response):
            self._is_refused(response)

    def _token_call(self, effect: Send) -> Any:
        call = self._auth._library.token_call(effect, self._request)
        self._calls.append(call)
        self._is_calling = True
        return call

    def _outcome(self, result: Any) -> Any:
        """What the steps are sent for a response or, of a token call, for an exception."""
        if not self._is_calling:
            return result
        self._is_calling = False
        if not isinstance(result, Exception):
            self._replies.append(result)
        return self._auth._library.outcome(result, self._calls[-1])

    def _finish(self, response: Any) -> None:
        """Take the token calls out of the history before the user gets the response."""
        self._done = True
        if response is not None and self._calls:
            _without(self._calls, response, response.history)

    def _raise(self, failure: MontaAuthError | TransportFailure) -> NoReturn:
        self._done = True
        self._wipe()
        raise self._auth._library.error(failure, self._request)

    def _wipe(self) -> None:
        # The library's frames hold the replies as its history, and a traceback holds the frames.
        for reply in self._replies:
            self._auth._library.empty(reply)

    def _end(self, cause: BaseException | None) -> Exception | None:
        """End the flow because something was raised; return what to raise in its place."""
        self._done = True
        steps, library = self._steps, self._auth._library
        if steps is None:
            self.hear(cause)
            return None
        self._wipe()
        if not self._is_calling:
            self.hear(cause)
            steps.close()
            return library.too_many_redirects(cause) if self._calls else None
        call = self._calls[-1]
        failure = library.failure(cause, call)
        if failure is None:
            call.wipe()
            steps.close()  # cancelled: one of those who wait makes the next try
            return None
        error = failure
        try:
            # A hook that raised for the status leaves us a reply. The flow cannot go on to
            # another call from here: if it wants one, it failed.
            resume(steps, library.outcome(cause, call))
            resume(steps, Raised(failure))
        except (MontaAuthError, TransportFailure) as raised:
            error = raised
        steps.close()
        return library.error(error, self._request)


def _without(calls: list[Any], response: Any, history: list[Any]) -> None:
    kept = [entry for entry in history if not any(entry.request is call for call in calls)]
    for entry in kept:
        _without(calls, entry, entry.history)
    response.history = kept


class SyncFlow(_Flow, Generator[Any, Any, None]):
    """Drives the flow of one request for a sync client, when there is something to do.

    Args:
        refused: the 401 to begin with, where the request has been sent with `header`.
    """

    __slots__ = ("_refused",)
    _blocking = True

    def __init__(
        self,
        auth: HttpxAuth[Any, Any],
        request: Any,
        header: BearerHeader | None = None,
        refused: Any = None,
    ) -> None:
        super().__init__(auth, request, header)
        self._refused = refused

    def __next__(self) -> Any:
        if self._refused is not None:
            self._begin(self._second(self._refused))
            return self._pump(None, self._refused)
        return self._pump(None) if self._start() else self._request

    def send(self, response: Any) -> Any:
        if self._steps is None:
            self._done = True
            raise StopIteration
        return self._pump(self._read(response), response)

    def _read(self, response: Any) -> Any:
        if self._is_calling:
            try:
                response.read()
            except Exception as error:
                return self._outcome(error)
        return self._outcome(response)

    def _pump(self, outcome: Any, response: Any = None) -> Any:
        assert self._steps is not None
        try:
            while not isinstance(step := advance(self._steps, outcome), Done):
                if isinstance(step, _Deliver):
                    return step.request
                outcome = None
                if isinstance(step, _Drain):
                    try:
                        step.response.read()
                    except self._auth._library.module.HTTPError:
                        self._auth._library.empty(step.response)
                elif (client := self._auth._sync_client) is not None:
                    outcome = self._auth._library.send(client, step, self._request)
                else:
                    return self._token_call(step)
        except (MontaAuthError, TransportFailure) as error:
            failure = error
        else:
            self._finish(response)
            raise StopIteration
        self._raise(failure.with_traceback(None))

    def close(self) -> None:
        if not self._done and (error := self._end(sys.exc_info()[1])) is not None:
            try:
                raise error
            finally:
                error.__context__ = None

    def throw(self, typ: Any, val: Any = None, tb: Any = None) -> Any:
        error = typ() if isinstance(typ, type) else typ
        try:
            raise error if val is None else val
        finally:
            self.close()


class AsyncFlow(_Flow, AsyncGenerator[Any, Any]):
    """Drives the flow of one request for an async client."""

    __slots__ = ()
    _blocking = False

    async def __anext__(self) -> Any:
        request = self._request
        self._header = header = self._auth._ready_header(request)
        if header is not None:
            request.headers["Authorization"] = header
            return request
        return await self._pump(None) if self._start() else request

    async def asend(self, response: Any) -> Any:
        if response is None:
            return await anext(self)
        if self._steps is None:
            if response.status_code != 401 or self._header is None:
                self._done = True
                raise StopAsyncIteration
            self._rewind = as_it_is
            self._begin(self._second(response))
            return await self._pump(None, response)
        return await self._pump(await self._aread(response), response)

    async def _aread(self, response: Any) -> Any:
        if self._is_calling:
            try:
                await response.aread()
            except Exception as error:
                return self._outcome(error)
        return self._outcome(response)

    async def _pump(self, outcome: Any, response: Any = None) -> Any:
        assert self._steps is not None
        try:
            while not isinstance(step := await aadvance(self._steps, outcome), Done):
                if isinstance(step, _Deliver):
                    return step.request
                outcome = None
                if isinstance(step, _Drain):
                    try:
                        await step.response.aread()
                    except self._auth._library.module.HTTPError:
                        self._auth._library.empty(step.response)
                elif (client := self._auth._async_client) is not None:
                    outcome = await self._auth._library.asend(client, step, self._request)
                else:
                    return self._token_call(step)
        except (MontaAuthError, TransportFailure) as error:
            failure = error
        else:
            self._finish(response)
            raise StopAsyncIteration
        self._raise(failure.with_traceback(None))

    async def aclose(self) -> None:
        # Nothing is awaited here: a cancelled task would be cancelled again.
        if not self._done and (error := self._end(sys.exc_info()[1])) is not None:
            try:
                raise error
            finally:
                error.__context__ = None

    async def athrow(self, typ: Any, val: Any = None, tb: Any = None) -> Any:
        error = typ() if isinstance(typ, type) else typ
        try:
            raise error if val is None else val
        finally:
            await self.aclose()
