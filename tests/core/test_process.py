"""Fork, prefork, spawn, and the end of the interpreter, in separate interpreters."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from monta_auth import TokenSource
from monta_auth._core import source as _source
from monta_auth._core.effects import Send
from monta_auth._core.source import Source

ROOT = Path(__file__).parents[2]

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

PRELUDE = """
    import json, logging, os, sys, threading, time, warnings
    from datetime import datetime, timedelta, timezone
    warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
    from monta_auth import ConfigurationError, TokenSet
    from monta_auth._core.source import Source
    from monta_auth._core.drivers import drive
    from monta_auth._core.replies import Reply
    from monta_auth.stores import MemoryStore

    logging.disable()
    SERIAL = [0]

    def reply():
        SERIAL[0] += 1
        n = SERIAL[0]
        return Reply(200, {}, json.dumps({
            "accessToken": f"access-{n}", "refreshToken": f"refresh-{n}"
        }).encode())

    def in_child(what):
        # Run it in a forked child and tell what it printed; a child that hangs is killed.
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                answer = what()
            except BaseException as error:
                answer = f"raised {type(error).__name__}"
            os.write(write, str(answer).encode())
            os._exit(0)
        os.close(write)
        timer = threading.Timer(10, os.kill, (pid, 9))
        timer.start()
        with os.fdopen(read) as pipe:
            answer = pipe.read()
        os.waitpid(pid, 0)
        timer.cancel()
        return answer or "the child hung"

    def words(header):
        return str(header)
"""


def run_script(script: str, timeout: float = 25.0) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(PRELUDE) + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


@forks
def test_a_child_forked_during_a_renewal_neither_hangs_nor_uses_its_parents_refresh_token() -> None:
    """The thread that renews does not exist in the child, so nothing there holds its locks."""
    script = """
        source = Source("id", "secret")
        drive(source.acquire(), lambda effect: reply())
        source.invalidate()
        calling, go = threading.Event(), threading.Event()

        def slow(effect):
            calling.set()
            assert go.wait(10)
            return reply()

        renewing = threading.Thread(target=drive, args=(source.acquire(), slow))
        renewing.start()
        assert calling.wait(10)

        def child():
            bodies = []
            def send(effect):
                bodies.append(effect.request.kind)
                return reply()
            return words(drive(source.acquire(), send)), bodies

        with source._state._mutex:  # as another thread may hold it
            print(in_child(child))
        go.set()
        renewing.join()
        print(words(source.fresh()))
    """
    assert run_script(script) == ["('Bearer access-2', ['mint'])", "Bearer access-2"]


@forks
def test_a_forked_child_keeps_the_access_token() -> None:
    """Preforking servers load the application once, so eight workers need not call eight times."""
    script = """
        source = Source("id", "secret")
        drive(source.acquire(), lambda effect: reply())

        def child():
            first = words(source.fresh())
            source.invalidate()
            kinds = []
            def send(effect):
                kinds.append(effect.request.kind)
                return reply()
            drive(source.acquire(), send)
            source.invalidate()
            drive(source.acquire(), send)  # the child's own refresh token serves again
            return first, kinds

        for _ in range(3):
            print(in_child(child))
        source.invalidate()
        kinds = []
        drive(source.acquire(), lambda effect: kinds.append(effect.request.kind) or reply())
        print(kinds)
    """
    child = "('Bearer access-1', ['mint', 'refresh'])"
    assert run_script(script) == [child] * 3 + ["['refresh']"]


@forks
def test_a_child_does_not_wait_for_a_memory_store_that_its_parent_locked() -> None:
    """The child has its own copy, with a lease that is never released."""
    script = """
        store = MemoryStore()
        source = Source("id", "secret", store=store)
        drive(source.acquire(), lambda effect: reply())
        source.invalidate()
        name = source._terms.seal.name
        assert store.try_lock(name, 60)

        def child():
            kinds = []
            def send(effect):
                kinds.append(effect.request.kind)
                return reply()
            started = time.monotonic()
            drive(source.acquire(), send)
            return kinds, time.monotonic() - started < 5

        with store._mutex:  # as another thread may hold it
            print(in_child(child))
        print(in_child(lambda: MemoryStore().load(name)))  # one that holds nothing is no obstacle
    """
    assert run_script(script) == ["(['mint'], True)", "None"]


def test_each_source_starts_over_in_a_child() -> None:
    """This test calls the hook in its own process, as a fork would call it."""
    sources = [Source("client-1", "secret") for _ in range(3)]
    flows = [source.acquire() for source in sources]
    assert all(isinstance(next(flow), Send) for flow in flows)
    _source._after_fork_in_child()
    assert [source._state._flight for source in sources] == [None] * 3


@forks
@pytest.mark.parametrize("refresh", ['"refresh-1"', "None"], ids=["with refresh", "without"])
def test_the_error_in_a_child_with_only_a_token_pair_says_why(refresh: str) -> None:
    script = f"""
        pair = TokenSet(
            "access-1", {refresh}, datetime.now(timezone.utc) + timedelta(hours=1)
        )
        source = Source(token=pair)
        Source("id", "secret")  # one that holds nothing is no obstacle

        def child():
            assert source.fresh()
            source.invalidate()
            return drive(source.acquire(), lambda effect: reply())

        print(in_child(child))
    """
    assert run_script(script) == ["raised ConfigurationError"]


def test_a_spawned_process_starts_from_the_settings() -> None:
    """multiprocessing's spawn starts a new interpreter with a pickle and nothing else."""
    source = TokenSource("client-1", "secret", base_url="http://localhost:1")
    script = f"""
        import pickle
        source = pickle.loads({pickle.dumps(source)!r})
        print(repr(source), next(source._source.acquire()).request.kind)
    """
    assert run_script(script) == [f"{source!r} mint"]


