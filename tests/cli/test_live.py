"""doctor --live, with a Monta for each possible answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

import monta_auth
from monta_auth._cli import live
from monta_auth.emulator import Emulator, Fault
from monta_auth.emulator._state import State

from .harness import Done

pytestmark = pytest.mark.usefixtures("credentials")
Run = Callable[..., Done]

#: The calls of doctor before the experiments.
BEFORE = ["/auth/me", "/auth/token", "/auth/me"]
CALLS = ["/auth/token", "/auth/token", "/auth/me", "/auth/refresh", "/auth/me", "/auth/refresh"]


@pytest.fixture
def settle(run: Run) -> Callable[..., dict[str, str]]:
    def settle(*options: str) -> dict[str, str]:
        done = run("doctor", "--json", "--live", *options)
        assert done.code == 0
        answers: dict[str, str] = json.loads(done.out)["live"]
        return answers

    return settle


Settle = Callable[..., dict[str, str]]


class FakeTime:
    """A clock that moves forward instead of sleeping."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def time(self) -> float:
        return time.time() + sum(self.slept)

    def monotonic(self) -> float:
        return sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    clock = FakeTime()
    monkeypatch.setattr(live, "time", clock)
    return clock


def paths(monta: Emulator) -> list[str]:
    return [call.path for call in monta.calls]


def change(monkeypatch: pytest.MonkeyPatch, method: str, after: Callable[..., None]) -> None:
    """Let a Monta do one more thing after it has made a pair."""
    original: Callable[..., Any] = getattr(State, method)

    def changed(state: State, *arguments: Any) -> Any:
        before = dict(state._access), dict(state._refresh)
        result = original(state, *arguments)
        if result[0].status == 200:
            after(state, *before)
        return result

    monkeypatch.setattr(State, method, changed)


def end_older_access_tokens(state: State, access: dict[str, Any], refresh: Any) -> None:
    for token in access:
        del state._access[token]


def keep_refresh_tokens(state: State, access: Any, refresh: dict[str, Any]) -> None:
    state._refresh.update(refresh)


def test_the_emulator_answers_every_question(monta: Emulator, run: Run) -> None:
    done = run("doctor", "--live")
    assert done.code == 0
    assert done.err == (
        "Making at most 7 calls with these credentials. Other programs that use them meanwhile may "
        "reach the rate limit.\n"
    )
    assert done.out.partition("\n\n")[2] == (
        f"report                          monta-auth {monta_auth.__version__}, "
        f"{datetime.now(UTC):%Y-%m-%d}, 127.0.0.1\n"
        "refresh token works once        yes\n"
        "reply to a refused refresh      HTTP 401, errorCode INVALID_ACCESS_TOKEN\n"
        "old access token after refresh  works (HTTP 200)\n"
        "new one after a second refresh  works (HTTP 200)\n"
        "old access token after a fetch  works (HTTP 200)\n"
        "token calls count as calls      not settled; --spend-quota finds out\n"
        "lifetimes (access, refresh)     60 minutes, 30 days\n"
        "rate limit headers              none\n"
    )
    assert "my-client" not in done.out.partition("\n\n")[2]
    assert paths(monta) == [*BEFORE, *CALLS, "/auth/me"]


def test_the_stored_pair_is_not_used(monta: Emulator, run: Run, settle: Settle) -> None:
    before = run("token", shows_token=True)
    settle()
    assert run("token", shows_token=True) == before
    assert monta.count("/auth/token") == 1 + 1 + 2


def test_a_refresh_token_that_works_twice(
    monta: Emulator, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch, "_renew", keep_refresh_tokens)
    answers = settle()
    assert answers[live.ONCE] == "no, it worked twice"
    # the error for a made-up token
    assert answers[live.REFUSAL] == "HTTP 401, errorCode INVALID_ACCESS_TOKEN"
    assert answers[live.REUSE] == "not settled"
    assert paths(monta) == [*BEFORE, *CALLS, "/auth/refresh"]


def test_a_rotation_that_ends_the_old_access_token(
    settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch, "_renew", end_older_access_tokens)
    answers = settle()
    assert answers[live.ROTATION] == "is refused (HTTP 401)"
    assert answers[live.MINT] == "works (HTTP 200)"


