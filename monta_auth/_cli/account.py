"""Whose credentials a command uses, and where their tokens are stored."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._core.credentials import Credentials
from .._core.origins import clean_base_url
from .._core.sealing import Seal
from . import keyring
from .failures import CREDENTIALS, Failed

if TYPE_CHECKING:
    import requests

    from requests_monta import MontaAuth

    from .. import TokenSet

DEFAULT = "default"
ID, SECRET = "MONTA_CLIENT_ID", "MONTA_CLIENT_SECRET"


@dataclass(frozen=True, slots=True)
class Account:
    """Credentials, the API that they are for, and where they came from.

    Args:
        profile: their name in the keyring; None if they come from the environment.
    """

    credentials: Credentials
    base_url: str
    profile: str | None = None

    @property
    def origin(self) -> str:
        return "environment" if self.profile is None else f"keyring, profile {self.profile}"

    @property
    def store_path(self) -> str:
        from ..stores import FileStore

        return str(FileStore()._directory)

    def auth(self) -> MontaAuth:
        """Return an auth object that shares its token with other processes of this user."""
        from requests_monta import MontaAuth

        from ..stores import FileStore

        credentials = self.credentials
        return MontaAuth(
            credentials.client_id, credentials.secret, base_url=self.base_url, store=FileStore()
        )

    def fresh_auth(self, session: requests.Session | None = None) -> MontaAuth:
        """Return an auth object without a token and without a store."""
        from requests_monta import MontaAuth

        from .. import TokenSource

        credentials = self.credentials
        source = TokenSource(credentials.client_id, credentials.secret, base_url=self.base_url)
        return MontaAuth(source=source, session=session)

    def stored_pair(self) -> TokenSet | None:
        """Return the stored token pair, if any, without a call and without renewing it."""
        from ..stores import FileStore

        credentials = self.credentials
        assert isinstance(credentials.secret, str)  # from the environment or a keyring
        seal = Seal(self.base_url, credentials.client_id, credentials.secret)
        return seal.open(FileStore().load(seal.name))


def find_account(profile: str | None, base_url: str | None) -> Account:
    """Find the credentials of a named profile, else of the environment or the default profile.

    Args:
        base_url: replaces the one of the environment or the profile.

    Raises:
        Failed: there are no credentials.
        ConfigurationError: they cannot be used.
    """
    if profile is None:
        client_id, secret = os.environ.get(ID), os.environ.get(SECRET)
        if client_id and secret:
            return Account(Credentials(client_id, secret), clean_base_url(base_url))
        if client_id or secret:
            there, missing = (ID, SECRET) if client_id else (SECRET, ID)
            raise Failed(f"{there} is set, and {missing} is not", "set both", CREDENTIALS)
    name = DEFAULT if profile is None else profile
    found = keyring.load(name, is_named=profile is not None)
    if found is not None:
        credentials = Credentials(found["client_id"], found["client_secret"])
        url = clean_base_url(found["base_url"] if base_url is None else base_url)
        return Account(credentials, url, name)
    if profile is None:
        raise Failed(
            "there are no credentials",
            f"set {ID} and {SECRET}, or run `monta-auth login`",
            CREDENTIALS,
        )
    raise Failed(
        f"the keyring has no profile {name!r}",
        f"run `monta-auth login --profile {name}`",
        CREDENTIALS,
    )
