"""The two loops that perform effects, with threads, asyncio, several loops and trio."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
import sniffio
import trio
import trio.testing

from monta_auth import ConfigurationError, MontaAuthError
from monta_auth._core.drivers import adrive, detach, drive, is_async
from monta_auth._core.effects import Call, Send, Sleep, Wait
from monta_auth._core.errors import TransportFailure
from monta_auth._core.flight import Flight
from monta_auth._core.loops import Bell, Line
from monta_auth._core.policy import FINISH
from monta_auth._core.replies import Reply
from monta_auth._core.source import Source

from ..simulation.flows import Hands, error_reply, make_source, no_answer, pair_reply, refuse

ROOT = Path(__file__).parents[2]


def one(effect: Any) -> Generator[Any, Any, Any]:
    """A flow with a single effect, which returns its outcome."""
    return (yield effect)


async def until(event: threading.Event) -> None:
    while not event.is_set():  # an event of threads, set by another thread
        await pause(0.001)


def never(effect: Send) -> Reply:
    raise AssertionError("nothing is to be sent")


async def anever(effect: Send) -> Reply:
    raise AssertionError("nothing is to be sent")


Loop = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]


def in_asyncio(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(main())


LOOPS = [pytest.param(in_asyncio, id="asyncio"), pytest.param(trio.run, id="trio")]


def everywhere(effect: Callable[[], Any]) -> list[Any]:
    """Run a flow with this effect in each driver. Return the outcomes."""

    async def main() -> Any:
        return await adrive(one(effect()), anever)

    return [drive(one(effect()), never), asyncio.run(main()), trio.run(main)]


# --- each effect, in each driver


def test_a_call_returns_the_functions_result() -> None:
    assert everywhere(lambda: Call(divmod, 7, 3)) == [(2, 1)] * 3


@pytest.mark.parametrize("kind", [ValueError, MontaAuthError, TransportFailure])
def test_an_error_of_a_function_is_thrown_into_the_flow(kind: type[Exception]) -> None:
    def fail() -> None:
        raise kind("why")

    def flow() -> Generator[Any, Any, str]:
        with pytest.raises(kind, match="why"):
            yield Call(fail)
        return "went on"

    async def main() -> str:
        return await adrive(flow(), anever)

    assert drive(flow(), never) == asyncio.run(main()) == trio.run(main) == "went on"


def stop() -> None:
    raise StopIteration


@pytest.mark.parametrize("run", LOOPS)
@pytest.mark.parametrize("late", [False, True], ids=["coroutine function", "late"])
def test_an_error_of_a_coroutine_is_thrown_into_the_flow(run: Loop, late: bool) -> None:
    async def fail() -> None:
        raise ValueError("why")

    def flow() -> Generator[Any, Any, str]:
        with pytest.raises(ValueError, match="why"):
            yield Call((lambda: fail()) if late else fail)
        return "went on"

    async def main() -> str:
        return await adrive(flow(), anever)

    assert run(main) == "went on"


def flow_with_stop() -> Generator[Any, Any, str]:
    try:
        yield Call(stop)
    except Exception as error:
        return type(error).__name__
    raise AssertionError("nothing was raised")


def test_a_function_that_raises_stop_iteration_does_not_end_the_flow() -> None:
    """`lambda: next(secrets)` raises it when the iterator is exhausted."""

    async def main() -> str:
        return await adrive(flow_with_stop(), anever)

    assert drive(flow_with_stop(), never) == "StopIteration"
    assert trio.run(main) in ("StopIteration", "RuntimeError")


def test_a_function_that_raises_stop_iteration_does_not_hang_asyncio() -> None:
    script = """
        import asyncio, logging
        from monta_auth._core.source import Source
        from monta_auth._core.drivers import adrive
        logging.disable()
        secrets = iter(())
        source = Source("id", lambda: next(secrets))
        async def main():
            await adrive(source.acquire(blocking=False), None)
        try:
            asyncio.run(main())
        except Exception as error:
            print("raised", type(error).__name__)
    """
    assert "raised MontaAuthError" in run_script(script, timeout=10)


def run_script(script: str, timeout: float = 30.0, check: bool = True) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=ROOT,
    )
    if check:
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
    return done.stdout


async def double(value: int) -> int:
    await trio.lowlevel.checkpoint() if trio.lowlevel.in_trio_run() else await asyncio.sleep(0)
    return 2 * value


def lazily_async(value: int) -> Awaitable[int]:
    """A plain function. Only its result shows that it is asynchronous."""
    return double(value)


class Doubler:
    async def __call__(self, value: int) -> int:
        return await double(value)


@pytest.mark.parametrize(
    ("run", "function"),
    [
        pytest.param(in_asyncio, double, id="asyncio-def"),
        pytest.param(in_asyncio, lazily_async, id="asyncio-late"),
        pytest.param(in_asyncio, Doubler(), id="asyncio-object"),
        pytest.param(trio.run, double, id="trio-def"),
        pytest.param(trio.run, lazily_async, id="trio-late"),
        pytest.param(trio.run, Doubler(), id="trio-object"),
    ],
)
def test_an_async_driver_awaits_coroutine_functions(
    run: Loop, function: Callable[[int], Any]
) -> None:
    async def main() -> Any:
        return await adrive(one(Call(function, 21)), anever)

    assert run(main) == 42


@pytest.mark.parametrize("function", [double, lazily_async, Doubler()], ids=["def", "late", "obj"])
def test_a_sync_driver_refuses_coroutine_functions(function: Callable[[int], Any]) -> None:
    """It also leaves no coroutine behind that was never awaited."""
    with pytest.raises(ConfigurationError, match="async clients only"):
        drive(one(Call(function, 21)), never)
    gc.collect()


class Later:
    """Awaitable, but not a coroutine: it has no `close`."""

    def __await__(self) -> Generator[Any, Any, int]:
        yield from ()
        return 1


def test_a_sync_driver_refuses_any_awaitable() -> None:
    with pytest.raises(ConfigurationError):
        drive(one(Call(Later)), never)


@pytest.mark.parametrize(
    ("function", "expected"),
    [(double, True), (Doubler(), True), (lazily_async, False), (len, False), (object(), False)],
    ids=["coroutine function", "object", "late", "builtin", "not callable"],
)
def test_coroutine_functions_are_recognized_before_they_are_called(
    function: object, expected: bool
) -> None:
    assert is_async(function) is expected


@pytest.mark.parametrize("run", LOOPS)
def test_an_async_driver_calls_plain_functions_in_a_thread(run: Loop) -> None:
    async def main() -> Any:
        return await adrive(one(Call(threading.get_ident)), anever)

    assert run(main) != threading.get_ident()


def test_each_driver_performs_a_sleep() -> None:
    assert everywhere(lambda: Sleep(0.001)) == [None] * 3


def test_a_wait_ends_when_its_time_is_up() -> None:
    assert everywhere(lambda: Wait(Flight(0, 0.0), 0.001)) == [None] * 3


def test_a_wait_for_a_finished_flight_ends_at_once() -> None:
    def over() -> Wait:
        flight = Flight(0, 0.0)
        flight.end()
        flight.wake()
        return Wait(flight, 1000.0)

    assert everywhere(over) == [None] * 3


def test_a_wait_ends_with_its_flight() -> None:
    def soon_over() -> Wait:
        flight = Flight(0, 0.0)

        def end() -> None:
            flight.end()
            flight.wake()

        threading.Timer(0.005, end).start()
        return Wait(flight, 1000.0)

    assert everywhere(soon_over) == [None] * 3


def test_waking_a_waiter_whose_time_is_up_is_harmless() -> None:
    flight = Flight(0, 0.0)

    async def main() -> None:
        await adrive(one(Wait(flight, 0.001)), anever)
        flight.wake()
        flight.wake()
        await double(1)

    drive(one(Wait(flight, 0.001)), never)
    flight.end()
    asyncio.run(main())
    flight.over = False
    trio.run(main)


@pytest.mark.parametrize("run", LOOPS)
def test_a_bell_of_a_closed_loop_is_ignored(run: Loop) -> None:
    async def main() -> Bell:
        return Bell()

    bell = run(main)
    bell.soon(bell.event.set)
    assert not bell.event.is_set()


def test_a_waiter_whose_loop_is_closed_is_skipped() -> None:
    flight, others = Flight(0, 0.0), list[str]()
    loop = asyncio.new_event_loop()
    waiter = adrive(one(Wait(flight, 1000.0)), anever)
    task = loop.create_task(waiter)
    loop.run_until_complete(asyncio.sleep(0.001))
    loop.set_exception_handler(lambda loop, context: None)  # the task is still pending
    loop.close()
    flight.add(lambda: others.append("woken"))
    flight.end()
    flight.wake()
    assert others == ["woken"]
    del task
    waiter.close()


# --- many waiters of one loop


class SlowBell(Bell):
    """A bell whose loop takes a turn only when the test says so."""

    def __init__(self, number: int, rung: list[int]) -> None:
        self.event = SimpleNamespace(set=lambda: rung.append(number), is_set=lambda: number in rung)
        self.turns: list[Callable[[], object]] = []

    def soon(self, function: Callable[[], object]) -> None:
        self.turns.append(function)


def test_four_waiters_go_on_in_each_turn_of_their_loop() -> None:
    rung: list[int] = []
    bells = [SlowBell(number, rung) for number in range(10)]
    line = Line()

    def turn() -> int:
        before = len(rung)
        (due,) = [function for bell in bells for function in bell.turns]
        for bell in bells:
            bell.turns.clear()
        due()
        return len(rung) - before

    for bell in bells:
        line.wake(bell)
        line.wake(bell)
    assert turn() == 4
    rung.append(5)  # this waiter has left: its time was up, or it was cancelled
    assert turn() == 4
    line.wake(bells[0])
    assert turn() == 1
    assert rung == [0, 1, 2, 3, 5, 4, 6, 7, 8, 9]
    assert not any(bell.turns for bell in bells)
    line.wake(SlowBell(10, rung))
    assert rung[-1] == 9


def test_waiters_of_one_loop_go_on_in_their_order_of_arrival() -> None:
    flight, order, turns = Flight(0, 0.0), list[int](), list[int]()

    async def wait(number: int) -> None:
        await adrive(one(Wait(flight, 1000.0)), anever)
        order.append(number)
        turns.append(turn)

    turn = 0

    async def main() -> None:
        nonlocal turn
        tasks = [asyncio.create_task(wait(number)) for number in range(30)]
        await asyncio.sleep(0)
        flight.end()
        flight.wake()
        while len(order) < 30:
            await asyncio.sleep(0)
            turn += 1
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert order == list(range(30))
    assert sorted(turns.count(number) for number in set(turns)) == [2, *[4] * 7]


@pytest.mark.parametrize("run", LOOPS)
def test_a_single_waiter_can_be_woken(run: Loop) -> None:
    flight, order = Flight(0, 0.0), list[int]()

    async def wait(number: int) -> None:
        await adrive(one(Wait(flight, 1000.0)), anever)
        order.append(number)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(wait, number)
                while len(flight.wakers) <= number:
                    await pause(0)
            list(flight.wakers)[1]()
            while not order:
                await pause(0)
            await pause(0.001)
            assert order == [1]
            assert len(flight.wakers) == 2
            flight.end()
            flight.wake()

    run(main)
    assert sorted(order) == [0, 1, 2]


@pytest.mark.parametrize("run", LOOPS)
@pytest.mark.parametrize("how", ["cancelled", "in time"])
def test_a_task_that_left_no_longer_waits_in_the_line(run: Loop, how: str) -> None:
    flight = Flight(0, 0.0)

    async def main() -> None:
        with anyio.move_on_after(0.01 if how == "cancelled" else 1000):
            await adrive(one(Wait(flight, 1000 if how == "cancelled" else 0.01)), anever)
        assert not flight.wakers

    run(main)


@pytest.mark.usefixtures("time_limit")
def test_an_interrupted_thread_no_longer_waits_in_the_line() -> None:
    flight = Flight(0, 0.0)
    timer = threading.Timer(0.05, signal.pthread_kill, (threading.get_ident(), signal.SIGTERM))
    timer.start()
    with pytest.raises(TimeLimit):
        drive(one(Wait(flight, 1000.0)), never)
    timer.join()
    assert not flight.wakers


# --- Send


@pytest.mark.parametrize("kind", ["thread", "asyncio", "trio"])
def test_a_flow_runs_from_its_start_to_its_end(hands: Hands, kind: str) -> None:
    replies = [pair_reply(hands, 1)]
    heard: list[object] = []
    source = make_source(hands, client_secret=lambda: "from afar", on_token=heard.append)

    def send(effect: Send) -> Reply:
        return replies.pop(0)

    async def asend(effect: Send) -> Reply:
        return replies.pop(0)

    async def main() -> str:
        return await adrive(source.acquire(blocking=False), asend)

    header: str
    if kind == "thread":
        header = drive(source.acquire(), send)
    else:
        header = in_asyncio(main) if kind == "asyncio" else trio.run(main)
    assert header == "Bearer access-1"
    assert len(heard) == 1


FAILURES = [no_answer(), MontaAuthError("redirected")]


@pytest.mark.parametrize("failure", FAILURES, ids=["transport", "ours"])
@pytest.mark.parametrize("run", LOOPS)
def test_a_failure_raised_by_send_reaches_the_caller_through_the_flow(
    hands: Hands, run: Loop, failure: Exception
) -> None:
    source = make_source(hands)

    def send(effect: Send) -> Reply:
        raise failure

    async def asend(effect: Send) -> Reply:
        raise failure

    async def main() -> None:
        await adrive(source.acquire(blocking=False), asend)

    with pytest.raises(type(failure)) as caught:
        drive(source.acquire(), send)
    assert caught.value is not failure
    source.forget()
    with pytest.raises(type(failure)):
        run(main)
    assert source.status().failures == 2


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, OSError, StopIteration])
def test_any_other_exception_of_send_ends_the_flow_and_frees_the_flight(
    hands: Hands, kind: type[BaseException]
) -> None:
    source = make_source(hands)

    def send(effect: Send) -> Reply:
        raise kind

    with pytest.raises(kind):
        drive(source.acquire(), send)
    assert drive(source.acquire(), lambda effect: pair_reply(hands, 1)) == "Bearer access-1"


def test_after_an_interrupt_in_a_thread_a_waiting_thread_leads(hands: Hands) -> None:
    source = make_source(hands)
    leading, waiting = threading.Event(), threading.Event()
    results: list[object] = []

    def interrupted(effect: Send) -> Reply:
        leading.set()
        assert waiting.wait(10)
        raise KeyboardInterrupt

    def lead() -> None:
        try:
            drive(source.acquire(), interrupted)
        except KeyboardInterrupt:
            results.append("interrupted")

    def wait() -> None:
        results.append(drive(watched(source, waiting.set), lambda effect: pair_reply(hands, 1)))

    threads = [threading.Thread(target=lead), threading.Thread(target=wait)]
    threads[0].start()
    assert leading.wait(10)
    threads[1].start()
    for thread in threads:
        thread.join(10)
    assert sorted(map(str, results)) == ["Bearer access-1", "interrupted"]


def watched(
    source: Source, waits: Callable[[], None], blocking: bool = True
) -> Generator[Any, Any, Any]:
    """A flow that calls `waits` when it begins to wait."""
    flow = source.acquire(blocking=blocking)
    outcome: Any = None
    while True:
        try:
            effect = flow.send(outcome)
        except StopIteration as done:
            return done.value
        if isinstance(effect, Wait):
            waits()
        outcome = yield effect


# --- cancellation


@pytest.mark.parametrize("effect", ["send", "wait", "sleep"])
def test_a_cancelled_task_leaves_its_flow_at_once(hands: Hands, effect: str) -> None:
    source = make_source(hands)

    async def main() -> str:
        reached = asyncio.Event()

        async def stuck(effect: Send) -> Reply:
            reached.set()
            await asyncio.sleep(1000)
            raise AssertionError

        async def slow(effect: Send) -> Reply:
            reached.set()
            return error_reply(503, headers={"Retry-After": "2"})

        first = asyncio.create_task(
            adrive(source.acquire(blocking=False), slow if effect == "sleep" else stuck)
        )
        await reached.wait()
        await asyncio.sleep(0)
        second = asyncio.create_task(
            adrive(source.acquire(blocking=False), areply(pair_reply(hands, 1)))
        )
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        victim, other = (second, first) if effect == "wait" else (first, second)
        victim.cancel()
        with pytest.raises(asyncio.CancelledError):
            await victim
        if effect != "wait":
            return await other
        assert not other.done()
        other.cancel()
        with pytest.raises(asyncio.CancelledError):
            await other
        return await adrive(source.acquire(blocking=False), areply(pair_reply(hands, 1)))

    assert asyncio.run(main()) == "Bearer access-1"


def areply(reply: Reply) -> Callable[[Send], Awaitable[Reply]]:
    async def send(effect: Send) -> Reply:
        return reply

    return send


@pytest.mark.parametrize("effect", ["send", "wait", "sleep"])
def test_a_cancelled_trio_scope_leaves_its_flow_at_once(hands: Hands, effect: str) -> None:
    source = make_source(hands)

    async def stuck(effect: Send) -> Reply:
        await trio.sleep_forever()
        raise AssertionError

    async def main() -> str:
        send = stuck
        if effect == "sleep":
            send = areply(error_reply(503, headers={"Retry-After": "2"}))  # type: ignore[assignment]
        leader = trio.CancelScope()

        async def lead() -> None:
            with leader:
                await adrive(source.acquire(blocking=False), send)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lead)
            await trio.testing.wait_all_tasks_blocked()
            if effect == "wait":
                with trio.move_on_after(0) as scope:
                    await adrive(source.acquire(blocking=False), anever)
                assert scope.cancelled_caught
            leader.cancel()
        return await adrive(source.acquire(blocking=False), areply(pair_reply(hands, 1)))

    assert trio.run(main) == "Bearer access-1"


class Stuck:
    """A function that runs until `go` is set; plain or a coroutine function."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.ended: list[str] = []

    def plain(self) -> None:
        self.thread = threading.current_thread()
        self.begun.set()
        assert self.go.wait(10)
        self.ended.append("finished")

    async def coroutine(self) -> None:
        self.begun.set()
        try:
            while not self.go.is_set():
                await pause(0.001)
            self.ended.append("finished")
        except BaseException:
            self.ended.append("cancelled")
            raise


