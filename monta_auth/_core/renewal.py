"""How one renewal goes: look into the store, refresh, fall back to the credentials.

A refresh token is single-use (so users report). Hence: while one lives, the secret stays home;
one that was sent and brought no readable reply counts as spent; a refused one is dropped and the
credentials are used once. 429, 5xx and network failures never fall through to the credentials:
that would spend a second call of a small quota on a fault which it cannot mend.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any
from urllib.parse import urlsplit

from .credentials import Credentials, checked_secret
from .effects import Call, Effect, Send, Sleep
from .errors import (
    ConfigurationError,
    InvalidTokenResponseError,
    MontaAuthError,
    RateLimitError,
    TransportFailure,
    recast,
)
from .flight import Flight, Superseded
from .held_pair import Held, hold_new
from .policy import RETRY_FIRST, RETRY_LONGEST, Clock, RefreshPolicy, backoff
from .refusals import Memory
from .replies import Reply, is_worth_a_retry, request_id
from .secret import bearer
from .store_protocol import Store
from .store_visit import Found, Visit
from .token_calls import (
    TokenRequest,
    mint_request,
    read_error,
    read_pair,
    read_refusal,
    refresh_request,
)

Steps = Generator[Effect, Any, Any]


class Renewal:
    """One renewal, for the leader of one flight.

    `run` returns the pair to hold from now on; `visit` is its business with the store, to be
    finished by the caller. After each effect the flight is looked at again.
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
        self.kind = "none"
        self.status: int | None = None
        self.request_id: str | None = None
        self.visit = Visit(
            store,
            held,
            self._do,
            memory=memory,
            policy=policy,
            clock=clock,
            jitter=jitter,
            after_refusal=flight.reason == "401",
            deadline=deadline,
        )
        self._base_url = base_url
        self._credentials = credentials
        self._policy = policy
        self._clock = clock
        self._memory = memory
        self._jitter = jitter
        self._deadline = deadline
        self._slept = 0.0

    @property
    def obtained(self) -> bool:
        """Whether the pair came from the wire (and not out of the store)."""
        return self.kind in ("mint", "refresh")

    def run(self) -> Steps:
        """Return the `Held` to install, or None if another process renews and ours serves.

        Raises:
            MontaAuthError, TransportFailure: it failed.
        """
        found = yield from self.visit.begin()
        if found is not Found.RENEW:
            self.kind = "stored"
            return self.visit.held if found is Found.ADOPTED else None
        held = self.visit.held
        token = held.refresh_token(self._clock.monotonic()) if held is not None else None
        if token is not None and (
            token not in self._memory.spent_refresh_tokens or self._credentials is None
        ):
            renewed = yield from self._refresh(token)
            if renewed is not None:
                return renewed
            self._memory.spent_refresh_tokens.add(token)
            # Refused: perhaps another process was faster and left its pair in the store.
            if (yield from self.visit.adopt()):
                self.kind = "stored"
                return self.visit.held
        return (yield from self._mint())

    # --- the calls

    def _refresh(self, token: str) -> Steps:
        """Return the new pair, or None if the server refused this refresh token."""
        self.kind = "refresh"
        request = refresh_request(self._base_url, token)
        try:
            reply = yield from self._exchange(request, token)
            if reply.is_good:
                return self._pair_in(reply, request)
            if reply.status >= 400:
                return None  # refused; 5xx was dealt with there
            raise read_error(reply, request, self._clock.wall())
        finally:
            request.wipe()

    def _mint(self) -> Steps:
        if self._credentials is None:
            raise ConfigurationError(
                "the token cannot be renewed any more: its refresh token is used up, and there "
                "are no credentials; pass client_id= and client_secret=, or set MONTA_CLIENT_ID "
                "and MONTA_CLIENT_SECRET"
            )
        self.kind = "mint"
        credentials = self._credentials
        secret = yield from self._secret(credentials)
        held, error = yield from self._mint_with(credentials, secret)
        if error is not None and credentials.literal_secret is None:
            # It may have been rotated since it was asked for.
            again = yield from self._secret(credentials)
            if again != secret:
                held, error = yield from self._mint_with(credentials, again)
        if error is not None:
            raise error
        return held

    def _mint_with(self, credentials: Credentials, secret: str) -> Steps:
        """Return the new pair and None, or None and what the server said of these credentials."""
        digest = credentials.digest(secret)
        self._memory.credentials.check(digest, self._clock.monotonic())
        request = mint_request(self._base_url, credentials.client_id, secret)
        try:
            reply = yield from self._exchange(request)
            if reply.is_good:
                held = self._pair_in(reply, request)
                self._memory.credentials.discard(digest)
                return held, None
            if reply.status != 401:
                raise read_error(reply, request, self._clock.wall())
            error = read_refusal(reply, request, urlsplit(self._base_url).netloc)
        finally:
            request.wipe()
        self._memory.credentials.add(digest, error, self._clock.monotonic())
        return None, error

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
            self.status, self.request_id = reply.status, request_id(reply, request.secrets)
            if reply.is_good:
                return reply
            self.flight.refreshing = None
            if not is_worth_a_retry(reply.status):
                return reply
            error = read_error(reply, request, self._clock.wall())
            budget = self._policy.sleep_limit - self._slept
            if error.retry_after is not None and error.retry_after > budget:
                raise _come_back_later(error)
            pause = backoff(attempt - 1, RETRY_FIRST, RETRY_LONGEST, self._clock.random())
            pause = max(error.retry_after or 0.0, pause)
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
            after_refusal=self.flight.reason == "401",
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


def _come_back_later(error: MontaAuthError) -> MontaAuthError:
    """The server named a pause that no request should wait for: the caller decides."""
    return recast(error, RateLimitError)
