"""The caller that leads a renewal: it installs, saves, announces and logs the result."""

from __future__ import annotations

import copy
import logging
from collections import deque
from collections.abc import Callable

from .credentials import shortened
from .effects import Call, Steps, Turn
from .errors import Failure, MontaAuthError, TransportFailure, class_name, in_words
from .flight import Flight, Superseded, led_here
from .held_pair import HeldPair
from .outcomes import NotNow, Obtained, Outcome
from .policy import FINISH, LIVING_LIMIT
from .renewal import Renewal
from .replies import safe_text
from .state import State
from .store_errors import raised
from .store_visit import UNOPENED, let_go
from .terms import Terms
from .tokens import TokenSet, fingerprint

logger = logging.getLogger("monta_auth")

OnToken = Callable[[TokenSet], object]


class Leader:
    """Lead the renewals of one source, one at a time.

    Args:
        on_token: called once with each new token pair, after it is in use.

    Attributes:
        unannounced: the pairs that on_token has not been called with yet. If their leader was
            cancelled before the call, the next request makes it.
    """

    def __init__(self, terms: Terms, state: State, on_token: OnToken | None) -> None:
        self._terms = terms
        self._state = state
        self._on_token = on_token
        self.unannounced: deque[HeldPair] = deque()

    def lead(self, flight: Flight, deadline: float, goes_on: bool) -> Steps[HeldPair | None]:
        """Renew; return the installed pair, or None if that failed or another caller took over."""
        started = self._terms.clock.monotonic()
        led_here.set((*(f for f in led_here.get() if not f.over), flight))
        try:
            installed = yield from self._renew(flight, started, deadline, goes_on)
        except BaseException:
            let_go(self._terms, flight)
            for held in list(self.unannounced):
                held.hold_back()  # So the next request calls on_token.
            raise
        finally:
            led_here.set(tuple(f for f in led_here.get() if f is not flight))
        yield from self.announce(deadline)
        return installed

    def _renew(
        self, flight: Flight, started: float, deadline: float, goes_on: bool
    ) -> Steps[HeldPair | None]:
        state, policy = self._state, self._terms.policy
        held = state.held
        left = 0.0 if held is None or held.dropped is not None else held.expires - started
        # Shortly before expiry it may take longer, unless the caller's limit would end the request.
        enough = LIVING_LIMIT if flight.limit <= policy.deadline else policy.deadline
        brief = min(deadline, started + LIVING_LIMIT) if left >= enough else deadline
        turn = Turn(flight, self._terms.clock, deadline, brief, goes_on)
        renewal = Renewal(self._terms, turn, state.held)
        was_down = state.failures.in_a_row > 0
        outcome: Outcome | None = None
        installed: HeldPair | None = None
        failure: Failure | None = None
        own: TransportFailure | None = None
        try:
            outcome = yield from renewal.run()
            try:
                visit = renewal.visit
                if isinstance(outcome, Obtained) and visit is not None and state.wants(flight):
                    yield from visit.save(outcome.held)
            finally:
                # Install it even if the caller was cancelled while saving, because we have it.
                held = outcome.held
                if held is not None and state.install(flight, held, outcome.kind):
                    installed = held
                    if isinstance(outcome, Obtained) and self._on_token is not None:
                        self.unannounced.append(installed)
        except Superseded:
            pass
        except (MontaAuthError, TransportFailure) as error:
            failure = copy.copy(error)
            if isinstance(failure, TransportFailure) and self._concerns_one(failure, turn):
                own, failure = failure, None
        finally:
            if failure is not None:
                state.fail(flight, failure, renewal.held, renewal.refusal, self._until(renewal))
            elif installed is None:
                state.leave(flight, with_all=isinstance(outcome, NotNow))
            self._record(flight, renewal, started, installed, failure, was_down)
        if renewal.visit is not None and flight.successor is None:
            yield from renewal.visit.release(self._left(turn.deadline))
        if own is not None:
            raise own
        return installed

    def _concerns_one(self, failure: TransportFailure, turn: Turn) -> bool:
        """Return whether a failure concerns only this caller, so that another one can lead.

        That includes a broken connection in httpx's own pipeline, where an exception ends the
        request and the call cannot be repeated. Other callers then make the remaining attempts.
        """
        flight, policy = turn.flight, self._terms.policy
        if flight.over and not turn.goes_on:
            return True  # It was superseded, so its failure changes nothing.
        # Half of the limit is clearly less: the clock moves on between two readings.
        if failure.kind == "timeout" and turn.seconds < min(policy.deadline, LIVING_LIMIT) / 2:
            return True  # It had waited before, and had too little time left.
        if failure.own or turn.goes_on or failure.kind == "timeout" or not flight.waiting:
            return failure.own
        flight.lost += 1
        return flight.lost < policy.attempts

    def _until(self, renewal: Renewal) -> float:
        """Return until when no renewal can succeed. A callable may return a new secret any time."""
        credentials, refusal = self._terms.credentials, renewal.refusal
        is_fixed = credentials is not None and credentials.literal_secret is not None
        return refusal.until if refusal is not None and is_fixed else 0.0

    def _left(self, deadline: float) -> float:
        return max(0.0, min(deadline - self._terms.clock.monotonic(), LIVING_LIMIT))

    def announce(self, deadline: float) -> Steps[None]:
        """Call on_token with each pair that it has not been called with yet.

        An async caller waits for it until the deadline, but only briefly: the pair is in use.
        """
        while self.unannounced and self._on_token is not None:
            try:
                held = self.unannounced.popleft()
            except IndexError:  # pragma: no cover - another thread was faster
                return
            held.show()
            try:
                yield Call(self._on_token, held.pair, finish=FINISH, seconds=self._left(deadline))
            except TransportFailure:
                # In httpx's own pipeline, no function is called for a request that has failed.
                held.hold_back()
                self.unannounced.appendleft(held)
                return
            except Exception as error:
                what = raised(self._on_token, error)
                logger.warning("on_token %s; the token pair is in use", what)

    def _record(
        self,
        flight: Flight,
        renewal: Renewal,
        started: float,
        held: HeldPair | None,
        failure: Failure | None,
        was_down: bool,
    ) -> None:
        """Log one record for this renewal, and report whether the store works."""
        visit = renewal.visit
        if visit is not None and visit.error is not UNOPENED and (visit.error or visit.has_served):
            self._terms.report_store(visit.error)
        now = self._terms.clock.monotonic()
        level, outcome, error = logging.DEBUG, "abandoned", None
        if held is not None:
            outcome = "renewed"
            level = logging.INFO if was_down else level
        elif failure is not None:
            outcome, error = class_name(failure), in_words(failure)
            # While the current token is valid, no caller gets the error, so it is a warning.
            begins = logging.INFO if self._state.usable(now) is None else logging.WARNING
            level = level if was_down else begins
        if not logger.isEnabledFor(level):
            return
        credentials = self._terms.credentials
        fields = {
            "reason": flight.reason,
            "kind": renewal.kind,
            "outcome": outcome,
            "status": renewal.status,
            "error_code": failure.error_code if isinstance(failure, MontaAuthError) else None,
            "request_id": safe_text(renewal.request_id, self._terms.refusals.secrets),
            "duration": round(now - started, 3),
            "token": fingerprint(held.pair.access_token) if held is not None else None,
            "client_id": shortened(credentials.client_id) if credentials is not None else None,
        }
        line = " ".join(f"{name}={_word(value)}" for name, value in fields.items())
        extra = {f"monta_auth.{name}": value for name, value in (*fields.items(), ("error", error))}
        logger.log(level, "renewal %s", line, extra=extra)


def _word(value: object) -> str:
    """Return a value as one word, because a server's text must not look like more fields."""
    return "-" if value is None else str(value).replace(" ", "_").replace("=", "_")