async def pause(seconds: float) -> None:
    is_trio = sniffio.current_async_library() == "trio"
    await (trio.sleep if is_trio else asyncio.sleep)(seconds)


async def cancelled_once_begun(flow: Generator[Any, Any, Any], begun: threading.Event) -> float:
    """Run a flow in asyncio or trio and cancel it. Return how many seconds it took to leave."""
    if trio.lowlevel.in_trio_task():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(adrive, flow, anever)
            await until(begun)
            started = time.monotonic()
            nursery.cancel_scope.cancel()
    else:
        task = asyncio.create_task(adrive(flow, anever))
        await until(begun)
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert list(flow) == []  # it was closed
    return time.monotonic() - started


@pytest.mark.parametrize("run", LOOPS)
@pytest.mark.parametrize("finish", [None, FINISH])
def test_a_cancelled_caller_leaves_a_thread_at_once(run: Loop, finish: float | None) -> None:
    stuck = Stuck()

    async def main() -> None:
        flow = one(Call(stuck.plain, finish=finish))
        assert await cancelled_once_begun(flow, stuck.begun) < 0.9
        stuck.go.set()

    run(main)
    stuck.thread.join(10)
    assert stuck.ended == ["finished"]
    assert not stuck.thread.daemon


@pytest.mark.parametrize("run", LOOPS)
def test_a_cancelled_caller_leaves_a_coroutine_at_once_and_cancels_it(run: Loop) -> None:
    stuck = Stuck()

    async def main() -> None:
        assert await cancelled_once_begun(one(Call(stuck.coroutine)), stuck.begun) < 0.9
        while not stuck.ended:
            await pause(0.001)

    run(main)
    assert stuck.ended == ["cancelled"]