def test_a_mint_that_ends_older_tokens(
    monta: Emulator, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The experiments continue with the newer pair."""

    def end_all(state: State, access: dict[str, Any], refresh: dict[str, Any]) -> None:
        end_older_access_tokens(state, access, refresh)
        for token in refresh:
            del state._refresh[token]

    change(monkeypatch, "_mint", end_all)
    answers = settle()
    assert answers[live.MINT] == "is refused (HTTP 401)"
    assert answers[live.ROTATION] == "works (HTTP 200)"
    assert answers[live.ONCE] == "yes"


@pytest.mark.parametrize("counts", [True, False], ids=["counted", "free"])
@pytest.mark.parametrize("partner", [True, False], ids=["headers", "429"])
def test_whether_auth_calls_count(
    monta: Emulator,
    settle: Settle,
    monkeypatch: pytest.MonkeyPatch,
    counts: bool,
    partner: bool,
) -> None:
    """The Partner API shows it in its headers. For the Public API, the limit must be reached."""
    original = State.authenticate

    def free(state: State, *arguments: Any) -> Any:
        quota, monta.quota = monta.quota, None
        try:
            return original(state, *arguments)
        finally:
            monta.quota = quota

    if not counts:
        monkeypatch.setattr(State, "authenticate", free)
    monta.partner, monta.quota = partner, 1000 if partner else 10
    answers = settle(*([] if partner else ["--spend-quota"]))
    assert answers[live.COUNTED] == ("yes" if counts else "no")
    made = len(BEFORE) + len(CALLS) + 1
    if partner:
        assert monta.count() == made
        assert answers[live.HEADERS].startswith("ratelimit-policy, ratelimit-quota, ")
        assert live.LIMIT not in answers
    else:
        # Without the anonymous call and the refused refresh, eight or four calls counted.
        assert monta.count() == made + (10 - (8 if counts else 4)) + 1
        assert answers[live.LIMIT] == "HTTP 429; how long to wait is in: the body"


def test_if_other_programs_use_the_limit_it_settles_nothing(
    monta: Emulator, run: Run, settle: Settle
) -> None:
    monta.quota = 10
    run("me")  # this makes two calls
    answers = settle("--spend-quota")
    assert answers[live.COUNTED] == (
        "not settled: other programs seem to use these credentials, too"
    )


def test_if_other_programs_make_calls_the_headers_settle_nothing(
    monta: Emulator, settle: Settle
) -> None:
    monta.partner, monta.quota = True, 1000
    headers = {"RateLimit-Remaining": "500"}
    monta.inject(Fault(), path="/consumers/me")
    monta.inject(Fault(headers=headers, after=True), times=9, path="/auth/me")
    assert settle()[live.COUNTED] == "not settled; --spend-quota finds out"


def test_a_limit_that_is_not_reached(monta: Emulator, settle: Settle) -> None:
    answers = settle("--spend-quota")
    assert answers[live.COUNTED] == "not settled"
    assert monta.count() == len(BEFORE) + live.CALLS + live.SPENDING


def test_it_says_how_many_calls_it_spends(run: Run) -> None:
    assert run("doctor", "--live", "--spend-quota").err.startswith(
        "Making at most 7 calls with these credentials, then at most 12 until the rate limit is "
        "reached. "
    )


# --- what stops it


@pytest.mark.parametrize("quota", [2, 3, 5], ids=["mint", "second mint", "refresh"])
def test_it_stops_at_the_rate_limit(monta: Emulator, settle: Settle, quota: int) -> None:
    monta.quota = quota
    answers = settle()
    assert answers["stopped"] == "the rate limit is reached: try again in 60 s, or --wait"
    assert answers[live.ONCE] == "not settled"
    assert monta.count() == 1 + quota + 1


def test_it_waits_as_long_as_the_server_says(monta: Emulator, run: Run, clock: FakeTime) -> None:
    monta.time = clock.time
    monta.quota = 4
    done = run("doctor", "--live", "--wait")
    assert done.err.endswith("Waiting 60 s for the rate limit.\n")
    assert clock.slept == [60]
    assert "refresh token works once        yes\n" in done.out
    assert "stopped" not in done.out


def test_it_also_waits_for_an_api_call(monta: Emulator, settle: Settle, clock: FakeTime) -> None:
    monta.inject(Fault(), times=2, path="/auth/me")
    monta.inject(Fault(status=429, headers={"Retry-After": "7"}), path="/auth/me")
    answers = settle("--wait")
    assert clock.slept == [7]
    assert answers[live.MINT] == "works (HTTP 200)"
    assert answers[live.LIMIT] == "HTTP 429; how long to wait is in: retry-after"
    assert answers[live.HEADERS] == "retry-after"


@pytest.mark.parametrize(
    ("fault", "path", "told"),
    [
        pytest.param(
            Fault(status=429, headers={"Retry-After": "30"}),
            "/auth/token",
            "Waiting 30 s for the rate limit.\n",
            id="token call",
        ),
        pytest.param(
            Fault(status=503, headers={"Retry-After": "30"}),
            "/auth/token",
            "Waiting 30 s as the API asks.\n",
            id="outage",
        ),
        pytest.param(
            Fault(status=429, headers={"Retry-After": "0"}),
            "/auth/token",
            "Waiting 1 s for the rate limit.\n",
            id="no time at all",
        ),
    ],
)
def test_the_checks_before_the_experiments_also_wait(
    monta: Emulator,
    run: Run,
    clock: FakeTime,
    fault: Fault,
    path: str,
    told: str,
    no_sleep: None,
) -> None:
    monta.inject(fault, times=3 if "1 s" in told else 1, path=path)
    done = run("doctor", "--live", "--wait")
    assert done.code == 0
    assert done.err.startswith(f"{told}Making at most 7 calls")
    assert "refresh token works once        yes\n" in done.out


def test_a_check_also_waits_if_it_reaches_the_limit_after_its_token(
    monta: Emulator, run: Run, clock: FakeTime
) -> None:
    monta.time = clock.time
    monta.quota = 1
    done = run("doctor", "--live", "--wait")
    assert clock.slept[0] == 60
    assert "✓  scopes         all\n" in done.out
    assert "stopped" not in done.out


@pytest.mark.parametrize("seconds", [86400, 400], ids=["a day", "twice"])
@pytest.mark.usefixtures("clock")
def test_the_checks_do_not_wait_forever(monta: Emulator, run: Run, seconds: int) -> None:
    headers = {"Retry-After": str(seconds)}
    monta.inject(Fault(status=429, headers=headers), times=9, path="/auth/token")
    done = run("doctor", "--live", "--wait")
    assert done.code == 1
    assert done.err == ("Waiting 400 s for the rate limit.\n" if seconds == 400 else "")
    assert f"; wait {seconds} s before the next try (" in done.out


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.usefixtures("no_sleep")
def test_the_checks_stop_if_the_server_names_no_time(
    monta: Emulator, run: Run, clock: FakeTime, status: int
) -> None:
    """The checks never get a token."""
    monta.inject(Fault(status=status, headers={"Retry-After": "0"}), times=999)
    done = run("doctor", "--live", "--wait")
    assert done.code == 1
    assert clock.slept == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert sum(clock.slept) <= live.LONGEST_WAIT


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/me"])
def test_the_experiments_stop_if_the_server_names_no_time(
    monta: Emulator, settle: Settle, clock: FakeTime, path: str
) -> None:
    if path == "/auth/me":
        monta.inject(Fault(), times=2, path=path)  # of the checks
    monta.inject(Fault(status=429, headers={"Retry-After": "0"}), times=999, path=path)
    answers = settle("--wait")
    assert sum(clock.slept) <= live.LONGEST_WAIT
    assert monta.count() <= 20
    assert answers["stopped"] == (
        "the rate limit is reached: try again in 1 s; --wait waits for 10 minutes at most"
    )


def test_the_checks_and_the_experiments_share_the_longest_wait(
    monta: Emulator, settle: Settle, clock: FakeTime
) -> None:
    fault = Fault(status=429, headers={"Retry-After": "400"})
    monta.inject(fault, path="/auth/token")
    monta.inject(fault, path="/auth/refresh")
    answers = settle("--wait")
    assert clock.slept == [400]
    assert answers["stopped"] == (
        "the rate limit is reached: try again in 400 s; --wait waits for 10 minutes at most"
    )


@pytest.mark.parametrize(
    ("headers", "stopped"),
    [
        (None, "the rate limit is reached, and the API does not say how long to wait"),
        (
            {"Retry-After": "86400"},
            "the rate limit is reached: try again in 86400 s; --wait waits for 10 minutes at most",
        ),
    ],
    ids=["none", "a day"],
)
def test_it_does_not_wait_forever(
    monta: Emulator, settle: Settle, headers: dict[str, str] | None, stopped: str
) -> None:
    monta.inject(Fault(status=429, headers=headers), path="/auth/refresh")
    assert settle("--wait")["stopped"] == stopped


@pytest.mark.parametrize(
    ("fault", "path", "stopped"),
    [
        pytest.param(
            Fault(status=403),
            "/auth/refresh",
            "a fresh refresh token was refused: HTTP 403, errorCode ACCESS_FORBIDDEN",
            id="refresh refused",
        ),
        pytest.param(
            Fault(close=True),
            "/auth/refresh",
            "the connection to the API failed (Remote end closed connection without response): "
            "check the base URL, the network, the firewall and the proxy",
            id="network",
        ),
    ],
)
def test_it_stops_if_nothing_can_be_learned(
    monta: Emulator, settle: Settle, fault: Fault, path: str, stopped: str
) -> None:
    monta.inject(fault, path=path)
    answers = settle()
    assert answers["stopped"] == stopped
    assert answers[live.MINT] == "works (HTTP 200)"
    assert answers[live.ONCE] == "not settled"


def test_it_stops_without_a_token(monta: Emulator, settle: Settle) -> None:
    monta.inject(Fault(), path="/auth/token")
    monta.inject(Fault(status=503), path="/auth/token")
    assert settle()["stopped"] == "no token was fetched: HTTP 503, errorCode UNKNOWN"


def test_it_stops_at_a_response_without_a_token_pair(monta: Emulator, settle: Settle) -> None:
    monta.inject(Fault(), path="/auth/token")
    monta.inject(Fault(body="{}"), path="/auth/token")
    assert settle()["stopped"].startswith("the token endpoint of 127.0.0.1:")


def test_the_report_has_no_client_id_although_the_api_quotes_it(
    monta: Emulator, settle: Settle
) -> None:
    quotes = json.dumps({"errorCode": monta.client_id, "message": f"no, {monta.client_id}"})
    monta.inject(Fault(), path="/auth/token")
    monta.inject(Fault(status=200, body=quotes), path="/auth/token")
    answers = settle()
    assert "(HTTP 200, [redacted], no, [redacted]" in answers["stopped"]
    assert monta.client_id not in repr(answers)


def test_it_stops_without_a_refresh_token(monta: Emulator, settle: Settle) -> None:
    monta.inject(Fault(), path="/auth/token")
    monta.inject(Fault(body='{"accessToken": "made-up"}'), times=2, path="/auth/token")
    answers = settle()
    assert answers["stopped"] == "the API sent no refresh token"
    assert answers[live.LIVES] == "5 minutes, unknown"
    assert answers[live.MINT] == "is refused (HTTP 401)"


def test_an_unclear_answer_settles_nothing(monta: Emulator, settle: Settle) -> None:
    monta.inject(Fault(), times=2, path="/auth/me")
    monta.inject(Fault(status=500), times=9, path="/auth/me")
    answers = settle()
    assert answers[live.MINT] == answers[live.ROTATION] == "not settled (HTTP 500)"


def test_without_credentials_there_is_no_experiment(
    monta: Emulator, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONTA_CLIENT_SECRET", "wrong")
    done = run("doctor", "--live", "--json")
    assert done.code == 1
    assert json.loads(done.out)["live"] is None
    assert monta.count() == 2


def test_a_bug_is_not_reported_as_an_answer(
    settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(live, "_lives", broken)
    with pytest.raises(ZeroDivisionError):
        settle()
