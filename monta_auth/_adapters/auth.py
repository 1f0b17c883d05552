"""What the `MontaAuth` of every adapter has in common: settings, sharing, copies and pickles."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, ClassVar, Self, TypeVar

from .._core.arguments import wrong_argument
from .._core.credentials import ClientSecret
from .._core.drivers import Flow, adrive, drive
from .._core.effects import Effect
from .._core.errors import ConfigurationError, Failure, MontaAuthError, TransportFailure
from .._core.leader import OnToken
from .._core.origins import Origins, clean_base_url
from .._core.policy import RefreshPolicy
from .._core.replies import Reply
from .._core.secret import hidden_argument, in_clear, with_hidden_secret
from .._core.shared_sources import shared_source
from .._core.source import Source
from .._core.status import Status
from .._core.store_protocol import Store
from .._core.tokens import TokenSet
from .reasons import Maker
from .token_source import TokenSource, token_source_of

#: Arguments that belong to a source: one that is given has them already.
_OF_A_SOURCE = ("client_id", "client_secret", "token", "store", "on_token", "policy")

T = TypeVar("T")
L = TypeVar("L", bound=Effect)


def is_refused(
    source: Source, origins: Origins, status: int, request: Any, header: str | None
) -> bool:
    """Tell the source that this request was answered; return whether to retry it once.

    Args:
        request: of any of the libraries, as it was sent.
        header: the one that its sender had from the source.
    """
    sent = request.headers.get("Authorization")
    return source.refuse(status, str(request.url), sent, header, origins)


def wrong_library(auth: object, request: object) -> ConfigurationError:
    """Return the error of an auth that was given to another library than its own."""
    mine, other = _package(type(auth)), _package(type(request))
    if mine == f"{other}_monta":
        return ConfigurationError(
            "a MontaAuth is not to be called: pass it as auth=; in a wrapper of your own, write "
            "`yield from auth.sync_auth_flow(request)`, and its like in async_auth_flow"
        )
    text = f"this is the MontaAuth of {mine}, and the request is one of {other}"
    return ConfigurationError(text + _right_import(other, "MontaAuth"))


def check_response(response: object, kind: type) -> None:
    """Raise a TypeError if a response is not one of the library that was expected."""
    if not isinstance(response, kind):
        expected, given = _package(kind), type(response)
        text = f"retry_after takes a response of {expected}, not {_package(given)}.{given.__name__}"
        raise TypeError(text + _right_import(_package(given), "retry_after"))


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _right_import(library: str, name: str) -> str:
    known = library in ("requests", "httpx", "httpx2", "aiohttp")
    return f": write `from {library}_monta import {name}`" if known else ""


class BaseAuth:
    """The common part of every `MontaAuth`; see there for the arguments.

    Attributes:
        source: the `TokenSource` that this object and its copies share.
    """

    source: TokenSource
    _source: Source

    #: What `_connect` makes out of the settings, and a pickle leaves out.
    _derived: ClassVar[tuple[str, ...]] = ("source", "_source", "_origins", "_plain_http")

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
    ) -> None:
        client_secret, token = hidden_argument(client_secret), hidden_argument(token)
        if hasattr(client_id, "headers"):
            # A library that is given the class makes an object of it for each request.
            raise ConfigurationError("got the class MontaAuth, not an object: write MontaAuth()")
        self._own_source = source
        self._base_url = base_url
        self._allowed_origins = allowed_origins or ()
        given = locals()
        self._settings: dict[str, Any] = {n: given[n] for n in _OF_A_SOURCE if given[n] is not None}
        self._connect()

    def _connect(self) -> None:
        """Find or make the source that the settings ask for."""
        settings = self._settings
        if self._own_source is not None:
            self.source = self._checked(self._own_source)
        elif settings.keys() & {"token", "store", "on_token"} or callable(
            settings.get("client_secret")
        ):
            self.source = TokenSource(base_url=self._base_url, **settings)
        else:
            shared = shared_source(base_url=self._base_url, **settings)
            self.source = token_source_of(shared, {"base_url": self._base_url, **settings})
        self._source = self.source._source
        self._origins = Origins(self.source.base_url, self._allowed_origins)
        self._allowed_origins = self._origins.urls  # An iterator can be read only once.
        #: What no proxy of the environment may carry; empty once that is known.
        self._plain_http = self._origins.plain_http

    def _checked(self, source: TokenSource) -> TokenSource:
        if not isinstance(source, TokenSource):
            raise wrong_argument("source=", source, "a TokenSource, such as auth.source")
        if self._settings:
            raise ConfigurationError(
                f"source= excludes {', '.join(f'{name}=' for name in self._settings)}: "
                "they belong to the TokenSource"
            )
        if self._base_url is not None and clean_base_url(self._base_url) != source.base_url:
            raise ConfigurationError("source= has another base_url: leave base_url= out")
        return source

    @property
    def base_url(self) -> str:
        """The URL of the API, without a slash at its end. Pass it as ``base_url=`` of a client."""
        return self.source.base_url

    def invalidate(self) -> None:
        """Drop the access token, in memory and in the store: the next request renews.

        Raises:
            ConfigurationError: the store is asynchronous.
        """
        self.source.invalidate()

    def forget(self) -> None:
        """Drop the token pair, in memory and in the store, and what is remembered of failures.

        Raises:
            TokenStoreError: the pair may still be in the store; try again. It takes at most the
                policy's deadline (10 s) to find out.
            ConfigurationError: the store is asynchronous.
        """
        self.source.forget()

    def status(self) -> Status:
        """Tell how the token is doing: expiry, last renewal and failure, counts; no secret."""
        return self.source.status()

    # --- what the adapters share

    def _drive(self, flow: Flow[L, T], perform: Callable[[L], Reply], request: object = None) -> T:
        """Run a flow. What fails is raised as an error of the library, for this request.

        It is raised afresh and outside of the handler: no frame of the token call hangs on to it.
        """
        try:
            return drive(flow, perform)
        except (MontaAuthError, TransportFailure) as error:
            failure = error
        raise self._library_error(failure.with_traceback(None), request)

    async def _adrive(
        self, flow: Flow[L, T], perform: Callable[[L], Awaitable[Reply]], request: object = None
    ) -> T:
        """As `_drive`, under asyncio or trio."""
        try:
            return await adrive(flow, perform)
        except (MontaAuthError, TransportFailure) as error:
            failure = error
        raise self._library_error(failure.with_traceback(None), request)

    def _trusting(self, own: object) -> Self:
        """Return an auth for requests of a client that has been asked about its proxies.

        Args:
            own: a client that makes the token calls, which is still to be asked; or None.
        """
        if own is not None:
            return self
        twin = self.__copy__()
        twin._plain_http = ()
        return twin

    def _library_error(self, failure: Failure, request: Any) -> Exception:
        """Return what a caller of the library gets for a failure of the core."""
        raise NotImplementedError  # pragma: no cover - each adapter has its own

    # --- copies and pickles

    def __repr__(self) -> str:
        # A tracker shows it, too, when its constructor raised.
        what = repr(self.source) if hasattr(self, "source") else "unfinished"
        return f"{_package(type(self))}.{type(self).__qualname__}({what})"

    def __copy__(self) -> Self:
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __deepcopy__(self, memo: object) -> Self:
        return self.__copy__()

    def __getstate__(self) -> dict[str, Any]:
        """The settings, with literal credentials; no pair. A new process obtains its own."""
        if self._source.credentials is None and "store" not in self._settings:
            raise TypeError(f"{type(self).__name__} has nothing but a token pair to pickle")
        state = {k: v for k, v in self.__dict__.items() if k not in self._derived}
        settings = {k: v for k, v in self._settings.items() if k != "token"}
        return {**state, "_settings": in_clear(settings)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state["_settings"] = with_hidden_secret(state["_settings"])
        self.__dict__.update(state)
        self._connect()


class AsyncAuth(BaseAuth):
    """The common part of those that work with event loops."""

    #: What the client or session is that this object has for token calls, if it has one.
    _maker: Maker = "given"

    async def ainvalidate(self) -> None:
        """As `invalidate`, without blocking the event loop, and for asynchronous stores."""
        await self.source.ainvalidate()

    async def aforget(self) -> None:
        """As `forget`, without blocking the event loop, and for asynchronous stores."""
        await self.source.aforget()
