"""docs/guides/fleets.rst: its examples run unchanged, in separate processes.

docs/guides/errors.rst: the reasons in its tables are the ones that stores give.
"""

from __future__ import annotations

import asyncio
import errno
import importlib
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from redis import Redis

import httpx_monta
import requests_monta
from monta_auth import MontaAuthError, RefreshPolicy, TokenStoreError
from monta_auth.emulator import Emulator
from monta_auth.stores import FileStore, MemoryStore, RedisStore
from monta_auth.stores.testing import StoreContract

from ..docs.pages import DOCS, blocks
from .fleet import RedisServer, token_calls
from .postgres_server import PostgresServer
from .redis_servers import Certificates, Cluster, Proxy, Sentinel

TEXT = (DOCS / "guides" / "fleets.rst").read_text(encoding="utf-8")
SECURITY = (DOCS.parent / "SECURITY.md").read_text(encoding="utf-8")
EXAMPLES = {each.name: each.code for each in blocks("guides/fleets.rst")}
QUOTED = "".join(each.code for each in blocks("guides/fleets.rst", "text"))

#: Goes before an example, so that it calls the emulator instead of Monta.
HERE = """
import os, httpx_monta, requests_monta
httpx_monta.PUBLIC_API = requests_monta.PUBLIC_API = os.environ["MONTA_BASE_URL"]
"""

#: Celery's names, for a pool that is not Celery's: tasks are called as functions.
CELERY = """
import sys, types
class Celery:
    def __init__(self, name, broker): pass
    def task(self, function): return function
sys.modules["celery"] = types.ModuleType("celery")
sys.modules["celery"].Celery = Celery
"""


@pytest.fixture
def environment(monta: Emulator, server: RedisServer, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "MONTA_BASE_URL": monta.base_url,
        "MONTA_CLIENT_ID": monta.client_id,
        "MONTA_CLIENT_SECRET": monta.client_secret,
        "XDG_STATE_HOME": str(tmp_path),
        "REDIS_URL": server.url,
        "BROKER_URL": server.url,
    }


