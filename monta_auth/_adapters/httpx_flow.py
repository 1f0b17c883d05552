"""The auth flow of one request: a plain generator for each kind of client.

If a yielded request fails, the client closes the flow, which then gets `GeneratorExit`. Outside the
except clause, `sys.exception` shows what the client is raising.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Generator
from typing import Any, ClassVar, NoReturn, Protocol

from .._core.drivers import Done, Raised, aadvance, advance, resume
from .._core.effects import Send, Steps
from .._core.errors import ConfigurationError, Failure, MontaAuthError, TransportFailure
from .._core.loops import time_left
from .._core.origins import Origins
from .._core.policy import INFINITE, Spent
from .._core.replies import Reply
from .._core.secret import BearerHeader, empty_frames
from .._core.source import Source
from .auth import is_refused
from .httpx_library import Library
from .reasons import Maker


class FlowAuth(Protocol):
    """What a flow needs from its auth object."""

    _source: Source
    _origins: Origins
    _library: ClassVar[Library]
    _plain_http: tuple[str, ...]

    #: The client that makes the token calls of sync and of async clients; None: the one that sends
    #: the request.
    _sync_client: Any
    _async_client: Any
    _maker: Maker

    def _keep_here(self, client: Any) -> None: ...


def sync_flow(auth: FlowAuth, request: Any) -> Generator[Any, Any, None]:
    """Set the header and send; after a 401, renew the token and retry once."""
    url = str(request.url)
    if not auth._origins.allows(url):
        auth._origins.warn_about(url)
        yield request
        return
    if auth._plain_http:
        auth._keep_here(auth._sync_client)
        auth._plain_http = ()
    _check_sync(auth._library.module, request.stream)
    flow = _Flow(auth, request)
    ended: GeneratorExit | Failure
    try:
        sending = request
        while sending is not None:
            header = auth._source.fresh()
            if header is None:
                client = auth._sync_client
                flow.steps = flow.acquire(client)
                outcome: Any = None
                while not isinstance(step := advance(flow.steps, outcome), Done):
                    if client is not None:
                        outcome = auth._library.send(client, step, request, auth._maker)
                    else:
                        response = yield flow.token_call(step)
                        _check_sync(auth._library.module, response.stream)
                        outcome = auth._library.receive(response, flow.call)
                        flow.call = None
                header = step.value
            if header == flow.header and not flow.called:
                return  # no other token is available: the caller gets the 401
            sending.headers["Authorization"] = flow.header = header
            flow.called = False
            response = yield sending
            if response.status_code == 401:
                _check_sync(auth._library.module, response.stream)
            sending = flow.to_retry(response)
            if sending is not None:
                auth._library.drain(response)
        return
    except GeneratorExit as closed:
        ended = closed
    except (MontaAuthError, TransportFailure) as failure:
        ended = failure
    except BaseException as error:
        flow.abandon()
        empty_frames(error, flow.before)
        raise
    flow.end(ended)


async def async_flow(auth: FlowAuth, request: Any) -> AsyncGenerator[Any, Any]:
    """Do what `sync_flow` does. Await nothing after an exception: it may be a cancellation."""
    url = str(request.url)
    if not auth._origins.allows(url):
        auth._origins.warn_about(url)
        yield request
        return
    if auth._plain_http:
        auth._keep_here(auth._async_client)
        auth._plain_http = ()
    flow = _Flow(auth, request)
    ended: GeneratorExit | Failure
    try:
        sending = request
        while sending is not None:
            header = auth._source.fresh()
            if header is None:
                client = auth._async_client
                flow.steps = flow.acquire(client, time_left())
                outcome: Any = None
                while not isinstance(step := await aadvance(flow.steps, outcome), Done):
                    if client is not None:
                        outcome = await auth._library.asend(client, step, request, auth._maker)
                    else:
                        response = yield flow.token_call(step)
                        outcome = await auth._library.areceive(response, flow.call)
                        flow.call = None
                header = step.value
            if header == flow.header and not flow.called:
                return  # no other token is available: the caller gets the 401
            sending.headers["Authorization"] = flow.header = header
            flow.called = False
            response = yield sending
            sending = flow.to_retry(response)
            if sending is not None:
                await auth._library.adrain(response)
        return
    except GeneratorExit as closed:
        ended = closed
    except (MontaAuthError, TransportFailure) as failure:
        ended = failure
    except BaseException as error:
        flow.abandon()
        empty_frames(error, flow.before)
        raise
    flow.end(ended)


class _Flow:
    """The state of one flow, how it handles a 401, and how it ends.

    Attributes:
        header: the header of the request.
        called: whether the client made a token call since. The client returns the last response,
            so the request then has to be sent again.
        steps: the running renewal.
        call: the token call in progress.
        before: the exception that the caller handled when the request began.
    """

    header: BearerHeader | None = None
    called = False
    steps: Steps[BearerHeader] | None = None
    call: Any = None
    _is_retry = False
    _spent: Spent | None = None

    def __init__(self, auth: FlowAuth, request: Any) -> None:
        self._auth = auth
        self._library = auth._library
        self._request = request
        self._stream = request.stream
        self._rewind = auth._library.rewinder(request.stream)
        self._calls: list[Any] = []
        self.before = sys.exception()

    def acquire(self, client: Any, left: float | None = None) -> Steps[BearerHeader]:
        """Start to acquire a token.

        Args:
            left: seconds that are left for a task; None for a thread.
        """
        limit = self._request.extensions.get("timeout", {}).get("read") or INFINITE
        self._spent = self._spent or Spent()
        return self._auth._source.acquire(
            self._spent,
            blocking=left is None,
            limit=limit if left is None else min(limit, left),
            goes_on=client is not None,
        )

    def to_retry(self, response: Any) -> Any:
        """Return the request to retry, or None to return the response to the caller."""
        if response.status_code == 401 and not self._is_retry and self._is_refused(response):
            self._is_retry = True
            # After a redirect it may be another request, without the body.
            if self._is_repeatable(response.request.stream):
                return response.request
        if self._calls:
            _take_out(self._calls, response)
        return None

    def _is_refused(self, response: Any) -> bool:
        auth, status = self._auth, response.status_code
        return is_refused(auth._source, auth._origins, status, response.request, self.header)

    def _is_repeatable(self, stream: Any) -> bool:
        """Return whether it can be sent again: it is bytes or a stream that can be rewound."""
        if isinstance(stream, self._library.byte_stream):
            return True
        return stream is self._stream and self._rewind is not None and self._rewind()

    def token_call(self, effect: Send) -> Any:
        """Return the request for a token call that the client itself makes."""
        self.call = self._library.token_call(effect, self._request)
        self._calls.append(self.call)
        self.called = True
        return self.call

    def end(self, ended: GeneratorExit | Failure) -> NoReturn:
        """Raise the error for the caller. Call this outside any except clause."""
        if not isinstance(ended, GeneratorExit):
            self.abandon()
            raise self._library.failures.error(ended.with_traceback(None), self._request)
        # Its text may quote what the server echoed, so no frame of ours may keep it.
        cause = sys.exception()
        error = self._error_for(cause) or ended
        if self.call is not None and cause is not None:
            empty_frames(cause, self.before)
        del cause
        self.abandon()
        try:
            raise error
        finally:
            # The client's exception leads to the frames of the token call.
            error.__context__ = None

    def _error_for(self, cause: BaseException | None) -> Exception | None:
        """Return the error that replaces the client's exception, or None."""
        library, steps, call = self._library, self.steps, self.call
        if call is None:
            response = library.failures.response_of(cause)
            if response is not None:
                self._is_refused(response)  # an event hook raised for a 401 before we saw it
            return library.failures.too_many_redirects(cause) if self._calls else None
        failure = library.failures.of(cause, call)
        if failure is None:
            return None  # cancelled: one of the waiting callers renews instead
        assert steps is not None
        assert cause is not None
        error = failure
        try:
            # If a hook raised for the status, there is a response. But no token call can be made
            # from here: if the source asks for another one, the renewal has failed.
            outcome: Reply | Raised = library.outcome(cause, call)
            while not isinstance(resume(steps, outcome), Done):
                outcome = Raised(failure)
        except (MontaAuthError, TransportFailure) as raised:
            error = raised
        return library.failures.error(error, self._request)

    def abandon(self) -> None:
        """Stop the renewal if one is in progress."""
        if self.steps is not None:
            self.steps.close()


def _check_sync(module: Any, stream: object) -> None:
    """Raise a ConfigurationError if an async client drives a sync flow."""
    is_async = isinstance(stream, module.AsyncByteStream)
    if is_async and not isinstance(stream, module.SyncByteStream):
        raise ConfigurationError(
            "an async client drives the sync flow of MontaAuth: a wrapper needs an "
            "async_auth_flow, too, which goes through the async_auth_flow of MontaAuth"
        )


def _take_out(calls: list[Any], response: Any) -> None:
    """Remove token calls from the history of a response for the caller."""
    kept = [entry for entry in response.history if not any(entry.request is c for c in calls)]
    for entry in kept:
        _take_out(calls, entry)
    response.history = kept
