"""The arguments of a `MontaAuth` as a type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from .._core.credentials import ClientSecret
from .._core.leader import OnToken
from .._core.policy import RefreshPolicy
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
