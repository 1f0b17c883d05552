"""What a source remembers of failed calls, refused tokens and refused credentials."""

from __future__ import annotations

import copy
from typing import NamedTuple

from .errors import Failure, InvalidCredentialsError, TransportFailure
from .held_pair import Dropped, HeldPair
from .policy import (
    ABANDONED_FIRST,
    ABANDONED_LONGEST,
    FAILURE_ASKED,
    FAILURE_FIRST,
    FAILURE_LONGEST,
    LONGEST_COOLDOWN,
    PAUSE_LONGEST,
    REFUSAL_FIRST,
    REFUSAL_LONGEST,
    backoff,
    doubled,
)


class Recent(dict[str, None]):
    """The last 16 values that were added."""

    def add(self, value: str) -> None:
        self[value] = None
        while len(self) > 16:
            del self[next(iter(self))]


class Refusal(NamedTuple):
    """A refusal of credentials.

    Args:
        since, until: when it came, and until when it is remembered, on the monotonic clock.
        error: a template of the error (raise a copy).
        is_new: whether the call was made just now.
    """

    since: float
    until: float
    error: InvalidCredentialsError
    is_new: bool = False


class RefusedCredentials:
    """Remember which credentials were refused, by value, for a time that doubles."""

    def __init__(self) -> None:
        self._entries: dict[str, Refusal] = {}

    def find(self, digest: str, now: float) -> Refusal | None:
        """Return the refusal of these credentials if it is still remembered."""
        refusal = self._entries.get(digest)
        return refusal if refusal is not None and now < refusal.until else None

    def add(self, digest: str, error: InvalidCredentialsError, now: float) -> Refusal:
        last = self._entries.pop(digest, None)
        doubled = 0.0 if last is None else 2 * (last.until - last.since)
        delay = min(doubled, REFUSAL_LONGEST) or REFUSAL_FIRST
        self._entries[digest] = refusal = Refusal(now, now + delay, copy.copy(error))
        while len(self._entries) > 16:
            del self._entries[next(iter(self._entries))]
        return refusal._replace(is_new=True)

    def discard(self, digest: str) -> None:
        self._entries.pop(digest, None)

    def clear(self) -> None:
        self._entries.clear()


class Failures:
    """Remember the last failed renewal, for a time that doubles, and when to try again.

    Args:
        pause: seconds to wait before an early renewal; see `RefreshPolicy`.

    Attributes:
        last: a template of its failure (raise a copy); None after a success.
        since: when it failed, on the monotonic clock.
        in_a_row: number of failed renewals since the last success.
        until: until when callers get this failure without a new call, on the monotonic clock.
        pause_until: until when no caller renews early (advisory window).
        rest_until: until when no caller renews although all would wait (mandatory window).
        mint_after: earliest time of the next mint, if the last ones were abandoned.
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self.clear()

    def clear(self) -> None:
        self.last: Failure | None = None
        self.in_a_row = 0
        self.since = self.until = self.pause_until = self.rest_until = self.mint_after = float(
            "-inf"
        )
        self._timeouts = self._abandoned = 0

    def pause(self, now: float) -> None:
        self.pause_until = now + self._pause

    def rest(self, now: float) -> None:
        self.pause_until = self.rest_until = now + self._pause

    def add(
        self,
        failure: Failure,
        now: float,
        luck: float,
        *,
        lives: bool,
        since: float | None = None,
        until: float = 0.0,
    ) -> None:
        """Remember a failure.

        Args:
            lives: whether the current token is usable meanwhile.
            since: when it came, if not just now.
            until: no renewal can succeed before this time.
        """
        delay = backoff(self.in_a_row, FAILURE_FIRST, FAILURE_LONGEST, luck)
        if failure.retry_after is not None:
            delay = max(delay, min(failure.retry_after, FAILURE_ASKED))
        self.last, self.since = failure, now if since is None else since
        self.in_a_row += 1
        self._abandoned = 0
        delay = max(delay, until - now)
        self.until = now + delay
        is_silent = isinstance(failure, TransportFailure) and failure.kind == "timeout"
        self._timeouts = self._timeouts + 1 if is_silent and lives else 0
        step = max(0, self._timeouts - 1)
        pause = max(self._pause, doubled(self._pause, step, PAUSE_LONGEST))
        self.pause_until = self.rest_until = now + max(delay, pause)

    def abandon_mint(self, now: float) -> None:
        """Remember that a caller left during its mint, so the call was wasted."""
        self._abandoned += 1
        if self._abandoned > 1:
            delay = doubled(ABANDONED_FIRST, self._abandoned - 2, ABANDONED_LONGEST)
            self.mint_after = now + delay


class Refusals:
    """What the renewals of one source remember of refusals.

    Args:
        cooldown: seconds of the first cool-down; see `RefreshPolicy`.

    Attributes:
        headers: refused ``Authorization`` headers. They are not used again, unless a renewal gets
            the same token once more: then no other one is available.
        spent_refresh_tokens: refresh tokens that were refused, or sent with an unknown outcome.
        credentials: which credentials were refused.
        secrets: values that no text may contain: the secret, and the last tokens.
        count: number of access tokens that the API refused.
        cooldown_until: when the last cool-down ends, on the monotonic clock.
    """

    def __init__(self, cooldown: float) -> None:
        self.headers = Recent()
        self.spent_refresh_tokens = Recent()
        self.credentials = RefusedCredentials()
        self.secrets: tuple[str, ...] = ()
        self.count = 0
        self.cooldown_until = float("-inf")
        self._first_cooldown = cooldown
        self._cooldown = 0.0
        self._strikes = 0

    def know(self, *secrets: str | None) -> None:
        """Keep these out of all texts. Only the first value and the last 16 are remembered."""
        new = (secret for secret in secrets if secret and secret not in self.secrets)
        self.secrets = (*self.secrets, *new)
        self.secrets = (*self.secrets[:1], *self.secrets[1:][-16:])

    def strike(self) -> None:
        """Count a renewal that got a refused token again."""
        self._strikes += 1

    def judge(self, held: HeldPair | None, header: str, now: float) -> tuple[bool, float]:
        """Judge a 401 of the API to this header.

        Returns:
            Whether to retry the request, and the seconds of the cool-down that starts now, or 0.
        """
        if held is None or held.header != header or held.dropped is not None:
            return True, 0.0  # it has been replaced, or is about to be
        if now < self.cooldown_until:
            return False, 0.0
        # If this happens twice in a row to a token that has just replaced a refused one, the API
        # seems to refuse every token.
        is_strike = held.after_refusal and now - held.born <= self._first_cooldown
        self._strikes = self._strikes + 1 if is_strike else 0
        if self._strikes >= 2 and self._first_cooldown:
            return False, self._cool_down(now)
        self.count += 1
        self.headers.add(header)
        held.drop(Dropped.REFUSED)
        return True, 0.0

    def _cool_down(self, now: float) -> float:
        self._strikes = 0
        if self._cooldown and now - self.cooldown_until <= 2 * self._cooldown:
            self._cooldown = min(2 * self._cooldown, LONGEST_COOLDOWN)
        else:
            self._cooldown = self._first_cooldown
        self.cooldown_until = now + self._cooldown
        return self._cooldown
