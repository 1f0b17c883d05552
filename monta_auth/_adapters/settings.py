"""Types for annotations: the arguments of `MontaAuth`, and any `MontaAuth`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypedDict, runtime_checkable

from .._core.credentials import ClientSecret
from .._core.leader import OnToken
from .._core.policy import RefreshPolicy
from .._core.status import Status
from .._core.store_protocol import Store
from .._core.tokens import TokenSet
from .token_source import TokenSource


class MontaAuthSettings(TypedDict, total=False):
    """Annotate the common arguments of `MontaAuth`, for ``monta_auth=`` too. All are optional."""

    client_id: str | None
    client_secret: ClientSecret | None
    base_url: str | None
    allowed_origins: Iterable[str]
    token: TokenSet | None
    store: Store | None
    on_token: OnToken | None
    policy: RefreshPolicy | None
    source: TokenSource | None


@runtime_checkable
class AnyMontaAuth(Protocol):
    """Annotate code that works with the `MontaAuth` of any adapter; ``isinstance`` works too."""

    @property
    def source(self) -> TokenSource:
        """The `TokenSource` that holds the token pair; pass it as ``source=`` to share it."""
        ...

    @property
    def base_url(self) -> str:
        """The URL of the API, without a trailing slash."""
        ...

    def status(self) -> Status:
        """Report the state of the token, for metrics, without a call."""
        ...

    def invalidate(self) -> None:
        """Drop the access token, so that the next request renews it."""

    def forget(self) -> None:
        """Drop the token pair and all remembered failures."""
