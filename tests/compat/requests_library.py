"""requests with its adapter, a visit that needs all three kinds of token call, and a leak check."""

from __future__ import annotations

from typing import Any

import requests

from monta_auth import TokenSet
from monta_auth.emulator import Emulator
from requests_monta import MontaAuth

from .visits import PAGE


def auth_of(site: Emulator, **settings: Any) -> MontaAuth:
    return MontaAuth(site.client_id, site.client_secret, base_url=site.base_url, **settings)


def visit(site: Emulator, session: requests.Session, auth: MontaAuth) -> None:
    """Get three pages: with a new token, a renewed one, and a retry after a 401."""
    url = site.base_url + PAGE
    pages = [session.get(url, auth=auth)]
    auth.invalidate()
    pages.append(session.get(url, auth=auth))
    site.revoke_access_tokens()
    pages.append(session.get(url, auth=auth))
    assert [page.json()["meta"]["totalItemCount"] for page in pages] == [24] * 3


class Secrets:
    """What must stay hidden: the client secret, and the pairs that `note` (``on_token=``) gets."""

    def __init__(self, site: Emulator) -> None:
        self._words = {"client secret": site.client_secret}
        self.pairs = 0

    def note(self, pair: TokenSet) -> None:
        self.pairs += 1
        self._words[f"access token {self.pairs}"] = pair.access_token
        self._words[f"refresh token {self.pairs}"] = str(pair.refresh_token)

    def found_in(self, text: str | bytes) -> list[str]:
        """Return the names of the secrets in this text."""
        raw = text.encode() if isinstance(text, str) else text
        return [name for name, word in self._words.items() if word.encode() in raw]
