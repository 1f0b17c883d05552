"""What users annotate with: the arguments of a `MontaAuth`, and any `MontaAuth`."""

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
    """The arguments that every `MontaAuth` takes, as ``monta_auth=`` of a mix-in takes them.

    Each of them may be left out.
    """

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
    """What the `MontaAuth` of every adapter offers, whatever its HTTP library is.

    For code that works with any of them. ``isinstance`` works, too.
    """

    @property
    def source(self) -> TokenSource:
        """Holds and renews the token pair; pass it as ``source=`` to share it."""
        ...

    @property
    def base_url(self) -> str:
        """The URL of the API, without a slash at its end."""
        ...

    def status(self) -> Status:
        """Report how the token is doing, for metrics. It makes no call."""
        ...

    def invalidate(self) -> None:
        """Drop the access token: the next request renews."""

    def forget(self) -> None:
        """Drop the token pair and what is remembered of failures."""