@pytest.mark.parametrize("run", LOOPS)
def test_a_cancelled_caller_waits_for_a_coroutine_that_must_finish(run: Loop) -> None:
    stuck = Stuck()

    async def main() -> None:
        timer = threading.Timer(0.05, stuck.go.set)
        timer.start()
        await cancelled_once_begun(one(Call(stuck.coroutine, finish=FINISH)), stuck.begun)
        assert stuck.ended == ["finished"]
        timer.join()

    run(main)


@pytest.mark.parametrize("run", LOOPS)
def test_after_that_wait_the_coroutine_finishes_without_its_caller(run: Loop) -> None:
    assert FINISH == 1.0
    stuck = Stuck()

    async def main() -> None:
        flow = one(Call(stuck.coroutine, finish=0.05))
        assert 0.05 <= await cancelled_once_begun(flow, stuck.begun) < 0.9
        assert stuck.ended == []
        gc.collect()
        stuck.go.set()
        while not stuck.ended:
            await pause(0.001)

    run(main)
    assert stuck.ended == ["finished"]


@pytest.mark.parametrize("run", LOOPS)
def test_an_error_of_an_abandoned_coroutine_disturbs_no_loop(
    run: Loop,
) -> None:
    begun, go = threading.Event(), threading.Event()
    raised: list[bool] = []

    async def fail() -> None:
        begun.set()
        await until(go)
        raised.append(True)
        raise SystemExit if trio.lowlevel.in_trio_task() else ValueError

    async def main() -> None:
        await cancelled_once_begun(one(Call(fail, finish=0.0)), begun)
        go.set()
        while not raised:
            await pause(0.001)
        await pause(0.001)

    run(main)
    gc.collect()


