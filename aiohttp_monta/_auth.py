"""`MontaAuth` for aiohttp: it connects the library with the core, which decides."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Any, Self, TypeVar

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientSession
from yarl import URL

from monta_auth import RefreshPolicy, TokenSet, TokenSource
from monta_auth import retry_after as _retry_after
from monta_auth._adapters.auth import AsyncAuth, check_response, is_refused, wrong_library
from monta_auth._adapters.reasons import Maker
from monta_auth._core.application import Application, Ask, find_application
from monta_auth._core.arguments import wrong_argument
from monta_auth._core.credentials import ClientSecret
from monta_auth._core.effects import Send, Steps
from monta_auth._core.errors import Failure
from monta_auth._core.leader import OnToken
from monta_auth._core.policy import INFINITE, Spent
from monta_auth._core.replies import Reply
from monta_auth._core.secret import hidden_arguments
from monta_auth._core.store_protocol import Store

from ._calls import check_proxy, lent_by, make_call, make_token_call
from ._errors import library_error
from ._hops import Requests
from ._resend import can_repeat, content_of, drain, make_ready

T = TypeVar("T")


class MontaAuth(AsyncAuth):
    """Send a valid Monta token with each request: a middleware for a session or a request.

    Args:
        client_id: default: the environment variable ``MONTA_CLIENT_ID``.
        client_secret: a string, or a callable that returns it and is called for each fetch
            (``/auth/token``). Default: ``MONTA_CLIENT_SECRET``.
        base_url: URL of the API with ``/api/v1``. Default: ``MONTA_BASE_URL``, else `PUBLIC_API`.
        allowed_origins: more origins (URLs) that are allowed to receive the token.
        token: a token pair to start from; see `TokenSet`.
        store: where processes share the token pair; see `monta_auth.stores`. Needs the extra
            ``[file]``, ``[redis]`` or ``[store]``.
        on_token: called with each new token pair, once it is in use.
        policy: when to renew and how long to try; see `RefreshPolicy`.
        source: the `TokenSource` of another object, to share its token pair. It replaces all
            arguments above except `allowed_origins`.
        session: a ``ClientSession`` that makes the token calls, without its middlewares. Default:
            the session that sends the request, with that request's proxy and TLS arguments.

    Objects with equal base URL, credentials and policy share one token pair in this process. A
    pickle holds the settings, with literal credentials, but no token.

    Async clients run plain functions and stores in a separate thread. `client_secret` and
    `on_token` may be coroutine functions.

    A request that gets no token raises an error that is both a `MontaAuthError` and an
    ``aiohttp.ClientError``. If the network fails, it raises aiohttp's own
    ``ClientConnectionError`` or ``ServerTimeoutError``.

    Raises:
        ConfigurationError: the arguments cannot work.
    """

    def __init__(
        self,
        client_id: str | None = None,
        client_secret: ClientSecret | None = None,
        *,
        base_url: str | None = None,
        allowed_origins: Iterable[str] = (),
        token: TokenSet | None = None,
        store: Store | None = None,
        on_token: OnToken | None = None,
        policy: RefreshPolicy | None = None,
        source: TokenSource | None = None,
        session: ClientSession | None = None,
    ) -> None:
        client_id, client_secret, token = hidden_arguments(client_id, client_secret, token)
        super().__init__(
            client_id,
            client_secret,
            base_url=base_url,
            allowed_origins=allowed_origins,
            token=token,
            store=store,
            on_token=on_token,
            policy=policy,
            source=source,
        )
        if not isinstance(session, ClientSession | None):
            raise wrong_argument("session=", session, "an aiohttp.ClientSession")
        self._session = session

    _derived = (*AsyncAuth._derived, "_requests")

    def _connect(self) -> None:
        super()._connect()
        self._requests = Requests()

    if TYPE_CHECKING:

        async def __call__(
            self, request: ClientRequest, handler: ClientHandlerType
        ) -> ClientResponse: ...

    else:

        def __call__(
            self, request: ClientRequest, handler: ClientHandlerType | None = None
        ) -> Awaitable[ClientResponse]:
            """Handle a request. aiohttp calls this for each request and each redirect."""
            if handler is None:  # other libraries call it this way
                raise wrong_library(self, request)
            return self._hop(request, handler)

    async def _hop(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        hops = self._requests.hops_of(request)
        url = str(request.url)
        if not self._origins.allows(url):
            self._origins.warn_about(url)
            hops.was_foreign = True
        if hops.was_foreign:
            response = await handler(request)
        else:
            response = await self._send(request, handler, hops.spent)
        self._requests.keep(hops, response)
        return response

    async def _send(
        self, request: ClientRequest, handler: ClientHandlerType, spent: Spent
    ) -> ClientResponse:
        if request.proxy is not None:
            check_proxy(request.session, str(request.url.origin()), request.proxy)
        header = self._source.fresh() or await self._header(request, spent)
        request.headers["Authorization"] = header
        repeatable = can_repeat(request.body)
        try:
            response = await handler(request)
        except aiohttp.ClientResponseError as error:
            # An inner middleware raised for the status.
            self._is_refused(error.status, request, header)
            raise
        if response.status != 401 or not self._is_refused(401, request, header):
            return response
        if not (repeatable and can_repeat(request.body)):
            return response
        await drain(response)
        again = await self._header(request, spent)
        if again == header:
            return response  # no other token is available
        make_ready(request, response)
        request.headers["Authorization"] = again
        return await handler(request)

    async def token(self, session: ClientSession | None = None) -> TokenSet:
        """Return a usable token pair, renewing it if needed.

        Args:
            session: makes the token calls. Default: the ``session`` of this object, else a
                temporary one.

        Raises:
            MontaAuthError: there is no token. A network failure raises aiohttp's own exception.
        """
        by = self._checked_session(session, "token()")
        pair = self._source.fresh_pair()
        if pair is not None:
            return pair
        if by is not None:
            return await self._run(self._source.pair(blocking=False), by, "given")
        async with ClientSession() as by:
            return await self._run(self._source.pair(blocking=False), by, "defaults")

    async def bearer_token(self, session: ClientSession | None = None) -> str:
        """Return a usable access token as a string, for other clients.

        Args:
            session: as in `token`.
        """
        return str((await self.token(session)).access_token)

    async def atoken(self, session: ClientSession | None = None) -> TokenSet:
        """Do what `token` does; the name matches `httpx_monta`."""
        return await self.token(session)

    async def abearer_token(self, session: ClientSession | None = None) -> str:
        """Do what `bearer_token` does; the name matches `httpx_monta`."""
        return await self.bearer_token(session)

    async def aapplication(self, session: ClientSession | None = None) -> Application:
        """Do what `application` does; the name matches `httpx_monta`."""
        return await self.application(session)

    async def application(self, session: ClientSession | None = None) -> Application:
        """Ask the API whose credentials these are: scopes, rate limit, dates.

        Args:
            session: makes the call, with this as its only middleware. Default: as in `token`.
        """
        by = self._checked_session(session, "application()")
        if by is not None:
            return await self._application(by, self)
        async with ClientSession() as by:
            return await self._application(by, self._with_defaults(by))

    async def _application(self, by: ClientSession, auth: Self) -> Application:
        def ask(effect: Ask) -> Awaitable[Reply]:
            return make_call(by, effect, auth)

        return await self._adrive(find_application(self._source), ask)

    def _checked_session(self, session: object, verb: str) -> ClientSession | None:
        """Return the session for this method, or None if one has to be opened."""
        if not isinstance(session, ClientSession | None):
            raise wrong_argument(verb, session, "an aiohttp.ClientSession")
        return session if session is not None else self._session

    async def _header(self, request: ClientRequest, spent: Spent) -> str:
        own, by = self._session, self._session or request.session
        lent = lent_by(request, URL(self.source.base_url)) if own is None else {}
        given = (by.timeout.total, by.timeout.sock_read)
        limit = min(seconds or INFINITE for seconds in given)
        flow = self._source.acquire(spent, blocking=False, limit=limit)
        return await self._run(flow, by, "carrier" if own is None else self._maker, lent)

    async def _run(
        self,
        flow: Steps[T],
        session: ClientSession,
        maker: Maker,
        lent: dict[str, Any] | None = None,
    ) -> T:
        if not lent:
            check_proxy(session, self.source.base_url)

        def send(effect: Send) -> Awaitable[Reply]:
            return make_token_call(session, effect, lent or {}, maker)

        return await self._adrive(flow, send)

    def _with_defaults(self, session: ClientSession) -> Self:
        """Return a copy that makes its token calls with this session, which we opened."""
        twin = self.__copy__()
        twin._session = session
        twin._maker = "defaults"
        return twin

    def _library_error(self, failure: Failure, request: Any) -> Exception:
        return library_error(failure)

    def _is_refused(self, status: int, request: ClientRequest, header: str) -> bool:
        return is_refused(self._source, self._origins, status, request, header)


def retry_after(response: ClientResponse) -> float | None:
    """Return how many seconds to wait before you retry this request, or None.

    For requests that got a 429 or a 503. `monta_auth.retry_after` explains what it reads.
    Read the body first (``await response.read()``): the Public API states the wait only there.
    After ``raise_for_status()`` you can no longer read it.

    Raises:
        TypeError: the response is from another library.
    """
    check_response(response, ClientResponse)
    return _retry_after(response.status, response.headers, content_of(response))
