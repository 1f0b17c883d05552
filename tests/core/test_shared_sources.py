"""Which auth objects share one token source, and for how long."""

import gc
import importlib.util
import os
import sys
import threading
import weakref
from collections.abc import Iterator

import pytest

from monta_auth import PARTNER_API, PUBLIC_API, ConfigurationError, RefreshPolicy
from monta_auth._core import shared_sources as registry
from monta_auth._core.shared_sources import forget_shared_sources, shared_source
from monta_auth._core.source import Source

from ..simulation.flows import Hands, hold

#: Fewer than in use, to save time.
KEPT = 64


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "KEPT", KEPT)
    for name in ("MONTA_CLIENT_ID", "MONTA_CLIENT_SECRET", "MONTA_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    forget_shared_sources()
    yield
    forget_shared_sources()


def source(
    client: str | None = "id",
    secret: str | None = "s3cr3t",
    base_url: str | None = None,
    policy: RefreshPolicy | None = None,
) -> Source:
    return shared_source(client, secret, base_url=base_url, policy=policy)


def test_equal_settings_share_one_source() -> None:
    """`requests.get(url, auth=MontaAuth(...))` in a loop must not mint each time."""
    assert source() is source()


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"base_url": PUBLIC_API}, id="the default base URL"),
        pytest.param({"base_url": PUBLIC_API + "/"}, id="a slash at its end"),
        pytest.param({"policy": RefreshPolicy()}, id="the default policy"),
        pytest.param({"policy": RefreshPolicy(advisory=300)}, id="an equal policy"),
    ],
)
def test_a_default_is_equal_to_its_explicit_value(other: dict[str, object]) -> None:
    assert source(**other) is source()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"client": "another"}, id="client id"),
        pytest.param({"secret": "another"}, id="secret"),
        pytest.param({"base_url": PARTNER_API}, id="base URL"),
        pytest.param({"policy": RefreshPolicy(pause=1)}, id="policy"),
    ],
)
def test_different_settings_have_different_sources(other: dict[str, object]) -> None:
    """The worst fault here would be one account's token in another account's request."""
    assert source(**other) is not source()  # type: ignore[arg-type]
    assert source(**other) is source(**other)  # type: ignore[arg-type]


def test_credentials_of_the_environment_share_with_equal_arguments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MONTA_CLIENT_ID", "id")
    monkeypatch.setenv("MONTA_CLIENT_SECRET", "s3cr3t")
    monkeypatch.setenv("MONTA_BASE_URL", PARTNER_API)
    assert source(None, None) is source("id", "s3cr3t", PARTNER_API)


