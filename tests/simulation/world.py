"""A world of flows, one server, and time that stands still between two steps.

Each step is one choice among the possible actions. After each step the invariants are checked. A
run is its list of choices, which is enough to replay it.

These calls may be on the wire, for each source: one call of the flow that owns its flight, and
calls of flows that lost their flight while they were calling. They lose it to the lease of 60 s,
to `forget`, or to a sync caller in their thread.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import pytest

from monta_auth import InvalidCredentialsError, MontaAuthError, RefreshPolicy, TokenStoreError
from monta_auth._core import source as _source
from monta_auth._core.effects import Call, Send, Sleep, Wait
from monta_auth._core.errors import TransportFailure
from monta_auth._core.flight import Flight
from monta_auth._core.held_pair import Dropped, Phase
from monta_auth._core.policy import LEADER_LEASE, LIVING_LIMIT, RENEWALS, RETRY_FIRST
from monta_auth._core.replies import Reply
from monta_auth._core.source import Source
from monta_auth._core.store_changes import forgetting
from monta_auth.stores import MemoryStore

from .flows import (
    ID,
    SECRET,
    URL,
    Caller,
    Hands,
    broken,
    error_reply,
    make_source,
    no_answer,
    no_connection,
    pair_reply,
)

LIFE = 3600.0
#: Cached because the server and several invariants read each body.
read = lru_cache(maxsize=256)(json.loads)
#: The thread of the event loop. Flows with another number have their own thread.
LOOP = 0
Action = tuple[Any, ...]
#: The thread, and whether the flow blocks it. In httpx's own pipeline, where an exception ends the
#: request, also how many seconds the request allows for a token call.
Plan = tuple[int, bool] | tuple[int, bool, float]
#: Outcomes of calls that the server carried out, though their replies may have a fault.
CARRIED_OUT = ("ok", "bare", "same", "lost", "garbage", "reset", "hook", "seen hook", "own late")


class Server:
    """Makes tokens as Monta does: a refresh token works once, and each new pair has a new one."""

    def __init__(self, hands: Hands) -> None:
        self.hands = hands
        self.calls = 0
        self.pairs = 0
        self.usable: set[str] = set()
        self.knows_us = True
        self.born: dict[int, float] = {}

    def left(self, number: int) -> float:
        """Return how many more seconds this access token is valid."""
        return self.born[number] + LIFE - self.hands.now

    def serve(self, request: Any, how: str = "ok") -> Reply:
        """Carry out a call.

        Args:
            how: "same" returns the newest pair once more, while it is valid. "bare" returns a pair
                without a refresh token, so the one that was sent stays usable.
        """
        self.calls += 1
        body = read(request.body)
        if request.kind == "refresh":
            token = body["refreshToken"]
            if token not in self.usable:
                return error_reply(401)
            if how != "bare":
                self.usable.remove(token)
        else:
            assert body == {"clientId": ID, "clientSecret": SECRET}
            if not self.knows_us:
                return error_reply(401)
        if how != "same" or not self.pairs or self.left(self.pairs) < 1.0:
            self.pairs += 1
            self.born[self.pairs] = self.hands.now
        life = self.left(self.pairs)
        if how == "bare":
            nothing = {"refreshToken": None, "refreshTokenExpirationDate": None}
            return pair_reply(self.hands, self.pairs, life=life, **nothing)
        self.usable.add(f"refresh-{self.pairs}")
        return pair_reply(self.hands, self.pairs, life=life)


def serial(header: str) -> int:
    return int(header.rpartition("-")[2])


class Flow(Caller):
    """A caller in a thread, with what the scheduler knows about it."""

    def __init__(self, source: Source, number: int, plan: Plan) -> None:
        self.number = number
        self.source = source
        self.thread, self.blocking = plan[:2]
        self.goes_on = len(plan) == 2
        self.closed = False
        self.frozen = False
        self.until = 0.0
        self.flight: Flight | None = None
        self.mine: Flight | None = None
        self.sends = 0
        self.woken: list[bool] = []
        self.later: Flight | None = None
        self.sent_at = float("inf")
        self.retry_sleep = 0.0
        self.reply: Reply | None = None
        self.has_secret = True
        self.faults = 0
        self.life = LIFE
        self.brings = ""
        settings: dict[str, Any] = {"limit": plan[2], "goes_on": False} if len(plan) == 3 else {}
        super().__init__(source, blocking=self.blocking, **settings)

    @property
    def ended(self) -> bool:
        return self.closed or self.effect is None

    def __repr__(self) -> str:
        kind = "" if self.goes_on else " in a pipeline"
        return f"{'sync' if self.blocking else 'async'} flow {self.number}{kind} ({self.wants})"


def forget(source: Source) -> None:
    """Run `forget` until it would wait for a lease. There, its caller is interrupted."""
    flow = forgetting(source._state, source._terms)
    with suppress(StopIteration, TokenStoreError):
        effect = next(flow)
        while isinstance(effect, Call):
            effect = flow.send(effect.function(*effect.args))
    flow.close()


class World:
    """The sources, flows, server and clock of one run.

    Args:
        start: the state of the first source's pair: cold, fresh, advisory, mandatory, dead, 401.
        faults: what may happen to a token call instead of a good answer.
        turns: what may happen outside the flows, each at most `turn_limit` times.
        flows: the plans of new flows, in this order.
        sources: how many sources there are; they share the store, if there is one.
    """

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        *,
        start: str = "cold",
        faults: tuple[str, ...] = (),
        turns: tuple[str, ...] = (),
        turn_limit: int = 1,
        flows: tuple[Plan, ...] = ((LOOP, False), (LOOP, False)),
        sources: int = 1,
        store: bool = False,
        callables: bool = False,
        two_phases: bool = False,
        freezes: bool = False,
        answers: int = 1,
        policy: RefreshPolicy | None = None,
    ) -> None:
        self.hands = Hands()
        self.server = Server(self.hands)
        self.faults = faults
        self.turns = dict.fromkeys(turns, turn_limit)
        self.two_phases = two_phases
        self.freezes = freezes
        self.answers = answers
        self.thread = LOOP
        patch.setattr(_source, "threading", SimpleNamespace(get_ident=lambda: self.thread))
        settings: dict[str, Any] = {"policy": policy}
        if store:
            settings["store"] = MemoryStore(monotonic=lambda: self.hands.now)
        if callables:
            settings |= {"client_secret": lambda: SECRET, "on_token": self.hear}
        self.heard: Counter[int] = Counter()
        self.sources = [make_source(self.hands, **settings) for _ in range(sources)]
        self.led: Flight | None = None
        self.mine: Flight | None = None
        for source in self.sources:
            self._watch(patch, source)
        self.plan: list[Plan] = list(flows)
        self.flows: list[Flow] = []
        self.trace: list[str] = []
        # For each source: refresh token -> why it may not be sent again.
        self.used: list[dict[str, str]] = [{} for _ in self.sources]
        if store and "call" not in faults:
            # While the store works, only one flow of all the sources may use a refresh token.
            self.used = self.used[:1] * sources
        # How often a token call returned each header. For each header that was refused or
        # invalidated: how often until then. If a later renewal returns the same header, it may be
        # used again.
        self.brought: list[Counter[str]] = [Counter() for _ in self.sources]
        self.refused: list[dict[str, int]] = [{} for _ in self.sources]
        # For each header that came without a refresh token: the refresh token that was sent for it.
        self.kept: dict[str, str | None] = {}
        self.newest = [0] * sources
        self.sends_of_flight: dict[Flight, int] = {}
        if start != "cold":
            self._prepare(start)

    def _watch(self, patch: pytest.MonkeyPatch, source: Source) -> None:
        """Notice which flight each flow leads. A flow decides again at each start and wake-up."""
        decide = source._state.decide

        def watched(now: float, mine: Flight, *others: Any) -> Any:
            verdict = decide(now, mine, *others)
            self.mine = mine
            self.led = mine if verdict is mine else None
            return verdict

        patch.setattr(source._state, "decide", watched)

    def hear(self, new: Any) -> None:
        self.heard[serial(new.access_token)] += 1

    def _prepare(self, start: str) -> None:
        plan = self.plan
        self.plan = [(LOOP, False)]
        two_phases = self.two_phases
        self.settle()
        self.plan, self.two_phases = plan, two_phases
        self.flows.clear()
        self.trace.clear()
        seconds = {"advisory": 3400.0, "mandatory": 3580.0, "dead": 3700.0}.get(start, 1.0)
        self.hands.advance(seconds)
        if start == "401":
            self.act(("turn", "refuse"), free=True)

    # --- what can be done

    def actions_of_flows(self) -> list[Action]:
        actions: list[Action] = []
        for flow in self.flows:
            if flow.ended or self._is_blocked(flow):
                continue
            if flow.frozen:
                actions.append(("thaw", flow))
                continue
            actions += self._steps(flow)
            actions.append(("close", flow))
            if self.freezes and flow.flight is not None:
                actions.append(("freeze", flow))
        return actions

    def actions_of_world(self) -> list[Action]:
        actions: list[Action] = [("start",)] if self.plan else []
        if self._next_moment() is not None:
            actions.append(("tick",))
        return actions + [("turn", turn) for turn, left in self.turns.items() if left]

    def _next_moment(self) -> float | None:
        """Return when the next sleep or wait ends, if there is one."""
        pending = [f for f in self.flows if not f.ended and isinstance(f.effect, Sleep | Wait)]
        return min((f.until for f in pending if f.until > self.hands.now), default=None)

    def _is_blocked(self, flow: Flow) -> bool:
        """Return whether a younger flow blocks its thread.

        Only the youngest one can go on there.
        """
        later = self.flows[self.flows.index(flow) + 1 :]
        return any(f.blocking and f.thread == flow.thread and not f.ended for f in later)

    def _steps(self, flow: Flow) -> list[Action]:
        effect = flow.effect
        if isinstance(effect, Send):
            if flow.reply is not None:
                breaks: list[Action] = [("break", flow)] if "reset" in self.faults else []
                return [("deliver", flow), ("lose", flow), *breaks]
            # Where choices are random, faults must not outnumber answers.
            steps: list[Action] = [("answer", flow, "ok")] * self.answers
            unfit = ("call", "seen hook") if flow.goes_on else ("call",)
            steps += [("answer", flow, fault) for fault in self.faults if fault not in unfit]
            if self.two_phases:
                steps += [("serve", flow, "ok")] * self.answers
                steps += [("serve", flow, how) for how in ("bare", "same") if how in self.faults]
            return steps
        if isinstance(effect, Call):
            fails: list[Action] = [("call fails", flow)] if "call" in self.faults else []
            return [("call", flow), *fails]
        over = isinstance(effect, Wait) and effect.flight.over
        return [("wake", flow)] if over or self.hands.now >= flow.until else []

    # --- doing it

    def act(self, action: Action, free: bool = False) -> None:
        name = action[0]
        self.trace.append(" ".join(map(str, action)))
        if name == "start":
            self._start()
        elif name == "tick":
            moment = self._next_moment()
            assert moment is not None
            self.hands.advance(moment - self.hands.now)
        elif name == "turn":
            if not free:
                self.turns[action[1]] -= 1
            self._turn(action[1])
        else:
            self._step(*action)
        self.check()

    def _start(self) -> None:
        plan = self.plan.pop(0)
        number = len(self.flows)
        source = self.sources[number % len(self.sources)]
        self.thread = plan[0]
        self.led = self.mine = None
        flow = Flow(source, number, plan)
        self.flows.append(flow)
        self._look(flow, was=None)

    def _step(self, name: str, flow: Flow, fault: str = "") -> None:
        self.thread = flow.thread
        self.led, self.mine = flow.flight, flow.mine
        was = flow.effect
        if name == "freeze":
            flow.frozen = True
            return
        if name == "thaw":
            flow.frozen = False
            return
        if name == "serve":
            flow.reply = self._serve(flow, was, fault)
            return
        if name == "close":
            flow.closed = True
            if isinstance(was, Send):
                self._use(flow, was, "closed")
            flow.close()
            return
        if name == "wake":
            flow.resume(None)
        elif name == "call":
            flow.call()
        elif name == "call fails":
            assert isinstance(was, Call)
            # Without the secret, even a refresh token that may be spent is worth a try.
            flow.has_secret &= was.function is not flow.source.credentials.secret  # type: ignore[union-attr]
            flow.faults += not flow.has_secret
            flow.resume(OSError("no space left"))
        else:
            outcome = self._outcome(name, flow, was, fault)
            moment = isinstance(outcome, Reply) and (outcome.status in (429, 500, 503))
            flow.later = flow.flight if moment and was.request.kind == "refresh" else None
            self._receive(flow, was, outcome, fault)
        self._look(flow, was)

    def _serve(self, flow: Flow, effect: Send, how: str) -> Reply:
        reply = self.server.serve(effect.request, how)
        flow.life = self.server.left(self.server.pairs) if reply.is_good else LIFE
        return reply

    def _receive(self, flow: Flow, effect: Send, outcome: object, fault: str) -> None:
        """Give a flow the outcome of its token call."""
        state = flow.source._state
        is_leader = state._flight is flow.flight
        waiting = list(flow.flight.waiting) if flow.flight is not None else []
        failures, last = state.counts["failure"], state.failures.last
        good = outcome if isinstance(outcome, Reply) and outcome.is_good else None
        flow.faults += good is None
        if good is not None and fault != "garbage":
            answer = read(good.body)
            flow.brings = "Bearer " + answer["accessToken"]
            self.brought[self.sources.index(flow.source)][flow.brings] += 1
            self.kept.pop(flow.brings, None)
            if "refreshToken" not in answer:
                self.kept[flow.brings] = read(effect.request.body).get("refreshToken")
        flow.resume(outcome)
        failure = broken() if fault == "seen hook" else outcome
        if not isinstance(failure, TransportFailure):
            return
        if not flow.goes_on:
            # The exception ended the request, so nothing that the flow asks for can be done.
            while flow.effect is not None:
                flow.resume(copy.copy(failure))
        if fault == "seen hook":
            return  # it is judged by its response
        added = state.counts["failure"] - failures
        if not is_leader:
            # It may lead again and find at once that its credentials were refused meanwhile.
            is_other = isinstance(state.failures.last, InvalidCredentialsError)
            assert added == 0 or is_other, "the failure of a superseded leader was remembered"
        elif state._flight is flow.flight:
            assert added == 0, "a failure was remembered of a renewal that goes on"
        elif added == 0:
            assert state.failures.last is last
            is_pipeline = not flow.goes_on and failure.kind != "timeout" and waiting
            is_short = failure.kind == "timeout" and effect.timeout < LIVING_LIMIT
            assert failure.own or is_pipeline or is_short, f"not remembered: {failure}"
            heir = max(waiting, key=lambda flight: flight.limit, default=None)
            assert state._flight is heir, "the wrong caller goes on"
        else:
            assert added == 1
            # If its callable secret failed earlier, the failure is remembered.
            is_own = failure.own and flow.has_secret
            assert not is_own, "a failure of a caller's own was remembered"
            left = effect.timeout - (self.hands.now - flow.sent_at)
            is_alone = flow.faults == 1 and left > RETRY_FIRST * 1.25
            if flow.goes_on and failure.kind != "timeout":
                assert not is_alone, "one broken connection failed a renewal"
            elif failure.kind != "timeout" and waiting:
                assert flow.flight is not None
                assert flow.flight.lost == flow.source.policy.attempts, "no other caller tried"

    def _outcome(self, name: str, flow: Flow, effect: Send, fault: str) -> object:
        served, flow.reply = flow.reply, None
        if name == "lose":
            self._use(flow, effect, "no answer")
            return no_answer()
        if name == "break":
            self._use(flow, effect, "broken")
            return broken()
        reply = served if name == "deliver" else None
        if name == "answer" and fault in CARRIED_OUT:
            reply = self._serve(flow, effect, fault)
        if fault == "lost":
            self._use(flow, effect, "no answer")
            return no_answer()
        if fault in ("reset", "reset early", "hook"):
            self._use(flow, effect, "broken")
            return broken()
        if fault == "cut":
            return broken(sent=False)
        if fault in ("own", "own late"):
            # A full pool, or the request's own short timeout.
            text, sent = f"for flow {flow.number} alone", fault == "own late"
            if sent:
                self._use(flow, effect, "left")
            return TransportFailure(text, "timeout" if sent else "connect", sent, own=True)
        if fault == "garbage":
            self._use(flow, effect, "unreadable")
            return Reply(200, {}, b"<html>")
        if fault == "unsent":
            return no_connection()
        if fault == "slow":
            self.hands.advance(effect.timeout)
            self._use(flow, effect, "timed out")
            return no_answer()
        if fault == "hint":
            return error_reply(429, headers={"Retry-After": "20"})
        if reply is None:
            return error_reply(int(fault))
        if reply.status == 401 or (reply.is_good and not self._is_kept(effect, reply)):
            self._use(flow, effect, f"answered {reply.status}")
        return reply

    def _is_kept(self, effect: Send, reply: Reply) -> bool:
        """Return whether the server keeps the sent refresh token valid.

        It shows this with the same refresh token or none in its reply (RFC 6749, section 6).
        """
        sent = read(effect.request.body).get("refreshToken")
        return read(reply.body).get("refreshToken") in (None, sent)

    def _use(self, flow: Flow, effect: Send, why: str) -> None:
        if effect.request.kind == "refresh":
            token = read(effect.request.body)["refreshToken"]
            self.used[self.sources.index(flow.source)][token] = why

    def _turn(self, turn: str) -> None:
        source = self.sources[0]
        number = 0
        if turn.endswith("2"):
            number = len(self.sources) - 1
            source, turn = self.sources[number], turn[:-1]
        held = source._state.held
        if turn == "refuse" and held is not None:
            header = str(held.header)
            if source.refuse(401, URL, header, header):
                self._refuse(number, header)
        elif turn == "late refuse" and held is not None and serial(held.header) > 1:
            header = f"Bearer access-{serial(held.header) - 1}"
            assert source.refuse(401, URL, header, header)
            assert held.dropped is not None or source._state.held is held
            self._refuse(number, header)
        elif turn in ("invalidate", "forget"):
            if held is not None:
                self._refuse(number, str(held.header))
            if turn == "forget":
                forget(source)
            else:
                source.invalidate()
        elif turn == "lease":
            self.hands.advance(LEADER_LEASE + 1)
        elif turn == "second":
            self.hands.advance(1.0)
        elif turn == "deadline":
            self.hands.advance(10.0)
        elif turn == "age":
            self.hands.advance(3400.0)
        elif turn == "die":
            self.hands.advance(LIFE)
        elif turn == "revoke":
            self.server.usable.clear()
        elif turn == "deny":
            self.server.knows_us = not self.server.knows_us

    def _refuse(self, number: int, header: str) -> None:
        # A renewal that is about to save this token ends after this moment.
        saving = [f for f in self.flows if f.brings == header and f.wants == "call save"]
        late = sum(f.source is self.sources[number] for f in saving)
        self.refused[number][header] = self.brought[number][header] - late

    def _is_refused(self, number: int, header: str) -> bool:
        """Return whether the token was refused or dropped, and no later renewal got it again."""
        until_then = self.refused[number].get(header)
        return until_then is not None and self.brought[number][header] <= until_then

    # --- the invariants

    def _look(self, flow: Flow, was: Any) -> None:
        """Check what a flow has just done."""
        source = flow.source
        flow.flight, flow.mine = self.led, self.mine
        index = self.sources.index(source)
        state, now, effect = source._state, self.hands.now, flow.effect
        if isinstance(effect, Wait):
            # The on_token call for another flow's pair may have used up all its time.
            has_told = isinstance(was, Call) and was.function == self.hear
            assert effect.seconds > 0 or has_told
            assert effect.seconds <= source.policy.deadline
            flow.until = now + effect.seconds
            flow.woken = [True]
            if effect.flight.add(lambda woken=flow.woken: woken.append(True)):  # type: ignore[misc]
                flow.woken.clear()
            silent = now - effect.flight.touched
            assert flow.mine is not None  # because it waits
            patience = state.patience(flow.mine, effect.flight)
            assert silent < patience, "a wait for a flight that ran out"
            for other in self.flows if flow.blocking else ():
                if other.flight is effect.flight and other is not flow:
                    assert other.thread != flow.thread, f"{flow} waits for its own thread"
        elif isinstance(effect, Sleep):
            assert 0 < effect.seconds
            flow.until = now + effect.seconds
            if isinstance(was, Send):
                flow.retry_sleep += effect.seconds
        if isinstance(effect, Send):
            self._look_at_send(flow, index, effect)
        if isinstance(effect, Call) and effect.function == self.hear:
            flow.sent_at = min(flow.sent_at, now)
        held = state.held
        is_dropped = held is None or held.dropped is Dropped.INVALIDATED
        # If both of its pairs were dropped before it could use them, it goes on with one of them.
        is_worn = is_dropped and flow.spent.renewals >= RENEWALS
        if flow.result is not None and not is_worn:
            assert held is not None
            assert flow.result == held.header, "a header that the source does not hold"
            # If a reply or on_token took longer than the token is valid, the token has expired.
            in_time = now - flow.sent_at < min(60.0, flow.life)
            assert held.phase(now) is not Phase.DEAD or not in_time, "an expired token was returned"
            assert not self._is_refused(index, flow.result), "a refused header was returned"
        if flow.error is not None:
            assert isinstance(flow.error, MontaAuthError | TransportFailure), repr(flow.error)
            if flow.goes_on or not isinstance(was, Send):  # An exception ends this request.
                assert state.usable(now) is None, "a failure reached a caller despite a valid token"
            if isinstance(flow.error, TransportFailure) and "alone" in flow.error.text:
                text = f"for flow {flow.number} alone"
                assert flow.error.text == text, "a caller's own failure reached another"
            others = [f.error for f in self.flows if f is not flow and f.error is not None]
            assert all(flow.error is not error for error in others), "a failure is shared"

    def _look_at_send(self, flow: Flow, index: int, effect: Send) -> None:
        source = flow.source
        flight = source._state._flight
        assert flight is not None
        assert flow.flight is flight, "a call by a flow that does not own the flight"
        assert 0 < effect.timeout <= source.policy.deadline
        flow.sends += 1
        flow.sent_at = self.hands.now
        flow.brings = ""
        self.sends_of_flight[flight] = self.sends_of_flight.get(flight, 0) + 1
        assert self.sends_of_flight[flight] <= 2 * source.policy.attempts, "calls without end"
        assert flow.retry_sleep <= source.policy.sleep_limit * 1.0001 * max(1, flow.sends)
        for other in self.flows:
            if other is not flow and other.source is source and isinstance(other.effect, Send):
                lost = other.flight
                both = f"{other} and {flow} are calling at once"
                assert lost is not None, both
                assert lost is not flight, both
                assert lost.over, both
                self._use(other, other.effect, "still on the wire")
        if effect.request.kind == "mint":
            assert flow.later is not flight, "the credentials were used after a 429 or 5xx"
        if effect.request.kind == "refresh":
            token = read(effect.request.body)["refreshToken"]
            why = self.used[index].get(token)
            assert why is None or not flow.has_secret, (
                f"{token} was sent again although it was {why}"
            )

    def check(self) -> None:
        """Check what must hold at every moment."""
        for index, source in enumerate(self.sources):
            state = source._state
            if state.held is not None:
                number = serial(state.held.header)
                if state.held.header in self.kept:
                    kept = self.kept[state.held.header]
                    assert state.held.pair.refresh_token == kept, "the refresh token was lost"
                assert number >= self.newest[index], "an older pair replaced a newer one"
                self.newest[index] = number
                if self._is_refused(index, state.held.header):
                    assert self.hands.now >= state.held.ready_until
            flight = state._flight
            if flight is not None:
                leaders = [f for f in self.flows if f.mine is flight and not f.ended]
                assert len(leaders) == 1, f"a flight with {len(leaders)} leaders"
        for flow in self.flows:
            if not flow.ended and isinstance(flow.effect, Wait):
                flight = flow.effect.flight
                alive = flight is flow.source._state._flight
                assert flight.over or alive, f"{flow} waits for a flight that will not end"
                assert not flight.over or flow.woken, f"{flow} was not woken"
        for number, times in self.heard.items():
            brought = sum(counter[f"Bearer access-{number}"] for counter in self.brought)
            assert times <= brought, "on_token heard of a pair twice"

    # --- the end

    def settle(self) -> None:
        """Let all flows end, with a server that works. Frozen flows stay frozen."""
        self.server.knows_us = True
        self.two_phases = False
        calls = self.server.calls
        while self.plan:
            self.act(("start",))
        limit = 1500 + 100 * len(self.flows)
        for _ in range(limit):
            pending = [f for f in self.flows if not f.ended and not f.frozen]
            pending = [f for f in pending if not self._is_blocked(f)]
            if not pending:
                break
            steps = [step for f in pending for step in self._steps(f)[:1]]
            if steps:
                self.act(steps[0])
                continue
            # Only time can help now: a deadline or the end of a sleep must come.
            until = min(f.until for f in pending)
            assert until > self.hands.now
            assert until - self.hands.now <= 10.0
            self.hands.advance(until - self.hands.now)
            self.trace.append(f"time passes to {self.hands.now}")
        else:
            raise AssertionError(f"some flows do not finish: {self.flows}")
        frozen = [f for f in self.flows if f.frozen and not f.ended]
        spent = self.server.calls - calls
        assert spent <= 4 * len(self.sources) + 2 * len(frozen), f"{spent} calls to settle"
        for flow in frozen:
            if not self._is_blocked(flow):
                flow.frozen = False
        if any(not f.ended and not f.frozen for f in frozen):
            self.settle()


Chooser = Callable[[int], int]


def run(world: World, choose: Chooser, steps: int, flows_first: bool = False) -> None:
    """Make one run: this many choices, then let all flows end."""
    for _ in range(steps):
        mine, others = world.actions_of_flows(), world.actions_of_world()
        if flows_first and others:
            # Mostly start flows and step them. Now and then, something else happens.
            steps_first = [*mine, others[0]] if others[0] == ("start",) else mine
            actions = steps_first if steps_first and choose(3) else others
        else:
            actions = mine + others
        if not actions:
            break
        world.act(actions[choose(len(actions))])
    world.settle()
