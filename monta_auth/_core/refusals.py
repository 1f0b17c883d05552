"""What a source remembers between renewals, beside the pair itself."""

from __future__ import annotations

import copy

from .errors import InvalidCredentialsError
from .policy import REFUSAL_FIRST, REFUSAL_LONGEST


class Recent:
    """The last few values that were added; the oldest makes room."""

    def __init__(self) -> None:
        self._values: dict[str, None] = {}

    def add(self, value: str) -> None:
        self._values[value] = None
        while len(self._values) > 16:
            del self._values[next(iter(self._values))]

    def __contains__(self, value: str) -> bool:
        return value in self._values


class RefusedCredentials:
    """Remembers by value which credentials were refused, for a time that doubles."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[float, float, InvalidCredentialsError]] = {}

    def check(self, digest: str, now: float) -> None:
        """Raise what the server said of these credentials, while that is remembered."""
        until, _, error = self._entries.get(digest, (now, 0.0, None))
        if error is not None and now < until:
            raise copy.copy(error)

    def add(self, digest: str, error: InvalidCredentialsError, now: float) -> None:
        _, last, _ = self._entries.pop(digest, (0.0, 0.0, None))
        delay = min(last * 2.0, REFUSAL_LONGEST) or REFUSAL_FIRST
        self._entries[digest] = (now + delay, delay, copy.copy(error))
        while len(self._entries) > 16:
            del self._entries[next(iter(self._entries))]

    def discard(self, digest: str) -> None:
        self._entries.pop(digest, None)

    def clear(self) -> None:
        self._entries.clear()


class Memory:
    """What a source remembers between renewals.

    Attributes:
        headers: ``Authorization`` headers that were refused; none of them is returned again.
        spent_refresh_tokens: refresh tokens that were refused, or sent with unknown outcome.
        credentials: which credentials were refused.
        clear_store: whether the stored pair is to be deleted before anything is read from there.
    """

    def __init__(self) -> None:
        self.headers = Recent()
        self.spent_refresh_tokens = Recent()
        self.credentials = RefusedCredentials()
        self.clear_store = False
