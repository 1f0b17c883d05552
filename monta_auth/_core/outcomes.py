"""What comes of a renewal, apart from failures."""

from __future__ import annotations

from typing import NamedTuple

from .held_pair import HeldPair
from .token_calls import Kind


class Obtained(NamedTuple):
    """A renewal brought a new pair, through a token call of this kind."""

    held: HeldPair
    kind: Kind


class Adopted(NamedTuple):
    """A renewal took over a pair that another process had stored."""

    held: HeldPair
    kind: None = None


class NotNow(NamedTuple):
    """Another process renews, or the store has failed, and the held token still serves."""

    held: None = None
    kind: None = None


class Anew(Exception):
    """The renewal has to look into the store again: its lease is lost, or the secret is another."""


Outcome = Obtained | Adopted | NotNow