def run(environment: dict[str, str], *parts: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", HERE + "\n".join(parts)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def names_of(example: str, exchanged: Mapping[str, str] | None = None, **given: Any) -> Any:
    """Return the names that an example defines if it is no program. Some texts are exchanged."""
    code = EXAMPLES[example]
    for old, new in (exchanged or {}).items():
        assert old in code
        code = code.replace(old, new)
    names: dict[str, Any] = {"__name__": "guide", **given}
    exec(code, names)  # noqa: S102 - our own guide
    return names


def test_every_example_is_tested_here() -> None:
    assert TEXT.count("code-block:: python") == len(EXAMPLES)
    assert set(EXAMPLES) == {
        "prefork",
        "celery",
        "cron",
        "containers",
        "tls",
        "sentinel",
        "cluster",
        "redis-asyncio",
        "check",
        "forget",
        "contract",
        "postgresql",
        "django-model",
        "django-settings",
        "django",
        "home-assistant",
    }


SERVE = """
def worker():
    states = []
    body = app({}, lambda status, headers: states.append(status))
    os._exit(0 if states == ["200 OK"] and body[0] else 1)

children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        worker()
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
"""


@pytest.mark.parametrize(
    "warm", ["", "app({}, lambda status, headers: None)"], ids=["cold", "warm"]
)
def test_prefork(environment: dict[str, str], monta: Emulator, warm: str) -> None:
    """Four workers forked from a process that has, or has not, made a request."""
    run(environment, EXAMPLES["prefork"], warm, SERVE)
    assert token_calls(monta) == [("token", 200)]


def test_celery(environment: dict[str, str], monta: Emulator) -> None:
    """Two pools of two forked workers, like two machines."""
    pool = """
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as workers:
    print(workers.map(state_of, [5001, 5002, 5003]))
"""
    for _ in range(2):
        assert run(environment, CELERY, EXAMPLES["celery"], pool) == f"{['completed'] * 3}\n"
    assert token_calls(monta) == [("token", 200)]


def test_cron(environment: dict[str, str], monta: Emulator) -> None:
    del environment["HOME"]
    for _ in range(2):
        assert run(environment, EXAMPLES["cron"]) == "60\n"
    assert token_calls(monta) == [("token", 200)]


def test_containers(environment: dict[str, str], monta: Emulator) -> None:
    for example in ("containers", "redis-asyncio"):
        assert run(environment, EXAMPLES[example]) == "24\n"
    assert token_calls(monta) == [("token", 200)]


# --- Redis


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def test_tls_and_acl(server: RedisServer, certificates: Certificates, monkeypatch: Any) -> None:
    """One user with exactly the rights that the page lists, with TLS."""
    (rule,) = re.findall("^ACL SETUSER .*$", QUOTED, re.MULTILINE)
    assert f"\n    {rule}\n" in SECURITY
    with server.client() as client, Proxy(server.port, certificates.right) as proxy:
        client.execute_command(*rule.split())
        url = f"rediss://monta:password@localhost:{proxy.port}/0?ssl_ca_certs={certificates.ca}"
        monkeypatch.setenv("REDIS_URL", url)
        names_of("tls")
        client.acl_deluser("monta")


def test_sentinel(sentinel: Sentinel) -> None:
    names = names_of(
        "sentinel",
        {
            '("sentinel-1.example.com", 26379)': f'("127.0.0.1", {sentinel.port})',
            ', ("sentinel-2.example.com", 26379)': "",
        },
    )
    names["store"].check()


def test_cluster(cluster: Cluster) -> None:
    port = cluster.nodes[0].port
    names_of("cluster", {'"cluster.example.com", 6379': f'"127.0.0.1", {port}'})["store"].check()


# --- when the store does not work


def auth_of(monta: Emulator, store: Any, **settings: Any) -> requests_monta.MontaAuth:
    return requests_monta.MontaAuth(
        monta.client_id, monta.client_secret, base_url=monta.base_url, store=store, **settings
    )


def test_a_failing_store_is_logged_as_the_page_says(
    monta: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="monta_auth")
    with RedisServer() as server:
        auth = auth_of(monta, RedisStore(server.url.replace("127.0.0.1", "localhost")))
        server.kill()
        auth.token()
        assert auth.status().store_failure is not None
        server.start()
        auth.invalidate()
        auth.token()
        assert auth.status().store_failure is None
    records = [record for record in caplog.records if record.name == "monta_auth"]
    for record in records:
        text = f"{record.levelname} {record.name}: {record.getMessage()}"
        assert text.replace(f":{server.port}/", ":6379/") in QUOTED
    assert len(records) == 2


def test_check_and_forget(environment: dict[str, str], monta: Emulator, tmp_path: Path) -> None:
    fetch = "auth.token()"
    for example in ("check", "forget"):
        code = EXAMPLES[example].replace("auth.invalidate()", f"{fetch}; auth.invalidate()")
        assert run(environment, code) == ""
    assert token_calls(monta) == [("token", 200)]
    assert not list((tmp_path / "monta-auth").glob("*.record"))


def test_the_shell_command_of_the_page_checks_the_redis(environment: dict[str, str]) -> None:
    (line,) = (each.code for each in blocks("guides/fleets.rst", "sh"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for database, ends_well in ((0, True), (99, False)):
        url = environment["REDIS_URL"].removesuffix("0") + str(database)
        settings = {**environment, "REDIS_URL": url, "PATH": path}
        done = subprocess.run(line, shell=True, env=settings, capture_output=True, check=False)  # noqa: S602 - our own guide
        assert (done.returncode == 0) is ends_well, done.stderr


def test_forget_raises_what_the_page_says(monta: Emulator) -> None:
    store = MemoryStore()
    auth = auth_of(monta, store, policy=RefreshPolicy(deadline=0.3))
    auth.token()
    (name,) = store._records
    assert store.try_lock(name, 60.0) is not None
    with pytest.raises(TokenStoreError) as caught:
        auth.forget()
    assert f"TokenStoreError: {caught.value}\n" in QUOTED


# --- the tables of the page of errors


def text_of(make: Callable[[], object]) -> str:
    with pytest.raises((ImportError, MontaAuthError)) as caught:
        make()
    return str(caught.value)


def failure_of(monta: Emulator, store: Any) -> str:
    auth = auth_of(monta, store)
    auth.token()
    return str(auth.status().store_failure)


def texts_at_the_start(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for url in (
        "redis://redis:6379/0",
        "rediss://redis/0?ssl_cert_reqs=none",
        "redis://:a/b@redis",
    ):
        yield text_of(lambda url=url: RedisStore(url))  # type: ignore[misc]
    yield text_of(lambda: RedisStore(Redis()))
    for package, make in (
        ("filelock", FileStore),
        ("redis", lambda: RedisStore("redis://localhost")),
        ("cryptography", lambda: requests_monta.MontaAuth("a", "b", store=MemoryStore())),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            yield text_of(make)


def _raise(error: Exception, *args: object, **kwargs: object) -> None:
    raise error


def reasons(monta: Emulator, server: RedisServer, folder: Path) -> Iterator[str]:
    def ask(url: str) -> str:
        return failure_of(monta, RedisStore(url))

    with RedisServer() as gone:
        gone.kill()
        yield ask(gone.url)
    with server.paused():
        yield ask(server.url)
    yield ask(server.url.replace("//", "//nobody:x@"))
    with server.client() as client:
        client.config_set("requirepass", "password")
        try:
            yield ask(f"{server.url}?protocol=3")
        finally:
            with server.client(password="password") as again:
                again.config_set("requirepass", "")
    with server.client() as client:
        client.acl_setuser("monta", enabled=True, passwords=["+password"], keys=["*"])
        yield ask(server.url.replace("//", "//monta:password@"))
        client.acl_deluser("monta")
        client.replicaof("127.0.0.1", "1")
        yield ask(server.url)
        client.replicaof("NO", "ONE")
        client.config_set("maxmemory", 1)
        yield ask(server.url)
        client.config_set("maxmemory", 0)
        auth_of(monta, RedisStore(server.url)).token()
        (key,) = client.keys()
        client.delete(key)
        client.hset(key, "a", "b")
        yield ask(server.url)
    directory = folder / "monta"
    directory.mkdir()
    directory.chmod(0o300)
    yield failure_of(monta, FileStore(directory))
    directory.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(directory, 12345, 12345)
        yield failure_of(monta, FileStore(directory))
    else:  # what such a directory of another user would give
        yield failure_of(monta, FileStore("/monta"))
    for code in (errno.ENOSPC, errno.EROFS, errno.ENOENT):
        with pytest.MonkeyPatch.context() as patch:
            full = partial(_raise, OSError(code, os.strerror(code)))
            patch.setattr("monta_auth.stores._file_store.write", full)
            yield failure_of(monta, FileStore(folder / "disk"))
    store: Any = MemoryStore()
    store.try_lock = lambda name, seconds: Lost()
    yield failure_of(monta, store)
    yield asyncio.run(failure_of_one_that_hangs(monta))
    store = MemoryStore()
    store.try_lock = lambda: None
    yield failure_of(monta, store)
    store.load = lambda name: "text"
    yield failure_of(monta, store)


class Lost:
    """A lease that is lost at once."""

    doubt = False

    def extend(self, seconds: float) -> bool:
        return False

    def release(self) -> None: ...


async def failure_of_one_that_hangs(monta: Emulator) -> str:
    ended = threading.Event()
    store: Any = MemoryStore()
    store.load = lambda name: ended.wait(10)
    policy = RefreshPolicy(deadline=0.4)
    auth = httpx_monta.MontaAuth(
        monta.client_id, monta.client_secret, base_url=monta.base_url, store=store, policy=policy
    )
    try:
        async with httpx.AsyncClient(auth=auth, base_url=monta.base_url) as client:
            for _ in range(2):
                assert (await client.get("/charges")).status_code == 200
                monta.revoke_access_tokens()
        return str(auth.status().store_failure)
    finally:
        ended.set()


def test_the_page_about_errors_lists_the_reasons_that_stores_give(
    monta: Emulator, server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (DOCS / "guides" / "errors.rst").read_text(encoding="utf-8")
    for title, texts in (
        ("The text contains", texts_at_the_start(monkeypatch)),
        ("The reason contains", reasons(monta, server, tmp_path)),
    ):
        table = re.split(r"\n\n(?! )", page.split(f"   * - {title}\n")[1])[0]
        rows = re.findall(r"^   \* - (``.*``)$", table, re.MULTILINE)
        assert len(rows) == table.count("   * - ")
        seen = list(texts)
        for row in rows:
            words = re.findall("``(.*?)``", row)
            assert any(word in text for word in words for text in seen), row


# --- custom stores


class Clock:
    """The clock of a store, which a test can move forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


_CLOCK = Clock()
_LINES: Any = SimpleNamespace(
    **names_of(
        "contract",
        {"from my_app.stores import MyStore\n": ""},
        MyStore=lambda: MemoryStore(monotonic=_CLOCK.monotonic),
    )
)


class TestTheLinesThatTestAStore(_LINES.TestMyStore):  # type: ignore[misc]
    def pass_time(self, seconds: float) -> None:
        _CLOCK.ahead += seconds


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        (create, _) = (each.code for each in blocks("guides/fleets.rst", "sql"))
        server.run(create)
        server.run("GRANT SELECT, INSERT, UPDATE ON monta_auth TO monta")
        yield server


class TestPostgres(StoreContract):
    @pytest.fixture
    def store(self, postgres: PostgresServer) -> Any:
        self.server = postgres
        return names_of("postgresql")["PostgresStore"](postgres.url)

    def pass_time(self, seconds: float) -> None:
        """Let all leases expire early instead of waiting."""
        past = "UPDATE monta_auth SET until = until - make_interval(secs => %s)"
        self.server.run(past, seconds)

    def test_processes_share_a_token(
        self, environment: dict[str, str], monta: Emulator, postgres: PostgresServer
    ) -> None:
        request = f"""
import requests
auth = requests_monta.MontaAuth(store=PostgresStore({postgres.url!r}))
print(requests.get(f"{{requests_monta.PUBLIC_API}}/charge-points", auth=auth).status_code)
"""
        for _ in range(2):
            assert run(environment, EXAMPLES["postgresql"], request) == "200\n"
        assert token_calls(monta) == [("token", 200)]

    def test_a_statement_has_a_limit(self, store: Any) -> None:
        assert store.run("SHOW statement_timeout") == "900ms"

    def test_rows_of_old_credentials_can_be_deleted(self, store: Any, name: str) -> None:
        (_, delete) = (each.code for each in blocks("guides/fleets.rst", "sql"))
        self._put(store, name, b"record-1")
        for days, expected in ((29, b"record-1"), (2, None)):
            self.pass_time(days * 86400.0)
            self.server.run(delete)
            assert store.load(name) == expected


@pytest.fixture(scope="session")
def django(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names of the examples. Django can be configured only once per process."""
    settings: Any = importlib.import_module("django.conf").settings
    file = str(tmp_path_factory.mktemp("django") / "database")
    databases = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": file}}
    limits = '{"connect_timeout": 1, "options": "-c statement_timeout=900"}'
    names_of("django-settings", {limits: '{"timeout": 1}'}, DATABASES=databases)
    models = types.ModuleType("charging.models")
    models.__file__ = "charging/models.py"
    sys.modules.update({"charging": types.ModuleType("charging"), "charging.models": models})
    settings.configure(DATABASES=databases)
    importlib.import_module("django").setup()
    marked = EXAMPLES["django-model"] + "\n    class Meta:\n        app_label = 'charging'\n"
    exec(marked, models.__dict__)  # noqa: S102 - our own guide
    database: Any = importlib.import_module("django.db")
    with database.connection.schema_editor() as editor:
        editor.create_model(models.MontaRecord)
    database.connection.close()
    return {**names_of("django"), "transaction": database.transaction}


class TestDjango(StoreContract):
    """On SQLite, in a file."""

    @pytest.fixture
    def store(self, django: dict[str, Any]) -> Any:
        self.names = django
        return django["DjangoStore"]()

    def pass_time(self, seconds: float) -> None:
        """Let all leases expire early instead of waiting."""
        past = self.names["F"]("until") - self.names["timedelta"](seconds=seconds)
        with self.names["records"]() as found:
            found.update(until=past)

    def test_a_failed_view_does_not_roll_back_a_record(self, store: Any, name: str) -> None:
        with self.names["transaction"].atomic():
            lease = store.try_lock(name, 6.0)
            store.save(name, b"record-1", lease)
            self.names["transaction"].set_rollback(True)
        assert store.load(name) == b"record-1"
        assert lease.extend(6.0)

    def test_no_connection_stays_open(self, store: Any, name: str) -> None:
        self._put(store, name, b"record-1")
        store.load(name)
        assert self.names["connections"]["monta"].connection is None


class HomeAssistantsStore:
    """Stands for ``homeassistant.helpers.storage.Store``, which is not installed here.

    It has the same arguments and methods, and keeps JSON in a file.
    """

    def __init__(
        self, hass: Path, version: int, key: str, private: bool, atomic_writes: bool
    ) -> None:
        self.path = hass / key

    async def async_load(self) -> Any:
        return json.loads(self.path.read_text())["data"] if self.path.exists() else None

    async def async_save(self, data: Any) -> None:
        self.path.write_text(json.dumps({"version": 1, "data": data}))

    async def async_remove(self) -> None:
        self.path.unlink(missing_ok=True)


class TestHomeAssistant(StoreContract):
    """There is one process, so both stores of a test are one object."""

    @pytest.fixture
    def store(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        for name in ("homeassistant", "homeassistant.helpers", "homeassistant.helpers.storage"):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        storage: Any = sys.modules["homeassistant.helpers.storage"]
        storage.Store = HomeAssistantsStore
        self.hass = tmp_path
        self.clock = Clock()
        self.names = names_of("home-assistant")
        self.names["time"] = SimpleNamespace(monotonic=self.clock.monotonic)
        return self.names["HomeAssistantStore"](self.hass)

    def pass_time(self, seconds: float) -> None:
        self.clock.ahead += seconds

    def test_the_record_survives_a_restart(self, store: Any, name: str) -> None:
        self._put(store, name, b"record-1")
        again = self.names["HomeAssistantStore"](self.hass)
        assert self._load(again, name) == b"record-1"
