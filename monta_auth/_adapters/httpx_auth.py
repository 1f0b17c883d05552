"""The part of `MontaAuth` that httpx_monta and httpx2_monta share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, Self, TypeVar, cast, final

from .._core.application import Application, Ask, find_application
from .._core.arguments import wrong_argument
from .._core.credentials import ClientSecret
from .._core.drivers import Raised
from .._core.effects import Send
from .._core.errors import ConfigurationError, Failure
from .._core.leader import OnToken
from .._core.policy import RefreshPolicy
from .._core.proxies import keep_here
from .._core.replies import Reply
from .._core.secret import hidden_arguments
from .._core.store_protocol import Store
from .._core.tokens import TokenSet
from .auth import AsyncAuth, wrong_library
from .httpx_flow import async_flow, sync_flow
from .httpx_library import Library
from .proxies import client_carries_away
from .reasons import Maker
from .token_source import TokenSource

# Named like the library's classes, because help() and inspect.signature show these names.
Client = TypeVar("Client")
AsyncClient = TypeVar("AsyncClient")
Request = TypeVar("Request")
Response = TypeVar("Response")


class HttpxAuth(AsyncAuth, Generic[Client, AsyncClient, Request, Response]):
    """Base class of both `MontaAuth` classes, which document the arguments."""

    requires_request_body = False
    requires_response_body = False

    _library: ClassVar[Library]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        first = next(kind for kind in cls.__mro__ if "auth_flow" in vars(kind))
        if first is not HttpxAuth:
            raise TypeError(
                f"{cls.__name__} overrides auth_flow, which clients do not call: override "
                "sync_auth_flow and async_auth_flow"
            )

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
        client: Client | AsyncClient | None = None,
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
        module = self._library.module
        if not isinstance(client, module.Client | module.AsyncClient | None):
            takes = f"a {module.__name__}.Client or a {module.__name__}.AsyncClient"
            raise wrong_argument("client=", client, takes)
        self._sync_client: Any = client if isinstance(client, module.Client) else None
        self._async_client: Any = client if isinstance(client, module.AsyncClient) else None

    if not TYPE_CHECKING:  # pragma: no branch - checkers see the mistake themselves

        def __call__(self, request: object, *_: object) -> NoReturn:
            """Report that another library called this object."""
            raise wrong_library(self, request)

    def sync_auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Handle a request of a sync client. The library calls this."""
        return sync_flow(self, request)

    def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        """Handle a request of an async client. The library calls this."""
        return async_flow(self, request)

    @final
    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Do what `sync_auth_flow` does."""
        return self.sync_auth_flow(request)

    def token(self, client: Client | None = None) -> TokenSet:
        """Return a usable token pair, renewing it if needed.

        Args:
            client: makes the token calls. Default: the ``client`` of this object, else a temporary
                one.

        Raises:
            MontaAuthError: there is no token. A network failure raises the library's own exception.
        """
        by = self._checked_client(client, "token", is_async=False)
        pair = self._source.fresh_pair()
        if pair is not None:
            return pair
        if by is not None:
            return self._token(by, "given")
        with self._library.client(self._origins) as by:
            return self._token(by, "defaults")

    def _token(self, by: Any, maker: Maker) -> TokenSet:
        self._keep_here(by)

        def send(effect: Send) -> Reply:
            return _unwrap(self._library.send(by, effect, by, maker))

        return self._drive(self._source.pair(), send)

    async def atoken(self, client: AsyncClient | None = None) -> TokenSet:
        """Do what `token` does, in async code with an ``AsyncClient``."""
        by = self._checked_client(client, "token", is_async=True)
        pair = self._source.fresh_pair()
        if pair is not None:
            return pair
        if by is not None:
            return await self._atoken(by, "given")
        async with await self._library.async_client(self._origins) as by:
            return await self._atoken(by, "defaults")

    async def _atoken(self, by: Any, maker: Maker) -> TokenSet:
        self._keep_here(by)

        async def send(effect: Send) -> Reply:
            return _unwrap(await self._library.asend(by, effect, by, maker))

        return await self._adrive(self._source.pair(blocking=False), send)

    def bearer_token(self, client: Client | None = None) -> str:
        """Return a usable access token as a string, for other clients.

        Args:
            client: as in `token`.
        """
        return str(self.token(client).access_token)

    async def abearer_token(self, client: AsyncClient | None = None) -> str:
        """Do what `bearer_token` does, in async code with an ``AsyncClient``."""
        return str((await self.atoken(client)).access_token)

    def application(self, client: Client | None = None) -> Application:
        """Ask the API whose credentials these are: scopes, rate limit, dates.

        Args:
            client: makes the call. Default: as in `token`.
        """
        by = self._checked_client(client, "application", is_async=False)
        if by is not None:
            return self._application(by, self._trusting(self._sync_client))
        with self._library.client(self._origins) as by:
            return self._application(by, self._with_defaults(by))

    def _application(self, by: Any, auth: Self) -> Application:
        self._keep_here(by)

        def ask(effect: Ask) -> Reply:
            response = by.get(effect.url, headers=effect.headers, auth=auth, follow_redirects=False)
            return Reply(response.status_code, response.headers, response.content)

        return self._drive(find_application(self._source), ask)

    async def aapplication(self, client: AsyncClient | None = None) -> Application:
        """Do what `application` does, in async code with an ``AsyncClient``."""
        by = self._checked_client(client, "application", is_async=True)
        if by is not None:
            return await self._aapplication(by, self._trusting(self._async_client))
        async with await self._library.async_client(self._origins) as by:
            return await self._aapplication(by, self._with_defaults(by))

    async def _aapplication(self, by: Any, auth: Self) -> Application:
        self._keep_here(by)

        async def ask(effect: Ask) -> Reply:
            response = await by.get(
                effect.url, headers=effect.headers, auth=auth, follow_redirects=False
            )
            return Reply(response.status_code, response.headers, response.content)

        return await self._adrive(find_application(self._source), ask)

    def _checked_client(self, client: object, verb: str, *, is_async: bool) -> Any:
        """Return the client for this method, or None if one has to be opened."""
        if client is None:
            return self._async_client if is_async else self._sync_client
        module = self._library.module
        right, other = module.Client, module.AsyncClient
        called, instead = f"{verb}()", f"an AsyncClient, await a{verb}(client)"
        if is_async:
            right, other = other, right
            called, instead = f"a{verb}()", f"a Client, call {verb}(client)"
        takes = f"{module.__name__}.{right.__name__}"
        if isinstance(client, other):
            raise ConfigurationError(f"{called} takes {takes}; with {instead}")
        if not isinstance(client, right):
            raise wrong_argument(called, client, takes)
        return client

    def _with_defaults(self, client: Any) -> Self:
        """Return a copy that makes its token calls with this client, which we opened."""
        twin = self.__copy__()
        twin._sync_client = twin._async_client = client
        twin._maker = "defaults"
        return twin

    def _keep_here(self, client: Client | AsyncClient | None) -> None:
        """Refuse proxies of the environment. None stands for an unknown client."""
        hint = _SWITCH if client is None else ""
        keep_here(self._origins.plain_http, partial(client_carries_away, client), hint)

    def _library_error(self, failure: Failure, request: Any) -> Exception:
        return self._library.failures.error(failure, request)


_SWITCH = "; MontaAuth(client=client) turns this check off where your client uses no such proxy"


# Python's errors for wrong arguments name it.
cast(Any, HttpxAuth).__init__.__qualname__ = "MontaAuth.__init__"


def _unwrap(outcome: Reply | Raised) -> Reply:
    if isinstance(outcome, Raised):
        raise outcome.take()
    return outcome