def test_a_task_that_is_cancelled_a_second_time_leaves_at_once() -> None:
    stuck = Stuck()

    async def main() -> None:
        task = asyncio.create_task(adrive(one(Call(stuck.coroutine, finish=FINISH)), anever))
        await until(stuck.begun)
        task.cancel()
        await asyncio.sleep(0.001)
        assert not task.done()
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - started < 0.9

    asyncio.run(main())
    assert stuck.ended == ["cancelled"]  # asyncio.run cancels the remaining tasks when it ends


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_anyio_scope_uses_no_processor_time(backend: str) -> None:
    """anyio cancels an asyncio task again in each turn of the loop."""
    stuck = Stuck()

    async def main() -> float:
        timer = threading.Timer(0.3, stuck.go.set)
        started = 0.0
        async with anyio.create_task_group() as group:
            group.start_soon(adrive, one(Call(stuck.coroutine, finish=FINISH)), anever)
            await until(stuck.begun)
            timer.start()
            group.cancel_scope.cancel()
            started = time.thread_time()
        timer.join()
        return time.thread_time() - started

    assert anyio.run(main, backend=backend) < 0.15
    assert stuck.ended == ["finished"]


@pytest.mark.parametrize("run", LOOPS)
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@pytest.mark.parametrize("finish", [None, FINISH])
def test_a_call_that_exceeds_its_seconds_fails_with_a_timeout(
    run: Loop, kind: str, finish: float | None
) -> None:
    stuck = Stuck()

    def flow() -> Generator[Any, Any, str]:
        with pytest.raises(TimeoutError, match=r"within 0\.1 s"):
            yield Call(getattr(stuck, kind), finish=finish, seconds=0.1)
        return "went on"

    async def main() -> None:
        assert await adrive(flow(), anever) == "went on"
        if finish or kind == "plain":
            assert stuck.ended == []
            stuck.go.set()
        while not stuck.ended:
            await pause(0.001)

    run(main)
    assert stuck.ended == ["finished" if finish or kind == "plain" else "cancelled"]


