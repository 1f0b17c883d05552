"""How one renewal goes: look into the store, refresh, fall back to the credentials.

A refresh token is single-use (so users report). Hence: while one lives, the secret stays home;
one that was sent and brought no readable reply counts as spent; a refused one is dropped and the
credentials are used once. 429, 5xx and network failures never fall through to the credentials:
that would spend a second call of a small quota on a fault which it cannot mend.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from ._credentials import Credentials, checked_secret, missing
from ._effects import Call, Effect, Send, Sleep
from ._errors import (
    ConfigurationError,
    InvalidCredentialsError,
    InvalidTokenResponseError,
    MontaAuthError,
    RateLimitError,
    TransportFailure,
    recast,
)
from ._flight import Flight
from ._held import Held, Phase, hold_new, hold_old
from ._policy import Clock, RefreshPolicy, backoff
from ._tokens import TokenSet, bearer
from ._wire import (
    Reply,
    TokenRequest,
    is_worth_a_retry,
    mint_request,
    read_error,
    read_pair,
    read_refusal,
    refresh_request,
    request_id,
)
from .stores._protocol import LEASE_SECONDS, Lease, Store

logger = logging.getLogger("monta_auth")

#: Pause between two looks at a store's lock, in seconds; half of it is jitter.
_POLL = 0.1

_LONG_AGO = datetime.fromtimestamp(0, UTC)

Steps = Generator[Effect, Any, Any]


class Superseded(Exception):
    """The flight was taken from this leader: whatever it brings home is not wanted any more."""


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
    """Remembers by value which credentials were refused: 5 s, doubling to 5 min."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[float, float, InvalidCredentialsError]] = {}

    def check(self, digest: str, now: float) -> None:
        """Raise what the server said of these credentials, while that is remembered."""
        until, _, error = self._entries.get(digest, (now, 0.0, None))
        if error is not None and now < until:
            raise copy.copy(error)

    def add(self, digest: str, error: InvalidCredentialsError, now: float) -> None:
        _, last, _ = self._entries.pop(digest, (0.0, 0.0, None))
        delay = min(last * 2.0, 300.0) or 5.0
        self._entries[digest] = (now + delay, delay, copy.copy(error))
        while len(self._entries) > 16:
            del self._entries[next(iter(self._entries))]

    def clear(self) -> None:
        self._entries.clear()


