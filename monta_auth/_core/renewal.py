"""One renewal: read the store, refresh, or use the credentials.

A refresh token works once, as users report. So the client secret is not sent while there is a valid
refresh token. A refused one is dropped. One that was sent, but got no readable response, counts as
spent. After either, the credentials are used once. After a 429 or a 5xx, or without a network,
they are not: the fault stays, and a second call would use up a small quota.
"""

from __future__ import annotations

import copy

from .credentials import returned_secret
from .effects import Steps, Turn
from .errors import (
    ConfigurationError,
    Failure,
    MontaAuthError,
    TransportFailure,
)
from .flight import Superseded
from .held_pair import HeldPair, hold_new
from .outcomes import Adopted, Anew, NotNow, Obtained, Outcome
from .policy import RETRY_FIRST, RETRY_LONGEST, backoff
from .refusals import Refusal
from .replies import Reply, is_worth_a_retry
from .store_errors import raised
from .store_visit import Found, Visit
from .terms import Terms
from .token_calls import (
    TokenRequest,
    is_refused_refresh,
    mint_request,
    read_error,
    read_pair,
    read_refusal,
    read_refused_refresh,
    refresh_request,
)


class Renewal:
    """One renewal, in the turn of one leader.

    Attributes:
        visit: its visit to the store, if there is one; the leader finishes it.
        kind, status, request_id: the last try and its result, for the log. The id is unfiltered.
        refusal: the refusal of the credentials, new or remembered, if there is one.
    """

    def __init__(self, terms: Terms, turn: Turn, held: HeldPair | None) -> None:
        self.visit = Visit(terms, turn, held, self._ask) if terms.store is not None else None
        self._held = held
        self._secret: str | MontaAuthError | None = None
        self._has_asked_again = False
        self.kind: str | None = None
        self.refusal: Refusal | None = None
        self.status: int | None = None
        self.request_id: str | None = None
        self._turn, self._terms, self._clock = turn, terms, terms.clock
        self._slept = 0.0

    @property
    def held(self) -> HeldPair | None:
        """Return the pair that it starts from, possibly read from the store."""
        return self._held if self.visit is None else self.visit.held

    def run(self) -> Steps[Outcome]:
        """Renew once.

        Raises:
            MontaAuthError, TransportFailure: the renewal failed.
            Superseded: another caller is the leader now.
        """
        while True:
            try:
                return (yield from self._renew())
            except Anew:
                pass

    def _renew(self) -> Steps[Outcome]:
        found = Found.RENEW if self.visit is None else (yield from self.visit.begin())
        held = self.held
        if found is Found.NOT_NOW:
            return NotNow()
        if found is Found.ADOPTED:
            return self._adopted()
        token = held.pair.refresh_token if held is not None else None
        if held is not None and token is not None and self._is_good(held, token):
            renewed = yield from self._refresh(held, token)
            if renewed is not None:
                return Obtained(renewed, "refresh")
            # Perhaps another process used it first, and stored the new token pair.
            if self.visit is not None and (yield from self.visit.adopt()):
                return self._adopted()
            token = None
        secret = yield from self._ask()
        if isinstance(secret, MontaAuthError):
            if held is None or token is None or not self._is_ours(held, token):
                raise secret
            # The refresh token has probably expired or is spent, but nothing else is left to try.
            renewed = yield from self._refresh(held, token)
            if renewed is None:
                raise secret
            return Obtained(renewed, "refresh")
        return Obtained((yield from self._mint(secret)), "mint")

    def _adopted(self) -> Adopted:
        self.kind = "stored"
        assert self.held is not None  # it was adopted
        return Adopted(self.held)

    def _is_ours(self, held: HeldPair, token: str) -> bool:
        """Return whether no other process can be using this refresh token."""
        return not held.is_stored or (self.visit is not None and self.visit.shows(token))

    def _is_good(self, held: HeldPair, token: str) -> bool:
        """Return whether to send this refresh token. Without credentials, nothing can be lost."""
        if self._terms.credentials is None:
            return True
        lives = held.refresh_token(self._clock.monotonic()) is not None
        is_spent = token in self._terms.refusals.spent_refresh_tokens
        return lives and not is_spent and self._is_ours(held, token)

    def _refresh(self, held: HeldPair, token: str) -> Steps[HeldPair | None]:
        """Return the new pair; None if this refresh token was refused or may be spent.

        Without credentials, a refusal is an error, and an unknown outcome gets one more call.
        """
        self.kind = "refresh"
        is_all = self._terms.credentials is None
        request = refresh_request(self._terms.base_url, token, self._terms.refusals.secrets)
        try:
            reply = yield from self._exchange(request, token)
        except TransportFailure as failure:
            is_late = self._clock.monotonic() >= self._turn.deadline
            if is_late or not failure.sent or not self._turn.goes_on:
                raise
            if not is_all:
                yield from self._spend(token)
                return None
            reply = yield from self._exchange(request, token)
        if reply.is_good:
            return self._pair_in(reply, request, held)
        if is_all:
            raise read_refused_refresh(reply, request)
        if not is_refused_refresh(reply):
            raise read_error(reply, request, self._clock.wall())
        yield from self._spend(token)
        return None

    def _spend(self, token: str) -> Steps[None]:
        self._terms.refusals.spent_refresh_tokens.add(token)
        if self.visit is not None:
            yield from self.visit.take_out(token)
        self._turn.flight.refreshing = None

    def _mint(self, secret: str) -> Steps[HeldPair]:
        credentials = self._terms.credentials
        assert credentials is not None  # `_ask` returned their secret
        self.kind = "mint"
        is_fixed = credentials.literal_secret is not None
        if not is_fixed and self.visit is not None and (yield from self.visit.rekey(secret)):
            raise Anew
        refused, digest = self._terms.refusals.credentials, credentials.digest(secret)
        self.refusal = refused.find(digest, self._clock.monotonic())
        if self.refusal is not None:
            raise copy.copy(self.refusal.error)
        yield from self._calm_down()
        request = mint_request(
            self._terms.base_url, credentials.client_id, secret, self._terms.refusals.secrets
        )
        reply = yield from self._exchange(request)
        if reply.is_good:
            held = self._pair_in(reply, request)
            refused.discard(digest)
            return held
        if reply.status != 401:
            raise read_error(reply, request, self._clock.wall())
        error = read_refusal(reply, request, credentials.client_id)
        self.refusal = refused.add(digest, error, self._clock.monotonic())
        if is_fixed or self._has_asked_again:
            raise error
        # The secret may have been rotated since the callable returned it.
        self._secret, self._has_asked_again = None, True
        again = yield from self._ask()
        if not isinstance(again, str) or again == secret:
            raise error
        return (yield from self._mint(again))

    def _calm_down(self) -> Steps[None]:
        """Wait if the last mints were abandoned: callers in a hurry would use up the quota."""
        now, end = self._clock.monotonic(), self._turn.deadline
        after = self._terms.failures.mint_after
        if now < after:
            yield from self._turn.sleep(min(after, end) - now)
        if after >= end:
            text = "the callers of the last token calls left before the response came"
            text += f"; the next one is made in {after - end:.0f} s"
            raise TransportFailure(text, "timeout", sent=False, own=True)

    def _ask(self) -> Steps[str | MontaAuthError]:
        """Return the secret, or the error if there is none. Call a callable once per renewal."""
        if self._secret is None:
            self._secret = yield from self._ask_now()
        return self._secret

    def _ask_now(self) -> Steps[str | MontaAuthError]:
        credentials = self._terms.credentials
        if credentials is None:
            return ConfigurationError(
                "the token cannot be renewed any more: it has no refresh token, and there are no "
                "credentials; pass client_id= and client_secret=, or set MONTA_CLIENT_ID and "
                "MONTA_CLIENT_SECRET"
            )
        if isinstance(credentials.secret, str):
            return credentials.secret
        self.kind = "mint"
        try:
            return returned_secret((yield from self._turn.call(credentials.secret)))
        except MontaAuthError as error:
            return error
        except Superseded:
            raise
        except Exception as error:
            what = raised(credentials.secret, error)
        text = f"the callable client_secret {what}: without a secret there is no token"
        return MontaAuthError(text, retryable=True)

    def _exchange(self, request: TokenRequest, refresh_token: str | None = None) -> Steps[Reply]:
        """Make the call, and repeat it after temporary failures, within the policy's limits."""
        policy, flight, deadline = self._terms.policy, self._turn.flight, self._turn.deadline
        attempt = 0
        while True:
            attempt += 1
            if self.visit is not None and not (yield from self.visit.hold()):
                raise Anew
            self._sent_at = self._clock.monotonic()
            left = deadline - self._sent_at
            if left <= 0:
                raise TransportFailure("no time is left", "timeout", sent=False, own=True)
            flight.refreshing, flight.is_minting = refresh_token, refresh_token is None
            error: Failure
            try:
                reply = yield from self._turn.send(request, left)
                flight.is_minting = False
            except TransportFailure as failure:
                flight.is_minting = failure.own and failure.sent
                if not failure.sent:
                    flight.refreshing = None
                if not self._may_repeat(failure, refresh_token):
                    raise
                error = failure
            else:
                self.status, self.request_id = reply.status, reply.headers.get("request-id")
                if reply.is_good:
                    return reply
                flight.refreshing = None
                if not is_worth_a_retry(reply.status):
                    return reply
                error = read_error(reply, request, self._clock.wall())
            budget, hint = policy.sleep_limit - self._slept, error.retry_after
            if hint is not None and hint > budget and isinstance(error, MontaAuthError):
                # No request should wait as long as the server asks, so the caller decides.
                raise error
            pause = backoff(attempt - 1, RETRY_FIRST, RETRY_LONGEST, self._clock.random())
            pause = pause if hint is None else min(max(hint, pause), budget)
            out_of_time = self._clock.monotonic() + pause >= deadline
            if attempt >= policy.attempts or pause > budget or out_of_time:
                raise error
            self._slept += pause
            try:
                yield from self._turn.sleep(pause)
            except TransportFailure:
                # In httpx's own pipeline, a hook that raised for the status has ended the request.
                raise error from None

    def _may_repeat(self, failure: TransportFailure, refresh_token: str | None) -> bool:
        """Return whether to repeat a call with a broken connection, if that cannot lose a token."""
        is_broken = failure.kind != "timeout" and not failure.own
        return is_broken and self._turn.goes_on and (refresh_token is None or not failure.sent)

    def _pair_in(
        self, reply: Reply, request: TokenRequest, old: HeldPair | None = None
    ) -> HeldPair:
        """Return the held pair for a response; `old` is the one that was refreshed."""
        pair = read_pair(reply, request, self._clock.wall())
        self._terms.refusals.know(pair.access_token, pair.refresh_token)
        return hold_new(
            pair,
            self._terms.policy,
            sent=self._sent_at,
            jitter=self._terms.jitter,
            after_refusal=self._turn.flight.after_refusal,
            old=old,
        )