@pytest.mark.parametrize("run", LOOPS)
def test_a_call_needs_no_thread_of_the_loops_pool(run: Loop) -> None:
    """Those threads may all belong to requests that wait for the renewal that makes this call."""
    go = threading.Event()

    async def main() -> Any:
        if trio.lowlevel.in_trio_task():
            limiter = trio.to_thread.current_default_thread_limiter()
            limiter.total_tokens = 1
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: trio.to_thread.run_sync(go.wait))
                await trio.testing.wait_all_tasks_blocked()
                outcome = await adrive(one(Call(divmod, 7, 3)), anever)
                go.set()
                return outcome
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        waits = loop.run_in_executor(None, go.wait)
        outcome = await adrive(one(Call(divmod, 7, 3)), anever)
        go.set()
        await waits
        return outcome

    assert run(main) == (2, 1)


VARIABLE: ContextVar[str] = ContextVar("VARIABLE")


@pytest.mark.parametrize("run", LOOPS)
@pytest.mark.parametrize("is_coroutine", [False, True], ids=["in a thread", "coroutine"])
def test_a_call_sees_the_context_variables_of_its_caller(run: Loop, is_coroutine: bool) -> None:
    async def get() -> str:
        return VARIABLE.get()

    async def main() -> Any:
        VARIABLE.set("the caller's")
        return await adrive(one(Call(get if is_coroutine else VARIABLE.get)), anever)

    assert run(main) == "the caller's"