def test_an_interpreter_that_exits_during_a_renewal_does_not_hang() -> None:
    script = """
        source = Source("id", "secret")
        calling = threading.Event()

        def stuck(effect):
            calling.set()
            time.sleep(1000)

        threading.Thread(target=drive, args=(source.acquire(), stuck), daemon=True).start()
        assert calling.wait(10)
        flow = source.acquire()  # and one that waits, never finished
        next(flow)
        print("the end")
    """
    assert run_script(script, timeout=10) == ["the end"]


def test_unfinished_flows_print_nothing_when_the_interpreter_ends() -> None:
    script = """
        source = Source("id", "secret")
        leader, waiter = source.acquire(blocking=False), source.acquire(blocking=False)
        next(leader), next(waiter)
    """
    assert run_script(script) == []


def test_garbage_collected_flows_print_nothing_and_free_the_flight() -> None:
    """Whether they are in reference cycles or not, and in any order of collection."""
    script = """
        import contextvars, gc
        gc.set_threshold(1)
        source = Source("id", "secret")

        class Holder:
            pass

        for i in range(200):
            holder = Holder()
            holder.me, holder.flow = holder, source.acquire(blocking=bool(i % 2))
            contextvars.copy_context().run(next, holder.flow)
            del holder
        gc.collect()
        print(source._state._flight is None)
        print(words(drive(source.acquire(), lambda effect: reply())))
    """
    assert run_script(script) == ["True", "Bearer access-1"]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_after_an_interrupt_during_a_wait_the_source_works() -> None:
    script = """
        import signal
        source = Source("id", "secret")
        calling, go = threading.Event(), threading.Event()

        def slow(effect):
            calling.set()
            assert go.wait(10)
            return reply()

        leader = threading.Thread(target=drive, args=(source.acquire(), slow))
        leader.start()
        assert calling.wait(10)
        try:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
            drive(source.acquire(), slow)
        except KeyboardInterrupt:
            print("interrupted")
        go.set()
        leader.join()
        print(words(source.fresh()))
    """
    assert run_script(script) == ["interrupted", "Bearer access-1"]
