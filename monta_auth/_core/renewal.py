"""How one renewal goes: look into the store, refresh, fall back to the credentials.

A refresh token is single-use (so users report). Hence: while one lives, the secret stays home;
one that was sent and brought no readable reply counts as spent; a refused one is dropped and the
credentials are used once. 429, 5xx and network failures never fall through to the credentials:
that would spend a second call of a small quota on a fault which it cannot mend.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from .credentials import Credentials, checked_secret
from .effects import Steps, Turn
from .errors import (
    ConfigurationError,
    InvalidCredentialsError,
    InvalidTokenResponseError,
    MontaAuthError,
    RateLimitError,
    TransportFailure,
    recast,
)
from .flight import Superseded
from .held_pair import HeldPair, hold_new
from .policy import RETRY_FIRST, RETRY_LONGEST, backoff
from .replies import Reply, is_worth_a_retry, request_id
from .store_visit import Found, Visit
from .terms import Terms
from .token_calls import (
    Kind,
    TokenRequest,
    mint_request,
    read_error,
    read_pair,
    read_refusal,
    refresh_request,
)


class Obtained:
    """A renewal brought a new pair, through a token call of this kind."""

    def __init__(self, held: HeldPair, kind: Kind) -> None:
        self.held = held
        self.kind: Kind = kind


class Adopted:
    """A renewal took over a pair that another process had stored."""

    kind = None

    def __init__(self, held: HeldPair) -> None:
        self.held = held


#: None: another process renews, and the held token still serves.
Outcome = Obtained | Adopted | None


class Renewal:
    """One renewal, in the turn of one leader.

    Attributes:
        visit: its business with the store, if there is one; to be finished by the leader.
        label, status, request_id: for the log: what was tried last, and what came of it.
    """

    def __init__(self, terms: Terms, turn: Turn, held: HeldPair | None) -> None:
        store = terms.store
        self.visit = Visit(terms, store, turn, held) if store is not None else None
        self._held = held
        self.label = "none"
        self.status: int | None = None
        self.request_id: str | None = None
        self._turn = turn
        self._terms = terms
        self._clock = terms.clock
        self._slept = 0.0

    @property
    def held(self) -> HeldPair | None:
        """The pair that it goes out from, which may have been read from the store."""
        return self._held if self.visit is None else self.visit.held

    def run(self) -> Steps[Outcome]:
        """Renew once.

        Raises:
            MontaAuthError, TransportFailure: it failed.
            Superseded: another caller leads by now.
        """
        found = Found.RENEW if self.visit is None else (yield from self.visit.begin())
        held = self.held
        if found is not Found.RENEW:
            self.label = "stored"
            return Adopted(held) if found is Found.ADOPTED and held is not None else None
        token = held.refresh_token(self._clock.monotonic()) if held is not None else None
        spent = self._terms.refusals.spent_refresh_tokens
        if token is not None and (token not in spent or self._terms.credentials is None):
            renewed = yield from self._refresh(token)
            if renewed is not None:
                return Obtained(renewed, "refresh")
            spent.add(token)
            # Refused: perhaps another process was faster and left its pair in the store.
            if self.visit is not None and (yield from self.visit.adopt()):
                assert self.visit.held is not None  # it was adopted
                self.label = "stored"
                return Adopted(self.visit.held)
        return Obtained((yield from self._mint()), "mint")

    # --- the calls

    def _refresh(self, token: str) -> Steps[HeldPair | None]:
        """Return the new pair, or None if the server refused this refresh token."""
        self.label = "refresh"
        request = refresh_request(self._terms.base_url, token)
        try:
            reply = yield from self._exchange(request, token)
            if reply.is_good:
                return self._pair_in(reply, request)
            if reply.status >= 400:
                return None  # refused; 5xx was dealt with there
            raise read_error(reply, request, self._clock.wall())
        finally:
            request.wipe()

    def _mint(self) -> Steps[HeldPair]:
        credentials = self._terms.credentials
        if credentials is None:
            raise ConfigurationError(
                "the token cannot be renewed any more: its refresh token is used up, and there "
                "are no credentials; pass client_id= and client_secret=, or set MONTA_CLIENT_ID "
                "and MONTA_CLIENT_SECRET"
            )
        self.label = "mint"
        secret = yield from self._secret(credentials)
        answer = yield from self._mint_with(credentials, secret)
        if isinstance(answer, InvalidCredentialsError) and credentials.literal_secret is None:
            # It may have been rotated since it was asked for.
            again = yield from self._secret(credentials)
            if again != secret:
                answer = yield from self._mint_with(credentials, again)
        if isinstance(answer, InvalidCredentialsError):
            raise answer
        return answer

    def _mint_with(
        self, credentials: Credentials, secret: str
    ) -> Steps[HeldPair | InvalidCredentialsError]:
        """Return the new pair, or what the server said of these credentials."""
        refused = self._terms.refusals.credentials
        digest = credentials.digest(secret)
        refused.check(digest, self._clock.monotonic())
        request = mint_request(self._terms.base_url, credentials.client_id, secret)
        try:
            reply = yield from self._exchange(request)
            if reply.is_good:
                held = self._pair_in(reply, request)
                refused.discard(digest)
                return held
            if reply.status != 401:
                raise read_error(reply, request, self._clock.wall())
            error = read_refusal(reply, request, urlsplit(self._terms.base_url).netloc)
        finally:
            request.wipe()
        refused.add(digest, error, self._clock.monotonic())
        return error

    def _secret(self, credentials: Credentials) -> Steps[str]:
        if isinstance(credentials.secret, str):
            return credentials.secret
        try:
            secret = yield from self._turn.call(credentials.secret)
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

    def _exchange(self, request: TokenRequest, refresh_token: str | None = None) -> Steps[Reply]:
        """Make the call until it is answered with something else than "later"."""
        policy, flight, deadline = self._terms.policy, self._turn.flight, self._turn.deadline
        attempt = 0
        while True:
            attempt += 1
            self._sent_at = self._clock.monotonic()
            left = deadline - self._sent_at
            if left <= 0:
                raise TransportFailure("no time is left for a token call", "timeout", sent=False)
            flight.refreshing = refresh_token
            try:
                reply = yield from self._turn.send(request, left)
            except TransportFailure as failure:
                if not failure.sent:
                    flight.refreshing = None
                raise
            self.status, self.request_id = reply.status, request_id(reply, request.secrets)
            if reply.is_good:
                return reply
            flight.refreshing = None
            if not is_worth_a_retry(reply.status):
                return reply
            error = read_error(reply, request, self._clock.wall())
            budget = policy.sleep_limit - self._slept
            if error.retry_after is not None and error.retry_after > budget:
                # The server named a pause that no request should wait for: the caller decides.
                raise recast(error, RateLimitError)
            pause = backoff(attempt - 1, RETRY_FIRST, RETRY_LONGEST, self._clock.random())
            pause = max(error.retry_after or 0.0, pause)
            pause = min(pause, budget) if error.retry_after is not None else pause
            out_of_time = self._clock.monotonic() + pause >= deadline
            if attempt >= policy.attempts or pause > budget or out_of_time:
                raise error
            self._slept += pause
            yield from self._turn.sleep(pause)

    def _pair_in(self, reply: Reply, request: TokenRequest) -> HeldPair:
        held = hold_new(
            read_pair(reply, request, self._clock.wall()),
            self._terms.policy,
            sent=self._sent_at,
            jitter=self._terms.jitter,
            after_refusal=self._turn.flight.after_refusal,
        )
        if held.header in self._terms.refusals.headers:
            raise InvalidTokenResponseError(
                "the token endpoint issued an access token again that the API has refused",
                status=reply.status,
                retryable=True,
            )
        return held