@pytest.mark.parametrize("run", LOOPS)
def test_a_system_exit_in_a_thread_ends_the_flow(run: Loop) -> None:
    async def main() -> None:
        await adrive(one(Call(sys.exit, 3)), anever)

    with pytest.raises(SystemExit, match="3"):
        run(main)


@pytest.mark.parametrize("run", LOOPS)
def test_a_system_exit_in_a_coroutine_ends_the_flow(run: Loop) -> None:
    async def leave() -> None:
        sys.exit(3)

    async def main() -> None:
        await adrive(one(Call(leave)), anever)

    with pytest.raises(SystemExit, match="3"):
        run(main)


@pytest.mark.parametrize("run", LOOPS)
def test_if_no_thread_can_be_started_the_call_fails(
    run: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flow() -> Generator[Any, Any, str]:
        with pytest.raises(RuntimeError, match="can't start"):
            yield Call(len, "")
        return "went on"

    async def main() -> Any:
        return await adrive(flow(), anever)

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert run(main) == "went on"


def test_the_interpreter_waits_for_an_abandoned_call() -> None:
    script = """
        import asyncio, time
        from monta_auth._core.drivers import adrive
        from monta_auth._core.effects import Call

        def save():
            time.sleep(0.3)
            print("saved")

        def flow():
            yield Call(save)

        async def main():
            async with asyncio.timeout(0.1):
                await adrive(flow(), None)

        try:
            asyncio.run(main())
        except TimeoutError:
            print("left")
    """
    assert run_script(script) == "left\nsaved\n"


# --- one loop as a guest of the other


async def library_at_work() -> str:
    flow = one(Call(pause, 0.001))
    await adrive(flow, anever)
    await adrive(one(Sleep(0.001)), anever)
    await adrive(one(Wait(Flight(0, 0.0), 0.001)), anever)
    return await adrive(one(Call(threading.current_thread)), anever) and "fine"


def test_tasks_of_asyncio_and_of_its_guest_trio_work_side_by_side() -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        async def guest() -> list[str]:
            return [await library_at_work() for _ in range(5)]

        trio.lowlevel.start_guest_run(
            guest,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=done.set_result,
            host_uses_signal_set_wakeup_fd=True,
        )
        host = [await library_at_work() for _ in range(5)]
        guests: list[str] = (await done).unwrap()
        return host + guests

    assert asyncio.run(main()) == ["fine"] * 10


def test_tasks_of_trio_and_of_its_guest_asyncio_work_side_by_side() -> None:
    """An asyncio loop runs in a trio task, as in trio-asyncio.

    sniffio knows the library of each.
    """

    def turn(loop: asyncio.AbstractEventLoop) -> None:
        before, sniffio.thread_local.name = sniffio.thread_local.name, "asyncio"
        loop.call_soon(loop.stop)
        loop.run_forever()
        sniffio.thread_local.name = before

    async def main() -> list[str]:
        loop = asyncio.new_event_loop()
        task = loop.create_task(library_at_work())
        outcomes: list[str] = []

        async def host() -> None:
            outcomes.append(await library_at_work())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(host)
            while not task.done():
                turn(loop)
                await trio.sleep(0.001)
        loop.close()
        return [*outcomes, task.result()]

    assert trio.run(main) == ["fine"] * 2


# --- errors that a signal handler raises


class TimeLimit(Exception):
    """Stands for the soft time limit of Celery and the timeout of RQ."""


def struck() -> None:
    signal.raise_signal(signal.SIGTERM)


async def astruck() -> None:
    struck()


@pytest.fixture
def time_limit() -> Iterator[None]:
    def strike(number: int, frame: object) -> None:
        raise TimeLimit

    before = signal.signal(signal.SIGTERM, strike)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("time_limit")
def test_an_error_of_a_signal_handler_in_a_call_reaches_the_caller() -> None:
    def flow() -> Generator[Any, Any, str]:
        with pytest.raises(GeneratorExit):
            yield Call(struck)
        return "closed"

    with pytest.raises(TimeLimit):
        drive(flow(), never)


@pytest.mark.usefixtures("time_limit")
@pytest.mark.parametrize("run", LOOPS)
@pytest.mark.parametrize("finish", [None, FINISH])
def test_an_error_of_a_signal_handler_in_a_coroutine_reaches_the_caller(
    run: Loop, finish: float | None
) -> None:
    async def main() -> None:
        await adrive(one(Call(astruck, finish=finish)), anever)

    with pytest.raises(TimeLimit):
        run(main)


@pytest.mark.usefixtures("time_limit")
@pytest.mark.parametrize("where", ["client_secret", "on_token"])
def test_a_time_limit_in_the_users_code_frees_the_flight(hands: Hands, where: str) -> None:
    calls: list[str] = []

    def limited(*_: object) -> str:
        calls.append(where)
        if len(calls) == 1:
            struck()
        return "secret"

    arguments: dict[str, Any] = {where: limited}
    source = make_source(hands, **arguments)
    with pytest.raises(TimeLimit):
        drive(source.acquire(), lambda effect: pair_reply(hands, 1))
    assert source._state._flight is None
    assert drive(source.acquire(), lambda effect: pair_reply(hands, 1)) == "Bearer access-1"
    assert source.status().failures == 0


# --- what becomes of a pair when its caller is cancelled


def test_a_pair_is_used_although_its_task_was_cancelled_during_the_save(
    hands: Hands,
) -> None:
    begun, go = threading.Event(), threading.Event()

    class Slow:
        doubt = False

        def load(self, name: str) -> None:
            return None

        def try_lock(self, name: str, seconds: float) -> Slow:
            return self

        def save(self, name: str, record: object, lease: object) -> None:
            begun.set()
            assert go.wait(10)

        def extend(self, seconds: float) -> bool:
            return True

        def release(self) -> None:
            pass

    source = make_source(hands, store=Slow())

    async def main() -> None:
        flow = source.acquire(blocking=False)
        task = asyncio.create_task(adrive(flow, areply(pair_reply(hands, 1))))
        await until(begun)
        task.cancel()
        await asyncio.sleep(0.001)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert source.fresh() == "Bearer access-1"


def test_a_garbage_collected_coroutine_frees_the_flight(hands: Hands) -> None:
    source = make_source(hands)
    loop = asyncio.new_event_loop()

    async def stuck(effect: Send) -> Reply:
        return await asyncio.Future[Reply](loop=loop)

    coroutine = adrive(source.acquire(blocking=False), stuck)
    try:
        coroutine.send(None)
        assert source._state._flight is not None
        del coroutine
        gc.collect()
        assert source._state._flight is None
    finally:
        loop.close()


def test_a_sync_client_in_a_coroutine_never_waits_for_its_own_loop(hands: Hands) -> None:
    source = make_source(hands)

    async def main() -> set[str]:
        calling, answer = asyncio.Event(), asyncio.Event()

        async def slow(effect: Send) -> Reply:
            calling.set()
            await answer.wait()
            return pair_reply(hands, 1)

        task = asyncio.create_task(adrive(source.acquire(blocking=False), slow))
        await calling.wait()
        header = drive(source.acquire(), lambda effect: pair_reply(hands, 2))  # blocks the loop
        answer.set()
        return {header, await task}

    assert asyncio.run(main()) == {"Bearer access-2"}


# --- all kinds of callers at once

THREADS, TASKS, TRIO_TASKS = 64, 250, 50


class Crowd:
    """Threads, asyncio tasks on two loops and trio tasks that all need a token at once.

    The single token call is answered when all others wait for it.
    """

    def __init__(self, hands: Hands, source: Source) -> None:
        self.hands = hands
        self.source = source
        self.size = THREADS + 2 * TASKS + TRIO_TASKS
        self.calls: list[str] = []
        self.headers: list[str] = []
        self.errors: list[BaseException] = []

    def watch(self, blocking: bool) -> Generator[Any, Any, Any]:
        return watched(self.source, self.arrive, blocking)

    def arrive(self) -> None:
        with self.mutex:
            self.waiting += 1
            if self.waiting == self.size - 1:
                self.all_wait.set()

    def reply(self, effect: Send) -> Reply:
        self.calls.append(effect.request.kind)
        return pair_reply(self.hands, self.serial)

    def send(self, effect: Send) -> Reply:
        assert self.all_wait.wait(20)
        return self.reply(effect)

    async def asend(self, effect: Send) -> Reply:
        while not self.all_wait.is_set():
            if trio.lowlevel.in_trio_run():
                await trio.sleep(0.001)
            else:
                await asyncio.sleep(0.001)
        return self.reply(effect)

    def thread(self) -> None:
        self.start.wait(20)
        self.headers.append(drive(self.watch(True), self.send))

    async def task(self) -> None:
        self.headers.append(await adrive(self.watch(False), self.asend))

    def loop(self) -> None:
        async def main() -> None:
            self.start.wait(20)
            await asyncio.gather(*[self.task() for _ in range(TASKS)])

        asyncio.run(main())

    def trio(self) -> None:
        async def main() -> None:
            self.start.wait(20)
            async with trio.open_nursery() as nursery:
                for _ in range(TRIO_TASKS):
                    nursery.start_soon(self.task)

        trio.run(main)

    def guarded(self, what: Callable[[], None]) -> None:
        try:
            what()
        except BaseException as error:
            self.errors.append(error)

    def run(self, serial: int) -> list[str]:
        """Let every caller ask once. Return the token calls that this took."""
        self.serial = serial
        self.calls, self.headers = [], []
        self.mutex = threading.Lock()
        self.waiting = 0
        self.all_wait = threading.Event()
        kinds = [*[self.thread] * THREADS, self.loop, self.loop, self.trio]
        self.start = threading.Barrier(len(kinds))
        threads = [threading.Thread(target=self.guarded, args=(kind,)) for kind in kinds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(25)
        assert not any(thread.is_alive() for thread in threads)
        assert self.errors == []
        assert self.headers == [f"Bearer access-{serial}"] * self.size
        return self.calls


def test_threads_two_loops_and_trio_share_each_renewal(hands: Hands) -> None:
    """A cold start costs one mint, an expiry one refresh, and a revocation one renewal."""
    source = make_source(hands)
    crowd = Crowd(hands, source)
    assert crowd.run(1) == ["mint"]
    hands.advance(4000)
    assert crowd.run(2) == ["refresh"]
    assert all(refuse(source, 2) for _ in range(crowd.size))
    assert crowd.run(3) == ["refresh"]


def test_two_hundred_greenlets_cost_one_token_call() -> None:
    pytest.importorskip("gevent")
    script = """
        import warnings
        warnings.simplefilter("ignore")
        from gevent import monkey
        monkey.patch_all()
        warnings.simplefilter("error")
        import gevent, time
        from monta_auth._core.source import Source
        from monta_auth._core.drivers import drive
        from monta_auth._core.replies import Reply

        source = Source("id", "secret")
        calls = []

        def send(effect):
            calls.append(effect.request.kind)
            time.sleep(0.05)
            return Reply(200, {}, b'{"accessToken": "access-1"}')

        greenlets = [
            gevent.spawn(lambda: drive(source.acquire(), send)) for _ in range(200)
        ]
        gevent.joinall(greenlets, timeout=20, raise_error=True)
        print(len(calls), {g.value.encode().decode() for g in greenlets})
    """
    assert run_script(script) == "1 {'Bearer access-1'}\n"


# --- calls that no caller waits for


def test_a_detached_call_is_made_in_a_separate_thread() -> None:
    idents: list[int] = []
    done = threading.Event()

    def function() -> None:
        idents.append(threading.get_ident())
        done.set()
        raise ValueError("it is ignored")

    detach(function)
    assert done.wait(5)
    assert idents != [threading.get_ident()]


@pytest.mark.parametrize("run", [asyncio.run, trio.run], ids=["asyncio", "trio"])
def test_a_detached_coroutine_runs_in_the_loop(run: Callable[..., Any]) -> None:
    async def main() -> None:
        bell = Bell()

        async def function() -> None:
            bell.event.set()
            raise ValueError("it is ignored")

        detach(function)
        await bell.wait(5)
        assert bell.event.is_set()

    run(main) if run is trio.run else run(main())


def test_without_a_loop_a_detached_coroutine_is_not_called() -> None:
    async def function() -> None:
        raise AssertionError("called")

    detach(function)
