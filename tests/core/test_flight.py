"""A renewal in flight: every caller that waits for it is woken, however it ends."""

import threading
from functools import partial

import pytest

from monta_auth import RateLimitError
from monta_auth._core.errors import Failure
from monta_auth._core.flight import Flight


def finish(flight: Flight, failure: Failure | None = None) -> None:
    flight.end(failure)
    flight.wake()


def new_flight() -> Flight:
    return Flight(leader=threading.get_ident(), now=1000.0)


def test_a_new_flight_is_under_way_and_knows_its_leader() -> None:
    flight = new_flight()
    assert not flight.over
    assert flight.failure is None
    assert flight.refreshing is None
    assert flight.reason == "start"
    assert flight.leader == threading.get_ident()
    assert flight.touched == 1000.0


@pytest.mark.parametrize("failure", [None, RateLimitError("wait")], ids=["pair", "failure"])
def test_the_end_wakes_all_waiters_and_sets_the_failure(failure: RateLimitError | None) -> None:
    flight = new_flight()
    woken: list[str] = []
    assert flight.add(lambda: woken.append("first"))
    assert flight.add(lambda: woken.append("second"))
    assert woken == []

    finish(flight, failure)

    assert woken == ["first", "second"]
    assert flight.over
    assert flight.failure is failure


def test_a_woken_waiter_finds_the_flight_over_and_its_failure_set() -> None:
    flight = new_flight()
    failure = RateLimitError("wait")
    seen: list[tuple[bool, object]] = []
    flight.add(lambda: seen.append((flight.over, flight.failure)))
    finish(flight, failure)
    assert seen == [(True, failure)]


def test_a_caller_that_comes_too_late_does_not_wait() -> None:
    flight = new_flight()
    finish(flight)
    assert flight.add(lambda: None) is False


def test_only_the_first_end_of_a_flight_counts() -> None:
    """A leader that lost its flight must not replace the outcome with its failure."""
    flight = new_flight()
    finish(flight)
    finish(flight, RateLimitError("too late"))
    assert flight.failure is None
    assert flight.over


def test_ending_twice_wakes_a_waiter_that_came_in_between() -> None:
    """Waking a caller twice is harmless. A caller that is never woken would hang."""
    flight = new_flight()
    woken: list[int] = []
    finish(flight)
    flight.add(lambda: woken.append(1))
    finish(flight)
    assert woken == [1]


def test_a_waiter_that_registers_while_others_are_woken_does_not_hang() -> None:
    flight = new_flight()
    woken: list[str] = []

    def wake() -> None:
        woken.append("first")
        assert flight.add(lambda: woken.append("second")) is False

    flight.add(wake)
    finish(flight)
    assert woken == ["first", "second"]


def test_threads_that_register_during_the_end_do_not_hang() -> None:
    """Guards against a race that would hang a request: registered, but not woken or refused."""
    for _ in range(50):
        flight = new_flight()
        start = threading.Barrier(5)
        lost: list[bool] = []

        def wait(
            flight: Flight = flight, start: threading.Barrier = start, lost: list[bool] = lost
        ) -> None:
            woken = threading.Event()
            start.wait(10)
            if flight.add(woken.set) and not woken.wait(10):
                lost.append(True)

        threads = [threading.Thread(target=wait) for _ in range(4)]
        for thread in threads:
            thread.start()
        start.wait(10)
        finish(flight)
        for thread in threads:
            thread.join(10)
        assert lost == []
        assert not any(thread.is_alive() for thread in threads)


def test_if_one_waiter_cannot_be_woken_the_others_are_woken() -> None:
    flight, woken = Flight(1, 0.0), list[str]()
    flight.add(lambda: 1 / 0)
    flight.add(lambda: woken.append("woken"))
    finish(flight)
    assert woken == ["woken"]


def test_a_waiter_that_left_is_not_woken() -> None:
    flight, woken = new_flight(), list[str]()
    leaves = partial(woken.append, "has left")
    flight.add(leaves)
    flight.add(partial(woken.append, "waits"))
    flight.remove(leaves)
    flight.remove(leaves)
    finish(flight)
    assert woken == ["waits"]


def test_after_an_interrupt_during_waking_the_other_waiters_are_woken() -> None:
    flight, woken = new_flight(), list[str]()

    def interrupt() -> None:
        if not woken:
            woken.append("interrupted")
            raise KeyboardInterrupt

    flight.add(interrupt)
    flight.add(partial(woken.append, "woken"))
    with pytest.raises(KeyboardInterrupt):
        finish(flight)
    finish(flight)
    assert woken == ["interrupted", "woken"]