def test_a_changed_environment_gives_another_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key contains what the variables hold, not that they were read."""
    monkeypatch.setenv("MONTA_CLIENT_ID", "id")
    monkeypatch.setenv("MONTA_CLIENT_SECRET", "s3cr3t")
    first = source(None, None)
    monkeypatch.setenv("MONTA_CLIENT_SECRET", "rotated")
    assert source(None, None) is not first


def test_a_source_with_a_callable_secret_is_not_shared() -> None:
    def ask() -> str:
        return "s3cr3t"

    first = shared_source("id", ask)  # type: ignore[arg-type]
    assert shared_source("id", ask) is not first  # type: ignore[arg-type]
    assert len(registry._recent) == 0


def test_the_registry_holds_no_secret_in_its_keys() -> None:
    kept = source()
    assert "s3cr3t" not in repr(list(registry._recent)) + repr(list(registry._alive.keys()))
    assert list(registry._alive.values()) == [kept]


@pytest.mark.parametrize(
    ("client", "secret", "base_url", "text"),
    [
        pytest.param(None, None, None, "client_id= and client_secret=", id="nothing"),
        pytest.param("id", None, None, "client_secret", id="no secret"),
        pytest.param(None, "s3cr3t", None, "client_id", id="no id"),
        pytest.param("id", "s3cr3t ", None, "SPACE", id="white space"),
        pytest.param("id", "s3cr3t", "x.example", "base_url", id="base URL"),
    ],
)
def test_unusable_settings_are_refused_and_not_kept(
    client: str | None, secret: str | None, base_url: str | None, text: str
) -> None:
    with pytest.raises(ConfigurationError, match=text):
        source(client, secret, base_url)
    assert len(registry._alive) == 0
    assert len(registry._recent) == 0


def test_an_object_that_is_not_a_policy_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="RefreshPolicy"):
        source(policy="fast")  # type: ignore[arg-type]


def test_the_last_few_sources_are_kept_without_an_auth_object() -> None:
    first = weakref.ref(source("client-0"))
    for number in range(1, KEPT):
        source(f"client-{number}")
    gc.collect()
    assert first() is source("client-0")


def test_older_sources_are_dropped() -> None:
    """A service that mints for each of its customers must not keep all their sources forever."""
    first = weakref.ref(source("client-0"))
    for number in range(1, KEPT + 1):
        source(f"client-{number}")
    gc.collect()
    assert first() is None
    assert len(registry._recent) == KEPT
    assert len(registry._alive) == KEPT


def test_of_too_many_sources_those_with_the_latest_expiry_are_kept(hands: Hands) -> None:
    """The time of last use does not matter: each new source costs a token call."""
    lives = {f"client-{number}": 1000.0 + number for number in range(KEPT)}
    sources = {client: weakref.ref(source(client)) for client in lives}
    for client, life in lives.items():
        hold(hands, sources[client](), life=life)  # type: ignore[arg-type]
    source("another")  # has no token yet but stays, since it is in use
    gc.collect()
    assert [client for client in lives if sources[client]() is None] == ["client-0"]
    source("one more")
    gc.collect()
    assert [client for client in lives if sources[client]() is None] == ["client-0"]


def test_using_a_source_keeps_it() -> None:
    first = weakref.ref(source("client-0"))
    for number in range(1, 2 * KEPT):
        source(f"client-{number}")
        source("client-0")
    gc.collect()
    assert first() is source("client-0")


def test_a_source_in_use_is_shared_however_old_it_is() -> None:
    in_use = source("client-0")
    for number in range(1, 2 * KEPT):
        source(f"client-{number}")
    assert source("client-0") is in_use


def test_after_forgetting_nothing_is_shared_with_earlier_objects() -> None:
    """The pytest plugin uses this between tests."""
    first = source()
    forget_shared_sources()
    assert source() is not first
    assert len(registry._alive) == 1


def test_threads_that_start_together_get_one_source() -> None:
    start = threading.Barrier(8)
    got: list[Source] = []

    def make() -> None:
        start.wait(10)
        got.append(source())

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(got) == 8
    assert len(set(map(id, got))) == 1


# --- processes


def test_a_forked_child_gets_its_own_mutex() -> None:
    """A thread that held the parent's mutex at the moment of the fork is not in the child."""
    before = registry._mutex
    try:
        registry._after_fork_in_child()
        assert registry._mutex is not before
        assert source() is source()
    finally:
        registry._mutex = before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_forked_child_can_use_the_registry_while_the_parent_holds_its_mutex() -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with registry._mutex:
            held.set()
            done.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(10)
        child = os.fork()
        if child == 0:  # pragma: no cover - another process
            free = registry._mutex.acquire(timeout=5)
            os._exit(0 if free and source() is source() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        done.set()
        holder.join(10)


def test_the_module_can_be_imported_on_systems_without_fork(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Windows has no `os.register_at_fork`."""
    monkeypatch.delattr(os, "register_at_fork", raising=False)
    assert registry.__file__ is not None
    name = "monta_auth._core.without_fork"
    spec = importlib.util.spec_from_file_location(name, registry.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.shared_source("id", "s3cr3t") is not None
    assert name not in sys.modules


def test_a_policy_of_the_wrong_type_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="policy"):
        shared_source("id", "secret", policy={"advisory": 60})  # type: ignore[arg-type]
