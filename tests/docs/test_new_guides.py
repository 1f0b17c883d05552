"""The guides on production, rate limits, Home Assistant and other tools: their examples run."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
import requests

import monta_auth
from monta_auth.emulator import Emulator, Fault

from .pages import example

# dlt, gql and FastMCP run in tests/compat.
TOOLS = "guides/where-to-put-auth.rst"
LIMITS = "guides/rate-limits.rst"


# --- where to put auth=


def test_a_session_serves_most_tools(monta: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    example(TOOLS, "session").run()
    assert capsys.readouterr().out == "24\n"
    assert (monta.count("/auth/token"), monta.count()) == (1, 2)


# --- rate limits


class Clock:
    """The time of the emulator, which goes on when an example sleeps."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)


@pytest.fixture
def clock(monta: Emulator) -> Clock:
    monta.time = clock = Clock()
    monta.quota = 10
    return clock


def test_a_loop_waits_for_the_end_of_a_429(
    monta: Emulator, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    names = example(LIMITS, "requests").run()
    assert capsys.readouterr().out == "60\n"
    names["time"] = SimpleNamespace(sleep=clock.sleep)
    for _ in range(20):
        names["get"]("/charges")
    assert monta.count("/auth/token") == 1
    assert len(clock.slept) == 2
    assert all(60 <= seconds <= 61.1 for seconds in clock.slept)

    monta.inject(Fault(status=429), times=9, path="/charges")
    clock.slept.clear()
    with pytest.raises(requests.HTTPError):
        names["get"]("/charges")
    assert len(clock.slept) == 3
    assert all(15 <= seconds <= 16 for seconds in clock.slept)


def test_the_loop_waits_for_a_token_call_as_well(monta: Emulator, clock: Clock) -> None:
    names = example(LIMITS, "requests").run()
    names["time"] = SimpleNamespace(sleep=clock.sleep)
    names["auth"].forget()
    monta.inject(Fault(status=429, headers={"Retry-After": "30"}))
    # Remembered for as long as it asks for, by a clock that does not jump.
    with pytest.raises(monta_auth.RateLimitError):
        names["get"]("/charges", tries=2)
    assert [int(seconds) for seconds in clock.slept] == [30]


def test_the_loop_of_httpx(
    monta: Emulator, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    names = example(LIMITS, "httpx").run()
    monta.inject(Fault(status=429, headers={"Retry-After": "30"}), path="/charges")
    names["asyncio"] = SimpleNamespace(sleep=clock.asleep)
    asyncio.run(names["main"]())
    assert capsys.readouterr().out == "60\n60\n"
    assert [int(seconds) for seconds in clock.slept] == [30]


def test_aiohttp_names_the_seconds(
    monta: Emulator, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = example(LIMITS, "aiohttp")
    shown.run()
    monta.quota = 2
    shown.run()
    assert capsys.readouterr().out == "10\nwait 60.0 seconds\n"


def test_a_pace_meets_no_429(
    monta: Emulator, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    names = example(LIMITS, "pace").run()
    assert capsys.readouterr().out == "200 200\n"
    names["time"] = SimpleNamespace(sleep=clock.sleep, monotonic=clock)
    names["pace"] = names["Pace"]()
    monta.clear()
    clock.now += 60
    began = clock.now
    assert {names["get"]("/charges").status_code for _ in range(27)} == {200}
    assert clock.now - began == 120


@pytest.mark.parametrize(("size", "calls"), [(100, 1), (25, 3), (10, 6)])
def test_larger_pages_take_fewer_calls(
    monta: Emulator, capsys: pytest.CaptureFixture[str], size: int, calls: int
) -> None:
    example(LIMITS, "pages").run({'"perPage": 100': f'"perPage": {size}'})
    assert capsys.readouterr().out == "60\n"
    assert monta.count("/charges") == calls