class Memory:
    """What a source remembers between renewals, beside the pair.

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


class Renewal:
    """One renewal, for the leader of one flight.

    `run` returns the pair to hold from now on; `save` and `release` finish the business with the
    store. After each effect the flight is looked at again.
    """

    def __init__(
        self,
        flight: Flight,
        held: Held | None,
        *,
        base_url: str,
        credentials: Credentials | None,
        policy: RefreshPolicy,
        clock: Clock,
        store: Store | None,
        memory: Memory,
        jitter: float,
        deadline: float,
    ) -> None:
        self.flight = flight
        self.held = held
        self.kind = "none"
        self.status: int | None = None
        self.request_id: str | None = None
        self.store_error: str | None = None
        self._base_url = base_url
        self._credentials = credentials
        self._policy = policy
        self._clock = clock
        self._store = store
        self._memory = memory
        self._jitter = jitter
        self._deadline = deadline
        self._slept = 0.0
        self._lease: Lease | None = None
        self._after_refusal = flight.reason == "401"

    @property
    def obtained(self) -> bool:
        """Whether the pair came from the wire (and not out of the store)."""
        return self.kind in ("mint", "refresh")

    def run(self) -> Steps:
        """Return the `Held` to install; raise a `MontaAuthError` or `TransportFailure`."""
        if self._store is not None and (yield from self._consult_store()):
            return self.held
        now = self._clock.monotonic()
        token = self.held.refresh_token(now) if self.held is not None else None
        if token is not None and (
            token not in self._memory.spent_refresh_tokens or self._credentials is None
        ):
            held = yield from self._refresh(token)
            if held is not None:
                return held
            self._memory.spent_refresh_tokens.add(token)
            # Refused: perhaps another process was faster and left its pair in the store.
            if self._store is not None and (yield from self._adopt_stored()):
                return self.held
        return (yield from self._mint())

    # --- the calls

    def _refresh(self, token: str) -> Steps:
        """Return the new pair, or None if the server refused this refresh token."""
        self.kind = "refresh"
        request = refresh_request(self._base_url, token)
        reply = yield from self._exchange(request, token)
        if 200 <= reply.status < 300:
            return self._pair_in(reply, request)
        if 400 <= reply.status < 500:
            return None
        raise read_error(reply, request, self._clock.wall())

    def _mint(self) -> Steps:
        if self._credentials is None:
            raise ConfigurationError(
                "the token cannot be renewed any more: there is no usable refresh token, and "
                + missing("client_id and client_secret", "MONTA_CLIENT_ID and MONTA_CLIENT_SECRET")
            )
        self.kind = "mint"
        credentials = self._credentials
        secret = yield from self._secret(credentials)
        tried: list[str] = []
        while True:
            tried.append(secret)
            self._memory.credentials.check(credentials.digest(secret), self._clock.monotonic())
            request = mint_request(self._base_url, credentials.client_id, secret)
            reply = yield from self._exchange(request)
            if 200 <= reply.status < 300:
                return self._pair_in(reply, request)
            if reply.status != 401:
                raise read_error(reply, request, self._clock.wall())
            error = read_refusal(reply, request, urlsplit(self._base_url).netloc)
            digest = credentials.digest(secret)
            self._memory.credentials.add(digest, error, self._clock.monotonic())
            if credentials.literal_secret is None and len(tried) == 1:
                # It may have been rotated since it was asked for.
                secret = yield from self._secret(credentials)
            if secret in tried:
                raise error

    def _secret(self, credentials: Credentials) -> Steps:
        if isinstance(credentials.secret, str):
            return credentials.secret
        try:
            secret = yield from self._do(Call(credentials.secret))
        except (MontaAuthError, Superseded):
            raise
        except Exception as error:
            kind = type(error).__qualname__
        else:
            return checked_secret(secret)
        raise MontaAuthError(
            f"the callable client_secret raised {kind}: no token can be obtained without a secret",
            retryable=True,
        )

    def _exchange(self, request: TokenRequest, refresh_token: str | None = None) -> Steps:
        """Make the call until it is answered with something else than "later"."""
        attempt = 0
        while True:
            attempt += 1
            self._sent_at = self._clock.monotonic()
            left = self._deadline - self._sent_at
            if left <= 0:
                raise TransportFailure("no time is left for a token call", "timeout", sent=False)
            self.flight.refreshing = refresh_token
            try:
                reply = yield from self._do(Send(request, left))
            except TransportFailure as failure:
                if not failure.sent:
                    self.flight.refreshing = None
                raise
            self.status, self.request_id = reply.status, request_id(reply, request)
            if 200 <= reply.status < 300:
                return reply
            self.flight.refreshing = None
            if not is_worth_a_retry(reply.status):
                return reply
            error = read_error(reply, request, self._clock.wall())
            budget = self._policy.sleep_limit - self._slept
            if error.retry_after is not None and error.retry_after > budget:
                raise _come_back_later(error)
            pause = max(
                error.retry_after or 0.0, backoff(attempt - 1, 0.5, 1.0, self._clock.random())
            )
            pause = min(pause, budget) if error.retry_after is not None else pause
            out_of_time = self._clock.monotonic() + pause >= self._deadline
            if attempt >= self._policy.attempts or pause > budget or out_of_time:
                raise error
            self._slept += pause
            yield from self._do(Sleep(pause))

    def _pair_in(self, reply: Reply, request: TokenRequest) -> Held:
        pair = read_pair(reply, request, self._clock.wall())
        if bearer(pair.access_token) in self._memory.headers:
            raise InvalidTokenResponseError(
                "the token endpoint issued an access token again that the API has refused",
                status=reply.status,
                retryable=True,
            )
        return hold_new(
            pair,
            self._policy,
            sent=self._sent_at,
            jitter=self._jitter,
            after_refusal=self._after_refusal,
        )

    def _do(self, effect: Effect) -> Steps:
        try:
            outcome = yield effect
        except Exception:
            if self.flight.over:
                raise Superseded from None
            raise
        self.flight.touched = self._clock.monotonic()
        if self.flight.over:
            raise Superseded
        return outcome

    # --- the store

    def _consult_store(self) -> Steps:
        """Take what others left there, or else the lease; return whether a pair was adopted."""
        while True:
            if self._memory.clear_store:
                yield from self._delete_stored()
            elif (yield from self._adopt_stored()):
                return True
            if self._lease is not None or self._store is None:
                return False
            self._lease = yield from self._ask_store("try_lock", LEASE_SECONDS)
            if self._lease is not None:
                continue  # look once more: it may have been renewed just before we got the lease
            now = self._clock.monotonic()
            if self.held is not None and self.held.phase(now) is Phase.ADVISORY:
                self.kind = "stored"
                return True  # another process renews, and this token still serves
            pause = _POLL * (1.0 + self._clock.random()) / 2.0
            if now + pause >= self._deadline:
                raise TransportFailure(
                    "the token store stayed locked by another process", "timeout", sent=False
                )
            yield from self._do(Sleep(pause))

    def _adopt_stored(self) -> Steps:
        """Take over the stored pair if it is newer; return whether that ends the renewal."""
        stored = yield from self._ask_store("load")
        if not isinstance(stored, TokenSet):
            return False
        if bearer(stored.access_token) in self._memory.headers:
            if self._lease is not None and stored.access_expires_at > _LONG_AGO:
                # Mark it, so that nobody else takes it for good if we get no further.
                yield from self._ask_store("save", without_access(stored), self._lease)
            return False
        if self.held is not None and stored.access_expires_at <= self.held.pair.access_expires_at:
            return False
        now = self._clock.monotonic()
        self.held = hold_old(
            stored,
            self._policy,
            now=now,
            wall=self._clock.wall(),
            jitter=self._jitter,
            after_refusal=self._after_refusal,
        )
        if self.held.phase(now) is not Phase.FRESH:
            return False
        self.kind = "stored"
        return True

    def _delete_stored(self) -> Steps:
        if self._lease is not None:
            yield from self._ask_store("save", None, self._lease)
            self._memory.clear_store = False

    def save(self, pair: TokenSet) -> Steps:
        if self._lease is not None:
            yield from self._ask_store("save", pair, self._lease)

    def release(self) -> Steps:
        if self._lease is not None:
            lease, self._lease = self._lease, None
            try:
                yield Call(lease.release)
            except Exception as error:
                # It expires by itself.
                logger.debug("releasing the token store's lease raised %s", type(error).__name__)

    def _ask_store(self, method: str, *args: Any) -> Steps:
        """Return what the store's method does; None once the store has failed in this renewal."""
        if self._store is None:
            return None
        try:
            return (yield from self._do(Call(getattr(self._store, method), *args)))
        except Superseded:
            raise
        except Exception as error:
            self._store = None
            self.store_error = type(error).__qualname__
            return None


def without_access(pair: TokenSet) -> TokenSet:
    """The pair as it is stored once its access token was refused: expired long ago."""
    return pair.__replace__(access_expires_at=_LONG_AGO, issued_at=None)


def _come_back_later(error: MontaAuthError) -> MontaAuthError:
    """The server named a pause that no request should wait for: the caller decides."""
    return recast(error, RateLimitError)
