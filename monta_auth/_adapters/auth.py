"""Common part of all `MontaAuth` classes: settings, sharing, copies and pickles."""

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
from .._core.secret import hidden_arguments, in_clear, with_hidden_secret
from .._core.shared_sources import shared_source
from .._core.source import Source
from .._core.status import Status
from .._core.store_protocol import Store
from .._core.tokens import TokenSet
from .reasons import Maker
from .token_source import TokenSource, token_source_of

#: Arguments of a source. They cannot be combined with source=.
_OF_A_SOURCE = ("client_id", "client_secret", "token", "store", "on_token", "policy")

T = TypeVar("T")
L = TypeVar("L", bound=Effect)


def is_refused(
    source: Source, origins: Origins, status: int, request: Any, header: str | None
) -> bool:
    """Report the status of a response to the source; return whether to retry the request once.

    Args:
        request: as it was sent; from any of the libraries.
        header: the header that the source provided for it.
    """
    sent = request.headers.get("Authorization")
    return source.refuse(status, str(request.url), sent, header, origins)


def wrong_library(auth: object, request: object) -> ConfigurationError:
    """Return the error for an auth object that was passed to the wrong library."""
    mine, other = package_of(type(auth)), package_of(type(request))
    if mine == f"{other}_monta":
        return ConfigurationError(
            "a MontaAuth is not to be called: pass it as auth=; in a wrapper of your own, write "
            "`yield from auth.sync_auth_flow(request)`, and its like in async_auth_flow"
        )
    text = f"this is the MontaAuth of {mine}, and the request is one of {other}"
    return ConfigurationError(text + _right_import(other, "MontaAuth"))


def check_response(response: object, kind: type) -> None:
    """Raise a TypeError if a response is from another library."""
    if not isinstance(response, kind):
        expected, given = package_of(kind), type(response)
        got = package_of(given)
        text = f"retry_after takes a response of {expected}, not {got}.{given.__name__}"
        raise TypeError(text + _right_import(got, "retry_after"))


def package_of(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _right_import(library: str, name: str) -> str:
    known = library in ("requests", "httpx", "httpx2", "aiohttp")
    return f": write `from {library}_monta import {name}`" if known else ""


class BaseAuth:
    """Base class of every `MontaAuth`, which documents the arguments.

    Attributes:
        source: the `TokenSource` that this object and its copies share.
    """

    source: TokenSource
    _source: Source

    #: Attributes that `_connect` derives from the settings. Pickles omit them.
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
        client_id, client_secret, token = hidden_arguments(client_id, client_secret, token)
        if hasattr(client_id, "headers"):
            # Libraries call a class that is passed as auth= once per request.
            raise ConfigurationError("got the class MontaAuth, not an object: write MontaAuth()")
        self._own_source = source
        self._base_url = base_url
        self._allowed_origins = allowed_origins or ()
        given = locals()
        self._settings: dict[str, Any] = {n: given[n] for n in _OF_A_SOURCE if given[n] is not None}
        self._connect()

    def _connect(self) -> None:
        """Find or make the source for these settings."""
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
        #: Origins that must not go through a proxy of the environment; empty once checked.
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
        """The URL of the API, without a trailing slash, for ``base_url=`` of a client."""
        return self.source.base_url

    def invalidate(self) -> None:
        """Drop the access token, in memory and in the store, so that the next request renews it.

        Raises:
            ConfigurationError: the store is asynchronous.
        """
        self.source.invalidate()

    def forget(self) -> None:
        """Drop the token pair, in memory and in the store, and all remembered failures.

        Raises:
            TokenStoreError: the token pair may still be in the store; try again. Raised after the
                policy's deadline (10 s) at the latest.
            ConfigurationError: the store is asynchronous.
        """
        self.source.forget()

    def status(self) -> Status:
        """Report expiry, last renewal, last failure and counts; no secrets."""
        return self.source.status()

    # --- shared by the adapters

    def _drive(self, flow: Flow[L, T], perform: Callable[[L], Reply], request: object = None) -> T:
        """Run a flow; raise its failures as errors of the library, for this request.

        They are raised outside the except clause, so that they hold no frame of the token call.
        """
        try:
            return drive(flow, perform)
        except (MontaAuthError, TransportFailure) as error:
            failure = error
        raise self._library_error(failure.with_traceback(None), request)

    async def _adrive(
        self, flow: Flow[L, T], perform: Callable[[L], Awaitable[Reply]], request: object = None
    ) -> T:
        """Do what `_drive` does, under asyncio or trio."""
        try:
            return await adrive(flow, perform)
        except (MontaAuthError, TransportFailure) as error:
            failure = error
        raise self._library_error(failure.with_traceback(None), request)

    def _trusting(self, own: object) -> Self:
        """Return an auth object for a client after the check of its proxies.

        Args:
            own: the client that makes the token calls, if it still has to be checked; or None.
        """
        if own is not None:
            return self
        twin = self.__copy__()
        twin._plain_http = ()
        return twin

    def _library_error(self, failure: Failure, request: Any) -> Exception:
        """Return the library's error for a failure of the core."""
        raise NotImplementedError  # pragma: no cover - each adapter has its own

    # --- copies and pickles

    def __repr__(self) -> str:
        # Error trackers also show objects whose constructor raised.
        what = repr(self.source) if hasattr(self, "source") else "unfinished"
        return f"{package_of(type(self))}.{type(self).__qualname__}({what})"

    def __copy__(self) -> Self:
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __deepcopy__(self, memo: object) -> Self:
        return self.__copy__()

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings with literal credentials, but without the token pair."""
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
    """Base class of every `MontaAuth` for async clients."""

    #: Where the client or session for token calls comes from, if this object has one.
    _maker: Maker = "given"

    async def ainvalidate(self) -> None:
        """Do what `invalidate` does without blocking the event loop; works with async stores."""
        await self.source.ainvalidate()

    async def aforget(self) -> None:
        """Do what `forget` does without blocking the event loop; works with async stores."""
        await self.source.aforget()
