"""The possible results of a renewal, except failures."""

from __future__ import annotations

from typing import NamedTuple

from .held_pair import HeldPair
from .token_calls import Kind


class Obtained(NamedTuple):
    """A renewal got a new token pair with a token call of this kind."""

    held: HeldPair
    kind: Kind


class Adopted(NamedTuple):
    """A renewal adopted a token pair that another process had stored."""

    held: HeldPair
    kind: None = None


class NotNow(NamedTuple):
    """Another process renews, or the store failed, and the current token is still valid."""

    held: None = None
    kind: None = None


class Anew(Exception):
    """The renewal has to load from the store again: its lease is lost, or the secret changed."""


Outcome = Obtained | Adopted | NotNow
