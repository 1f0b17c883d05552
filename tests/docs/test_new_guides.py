"""The guides on production, rate limits, Home Assistant and other tools: their examples run."""

from __future__ import annotations

import ast
import asyncio
import importlib
import json
import logging
import math
import re
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import aiohttp
import httpx
import pytest
import requests

import aiohttp_monta
import httpx_monta
import monta_auth
import requests_monta
from monta_auth._core import drivers
from monta_auth.emulator import Emulator, Fault

from .pages import DOCS, blocks, example

# dlt, gql and FastMCP run in tests/compat.
TOOLS = "guides/where-to-put-auth.rst"
PRODUCTION = "guides/in-production.rst"
HOME = "guides/home-assistant.rst"
LIMITS = "guides/rate-limits.rst"


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(monta: Emulator) -> Iterator[Run]:
    """Return a function that runs an example, and close its clients at the end of the test."""
    ran: list[dict[str, Any]] = []

    def run(page: str, name: str, exchanged: Mapping[str, str] | None = None) -> dict[str, Any]:
        ran.append(example(page, name).run(exchanged))
        return ran[-1]

    yield run
    for value in (value for names in ran for value in names.values()):
        if isinstance(value, requests.Session | httpx.Client):
            value.close()


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each retry at once."""

    async def asleep(seconds: float) -> None: ...

    monkeypatch.setattr(drivers, "time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setattr(drivers, "_sleep", asleep)


# --- in production


def test_token_calls_have_the_settings_of_the_session(run: Run) -> None:
    seen: list[requests.Response] = []
    session: requests.Session = run(PRODUCTION, "session")["session"]
    session.headers["x-gateway-key"] = "key"
    hooks: list[Callable[..., Any]] = session.hooks["response"]
    hooks.append(lambda response, **settings: seen.append(response))
    session.auth.forget()  # type: ignore[union-attr]
    session.get(f"{session.auth.base_url}/charges")  # type: ignore[union-attr]
    assert [reply.request.headers["x-gateway-key"] for reply in seen] == ["key", "key"]


def test_token_calls_have_the_settings_of_the_client(run: Run) -> None:
    seen: list[httpx.Request] = []
    names = run(PRODUCTION, "client")
    names["client"].headers["x-gateway-key"] = "key"
    names["client"].event_hooks = {"request": [seen.append]}
    names["client"].auth.forget()
    names["client"].get("/charges")
    assert [request.headers["x-gateway-key"] for request in seen] == ["key", "key"]


@pytest.mark.usefixtures("no_pauses")
def test_with_client_a_broken_connection_fails_no_request(monta: Emulator, run: Run) -> None:
    client = run(PRODUCTION, "client")["client"]
    client.auth.forget()
    monta.inject(Fault(close=True))
    assert client.get("/charges").status_code == 200
    assert monta.count("/auth/token") == 3


@pytest.fixture
def web(run: Run) -> Iterator[Any]:
    """The page's application in a test client."""
    pytest.importorskip("fastapi", reason="FastAPI is not installed; it is in tox -e compat")
    testclient: Any = importlib.import_module("fastapi.testclient")
    with testclient.TestClient(run(PRODUCTION, "fastapi")["app"]) as web:
        yield web


def test_the_fastapi_application_works(monta: Emulator, web: Any) -> None:
    assert len(web.get("/charge-points").json()) == 10
    assert web.get("/health").json() == {}
    assert [call.path for call in monta.calls] == ["/auth/token", "/charge-points"]


def test_a_readiness_probe_makes_no_call_while_the_token_is_fresh(
    monta: Emulator, web: Any
) -> None:
    assert [web.get("/ready").status_code for _ in range(20)] == [200] * 20
    assert [call.path for call in monta.calls] == ["/auth/token"]


def test_while_the_auth_endpoint_fails_one_probe_in_ten_seconds_makes_a_call(
    monta: Emulator, web: Any
) -> None:
    moment = [0.0]
    clock = monta_auth.Clock(monotonic=lambda: moment[0] + time.monotonic())
    policy = monta_auth.RefreshPolicy(attempts=1)
    source = monta_auth.TokenSource(clock=clock, policy=policy)
    web.app_state["auth"] = httpx_monta.MontaAuth(source=source)
    assert web.get("/ready").status_code == 200
    moment[0] = 56 * 60.0  # four minutes are left
    monta.inject(Fault(status=503), times=9)
    calls: list[int] = []
    for _ in range(4):
        assert web.get("/ready").status_code == 200
        calls.append(monta.count("/auth/refresh"))
        moment[0] += 4
    assert calls == [1, 1, 1, 2]


def test_a_failed_readiness_probe_says_why(monta: Emulator, web: Any) -> None:
    monta.inject(Fault(status=503, headers={"Retry-After": "30"}), times=99)
    replies = [web.get("/ready") for _ in range(20)]
    assert {reply.status_code for reply in replies} == {503}
    assert replies[0].json()["monta"].startswith("the token endpoint of 127.0.0.1:")
    assert monta.count() == 1


def test_callers_get_a_503_if_the_secret_is_wrong(monta: Emulator, web: Any) -> None:
    monta.client_secret = "another"
    reply = web.get("/charge-points")
    assert (reply.status_code, "Retry-After" in reply.headers) == (503, False)
    assert "does not accept client id" in reply.json()["detail"]


def test_callers_get_a_503_and_the_wait_if_there_is_no_token(monta: Emulator, web: Any) -> None:
    monta.inject(Fault(status=503, headers={"Retry-After": "29.5"}))
    reply = web.get("/charge-points")
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "30")
    assert reply.json()["detail"].startswith("the token endpoint of 127.0.0.1:")


def test_the_order_of_the_two_handlers_does_not_matter(monta: Emulator, run: Run) -> None:
    pytest.importorskip("fastapi", reason="FastAPI is not installed; it is in tox -e compat")
    testclient: Any = importlib.import_module("fastapi.testclient")
    app = run(PRODUCTION, "fastapi")["app"]
    app.exception_handlers = dict(reversed(app.exception_handlers.items()))
    monta.client_secret = "another"
    with testclient.TestClient(app) as web:
        assert web.get("/charge-points").status_code == 503


def test_callers_get_a_502_if_the_api_fails(monta: Emulator, web: Any) -> None:
    monta.inject(Fault(status=500), path="/charge-points")
    reply = web.get("/charge-points")
    assert reply.status_code == 502
    assert reply.json()["detail"].startswith("Monta failed: HTTPStatusError(")


@pytest.mark.usefixtures("no_pauses")
def test_callers_get_a_502_if_the_network_fails(monta: Emulator, web: Any) -> None:
    monta.stop()
    try:
        replies = [web.get("/charge-points")]  # of the token call
        web.app_state["auth"].forget()
    finally:
        monta.start()
    assert web.get("/charge-points").status_code == 200
    monta.inject(Fault(close=True), path="/charge-points")
    replies.append(web.get("/charge-points"))
    assert [reply.status_code for reply in replies] == [502, 502]
    details = [reply.json()["detail"].partition("(")[0] for reply in replies]
    assert details == ["Monta failed: ConnectError", "Monta failed: RemoteProtocolError"]


def numbers_of(reply: httpx.Response) -> dict[str, float]:
    """What Prometheus reads from a scrape: counters end with ``_total``, gauges do not."""
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = reply.text.splitlines()
    assert lines[::2] == [
        f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}"
        for name in (line.split()[0] for line in lines[1::2])
    ]
    return {name: float(value) for name, value in (line.split() for line in lines[1::2])}


def test_metrics_are_those_of_the_application(monta: Emulator, web: Any) -> None:
    names = ["usable", "store_failed"]
    names += [f"{name}_total" for name in ("fetches", "refreshes", "failures", "refusals")]
    before = numbers_of(web.get("/metrics"))
    assert before == {f"monta_auth_{name}": 0 for name in names}
    web.get("/charge-points")
    monta.revoke_access_tokens()
    web.get("/charge-points")
    changed = dict(numbers_of(web.get("/metrics")).items() - before.items())
    assert {name.removeprefix("monta_auth_"): number for name, number in changed.items()} == {
        "usable": 1,
        "fetches_total": 1,
        "refreshes_total": 1,
        "refusals_total": 1,
    }


def test_prometheus_reads_the_metrics(web: Any) -> None:
    parser: Any = pytest.importorskip(
        "prometheus_client.parser", reason="prometheus-client is not installed"
    )
    text = web.get("/metrics").text
    kinds = [(family.name, family.type) for family in parser.text_string_to_metric_families(text)]
    counters = ["fetches", "refreshes", "failures", "refusals"]
    assert kinds == [
        *((f"monta_auth_{name}", "gauge") for name in ("usable", "store_failed")),
        *((f"monta_auth_{name}", "counter") for name in counters),
    ]


def test_each_metric_to_alert_on_is_served(web: Any) -> None:
    text = (DOCS / PRODUCTION).read_text(encoding="utf-8")
    rows = re.findall(r"^   \* - ``(\w+)``$", text, re.MULTILINE)
    assert [name.removeprefix("monta_auth_") for name in rows] == [
        *("usable", "failures_total", "fetches_total", "refusals_total", "store_failed"),
    ]
    assert {*rows, "monta_auth_refreshes_total"} <= numbers_of(web.get("/metrics")).keys()
    fields = re.findall(r"``auth\.status\(\)\.(\w+)``", text)
    assert {*fields} == {"last_failure", "store_failure"} <= monta_auth.Status().to_dict().keys()


def test_a_record_in_json_has_the_fields_of_a_renewal(
    monta: Emulator, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("monta_auth")
    handlers, level = list(logger.handlers), logger.level
    try:
        run(PRODUCTION, "json")
    finally:
        logger.handlers[:] = handlers
        logger.setLevel(level)
    of_the_emulator, record = capsys.readouterr().err.splitlines()
    assert json.loads(of_the_emulator)["logger"] == "monta_auth.emulator"
    entry = json.loads(record)
    fields = {n.removeprefix("monta_auth.") for n in entry if n.startswith("monta_auth.")}
    text = (DOCS / PRODUCTION).read_text(encoding="utf-8")
    assert all(f"``{name}``" in text or f".{name}``" in text for name in fields)
    assert entry["level"] == "DEBUG"
    assert entry["monta_auth.kind"] == "mint"


def test_workers_share_a_file(
    monta: Emulator, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for _ in range(4):  # each has its own source, as in separate processes
        client = run(PRODUCTION, "workers")["client"]
        assert client.get(f"{monta.base_url}/charges").status_code == 200
    assert monta.count("/auth/token") == 1


# --- where to put auth=


def test_a_session_works_with_most_tools(
    monta: Emulator, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run(TOOLS, "session")
    assert capsys.readouterr().out == "24\n"
    assert (monta.count("/auth/token"), monta.count()) == (1, 2)


def _in_a_cell(code: str, names: dict[str, Any]) -> None:
    """Run it as Jupyter runs a cell: in an event loop that runs already."""

    async def run() -> None:
        cell = compile(code, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(cell, names)  # noqa: S307 - our own example
        if result is not None:
            await result

    asyncio.run(run())


def _in_a_script(code: str, names: dict[str, Any]) -> None:
    code = re.sub(r"(?m)^frame = await (charges\(.+\))$", r"frame = asyncio.run(\1)", code)
    exec(code, names)  # noqa: S102 - our own example


@pytest.fixture
def last_months(
    monta: Emulator, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], list[int]]:
    """The ids of last month's charges. A stand-in for pandas makes a frame a list of rows."""
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(json_normalize=list))
    monta.quota = None
    this_month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    clock.now = this_month.timestamp() + 2 * 86400
    last_month = f"{this_month - timedelta(days=1):%Y-%m-}"

    def ids() -> list[int]:
        auth = requests_monta.MontaAuth()
        url = f"{auth.base_url}/charges?perPage=100"
        rows = requests.get(url, auth=auth, timeout=10).json()["data"]
        found = [row["id"] for row in rows if row["createdAt"].startswith(last_month)]
        assert 20 < len(found) < len(rows)
        return found

    return ids


@pytest.mark.parametrize("run_code", [_in_a_cell, _in_a_script])
def test_a_notebook_reads_all_charges_of_last_month(
    run_code: Callable[[str, dict[str, Any]], None],
    monta: Emulator,
    clock: Clock,
    last_months: Callable[[], list[int]],
) -> None:
    names: dict[str, Any] = {}
    run_code(example(TOOLS, "pandas").code.replace("perPage=100", "perPage=4"), names)
    wanted = last_months()
    assert [row["id"] for row in names["frame"]] == wanted

    monta.quota, names["asyncio"] = 5, SimpleNamespace(sleep=clock.asleep)
    clock.now += 60
    until = names["this_month"] - timedelta(seconds=1)
    again = asyncio.run(names["charges"](names["last_month"], until))
    assert [row["id"] for row in again] == wanted
    assert len(clock.slept) == (math.ceil(len(wanted) / 4) - 1) // 5


def test_a_notebook_waits_for_a_token_call_too_but_not_for_ever(
    monta: Emulator, clock: Clock, last_months: object
) -> None:
    names: dict[str, Any] = {}
    _in_a_cell(example(TOOLS, "pandas").code, names)
    names["asyncio"] = SimpleNamespace(sleep=clock.asleep)
    httpx_monta.MontaAuth().forget()
    monta.inject(Fault(status=429, headers={"Retry-After": "999999"}), times=9)
    with pytest.raises(monta_auth.RateLimitError):
        asyncio.run(names["charges"](names["last_month"], names["this_month"]))
    assert clock.slept == [300] * 3


def test_the_first_page_alone_is_no_data_after_a_429(monta: Emulator, run: Run) -> None:
    names = run(TOOLS, "session")
    monta.quota = 0
    with pytest.raises(KeyError, match="'data'"):
        names["session"].get(names["url"], timeout=10).json()["data"]


def test_a_cell_awaits_and_does_not_run_a_loop() -> None:
    main = "async def main():\n    return 1\n"
    names: dict[str, Any] = {"asyncio": asyncio}
    _in_a_cell(f"{main}result = await main()", names)
    assert names["result"] == 1
    coroutine = "coroutine = main()\n"
    with pytest.raises(RuntimeError, match="cannot be called from a running event loop"):
        _in_a_cell(f"{main}{coroutine}asyncio.run(coroutine)", names)
    names["coroutine"].close()


@pytest.mark.parametrize(("store", "calls"), [("", 2), ("store=FileStore()", 1)])
def test_a_kernel_that_restarts_fetches_a_token_unless_it_has_a_store(
    store: str, calls: int, monta: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    code = "from httpx_monta import MontaAuth\nfrom monta_auth.stores import FileStore\n"
    code += f"for _ in range(2):\n    MontaAuth({store}).token()"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], check=True, timeout=25)
    assert monta.count() == calls


# --- rate limits


class Clock:
    """The emulator's clock, which moves on when an example sleeps."""

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
    monta: Emulator, clock: Clock, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    names = run(LIMITS, "requests")
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


def test_a_loop_waits_five_minutes_at_most(monta: Emulator, clock: Clock, run: Run) -> None:
    too_long = Fault(status=429, headers={"Retry-After": "999999999"})
    names = run(LIMITS, "httpx")
    names["asyncio"] = SimpleNamespace(sleep=clock.asleep)
    monta.inject(too_long, path="/charges")
    asyncio.run(names["main"]())

    names = run(LIMITS, "requests")
    names["time"] = SimpleNamespace(sleep=clock.sleep)
    monta.inject(too_long, path="/charges")
    names["get"]("/charges")
    names["auth"].forget()
    monta.inject(too_long)
    with pytest.raises(monta_auth.RateLimitError):
        names["get"]("/charges", tries=2)
    assert [int(seconds) for seconds in clock.slept] == [300, 300, 300]


def test_the_loop_also_waits_for_a_429_of_a_token_call(
    monta: Emulator, clock: Clock, run: Run
) -> None:
    names = run(LIMITS, "requests")
    names["time"] = SimpleNamespace(sleep=clock.sleep)
    names["auth"].forget()
    monta.inject(Fault(status=429, headers={"Retry-After": "30"}))
    # By a clock that never jumps, the failure is remembered as long as the response asks for.
    with pytest.raises(monta_auth.RateLimitError):
        names["get"]("/charges", tries=2)
    assert [int(seconds) for seconds in clock.slept] == [30]


def test_the_loop_for_httpx_waits_for_the_end_of_a_429(
    monta: Emulator, clock: Clock, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    names = run(LIMITS, "httpx")
    monta.inject(Fault(status=429, headers={"Retry-After": "30"}), path="/charges")
    names["asyncio"] = SimpleNamespace(sleep=clock.asleep)
    asyncio.run(names["main"]())
    assert capsys.readouterr().out == "60\n60\n"
    assert [int(seconds) for seconds in clock.slept] == [30]


def test_with_aiohttp_the_error_names_the_seconds(
    monta: Emulator, clock: Clock, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = example(LIMITS, "aiohttp")
    shown.run()
    monta.quota = 2
    shown.run()
    assert capsys.readouterr().out == "10\nwait 60.0 seconds\n"


def test_with_a_steady_pace_there_is_no_429(
    monta: Emulator, clock: Clock, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    names = run(LIMITS, "pace")
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
    monta: Emulator, run: Run, capsys: pytest.CaptureFixture[str], size: int, calls: int
) -> None:
    run(LIMITS, "pages", {'"perPage": 100': f'"perPage": {size}'})
    assert capsys.readouterr().out == "60\n"
    assert monta.count("/charges") == calls


# --- Home Assistant


class _AuthFailedError(Exception): ...


class _NotReadyError(Exception): ...


class _UpdateFailedError(Exception):
    def __init__(self, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class _Coordinator:
    """The part of Home Assistant's coordinator that the page uses."""

    def __init__(self, hass: Any, logger: logging.Logger, **settings: Any) -> None:
        assert settings.keys() == {"config_entry", "name", "update_interval"}
        self.data: Any = None

    async def _async_update_data(self) -> Any: ...

    async def async_config_entry_first_refresh(self) -> None:
        try:
            self.data = await self._async_update_data()
        except _UpdateFailedError as error:
            raise _NotReadyError from error


class _ConfigFlow:
    """The part of Home Assistant's that the page relies on."""

    hass: SimpleNamespace
    entry: SimpleNamespace

    def __init_subclass__(cls, domain: str) -> None:
        assert domain == "monta"

    def _get_reauth_entry(self) -> SimpleNamespace:
        return self.entry

    def async_update_reload_and_abort(
        self, entry: SimpleNamespace, *, data_updates: dict[str, str]
    ) -> str:
        entry.data = {**entry.data, **data_updates}
        return "reauth_successful"

    def async_show_form(self, **form: Any) -> dict[str, Any]:
        assert form.keys() == {"step_id", "data_schema", "errors", "description_placeholders"}
        assert hasattr(self, f"async_step_{form['step_id']}")
        return form


class _Storage:
    """Home Assistant's storage, in memory. `places` is the content of its disk."""

    places: ClassVar[dict[str, Any]] = {}

    def __init__(self, hass: Any, version: int, key: str, **settings: Any) -> None:
        self.key = key

    async def async_load(self) -> Any:
        return self.places.get(self.key)

    async def async_save(self, data: Any) -> None:
        self.places[self.key] = data

    async def async_remove(self) -> None:
        self.places.pop(self.key, None)


@pytest.fixture
def home(monta: Emulator, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stand-ins for Home Assistant, with the names of the page."""
    monkeypatch.setattr(_Storage, "places", {})
    coordinators = {"DataUpdateCoordinator": _Coordinator, "UpdateFailed": _UpdateFailedError}
    contents: dict[str, dict[str, Any]] = {
        "voluptuous": {"Schema": dict, "Required": str},
        "homeassistant.config_entries": {"ConfigFlow": _ConfigFlow},
        "homeassistant.exceptions": {"ConfigEntryAuthFailed": _AuthFailedError},
        "homeassistant.helpers.aiohttp_client": {
            "async_get_clientsession": lambda hass: hass.session
        },
        "homeassistant.helpers.update_coordinator": coordinators,
        "homeassistant.helpers.storage": {"Store": _Storage},
    }
    for name, content in contents.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**content))
    package = "custom_components.monta"
    store = SimpleNamespace(**example("guides/fleets.rst", "home-assistant").run())
    monkeypatch.setitem(sys.modules, f"{package}.store", store)
    names: dict[str, Any] = {}
    for shown in blocks(HOME):
        names |= shown.run(package=package)
        monkeypatch.setitem(sys.modules, package, SimpleNamespace(**names))
    data = {"client_id": monta.client_id, "client_secret": monta.client_secret}
    return SimpleNamespace(**names, entry=SimpleNamespace(data=data))


async def _after_a_start(call: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    async with aiohttp.ClientSession() as session:
        return await call(SimpleNamespace(data={}, session=session), *arguments)


def _set_up(home: SimpleNamespace) -> Any:
    """Set the entry up, as Home Assistant does when it starts. Return the data that it loaded."""
    assert asyncio.run(_after_a_start(home.async_setup_entry, home.entry))
    return home.entry.runtime_data.data


def _error_of(home: SimpleNamespace, secret: str) -> tuple[str | None, str]:
    """Fill in the form; check that it knows a text for the error."""
    data = {"client_id": "client-id", "client_secret": secret}
    key, text = asyncio.run(_after_a_start(home.error_of, data))
    (translations,) = blocks(HOME, "json")
    assert key is None or "{error}" in json.loads(translations.code)["config"]["error"][key]
    assert (key is None) == (text == "")
    assert not secret.strip() or secret.strip() not in text
    return key, text


def test_an_entry_survives_a_restart_and_its_removal_leaves_nothing(
    monta: Emulator, home: SimpleNamespace
) -> None:
    for _ in range(2):
        assert len(_set_up(home)) == 24
    assert monta.count("/auth/token") == 1
    assert len(_Storage.places) == 1
    assert monta.client_secret not in str(_Storage.places)

    shown = asyncio.run(home.async_get_config_entry_diagnostics(None, home.entry))
    assert json.loads(json.dumps(shown))["token"]["usable"] is True
    assert asyncio.run(home.async_unload_entry(None, home.entry))
    asyncio.run(_after_a_start(home.async_remove_entry, home.entry))
    assert _Storage.places == {}


def test_the_user_is_only_asked_for_refused_credentials(
    monta: Emulator, home: SimpleNamespace
) -> None:
    _set_up(home)
    monta.inject(Fault(status=401), times=9, path="/charge-points")
    with pytest.raises(_NotReadyError):
        _set_up(home)
    home.entry.data = {"client_id": "client-id", "client_secret": "wrong"}
    with pytest.raises(_AuthFailedError, match="does not accept client id "):
        _set_up(home)


def _why_not_ready(home: SimpleNamespace) -> _UpdateFailedError:
    with pytest.raises(_NotReadyError) as caught:
        _set_up(home)
    assert isinstance(caught.value.__cause__, _UpdateFailedError)
    return caught.value.__cause__


@pytest.mark.parametrize(
    ("path", "asked", "waited"),
    [
        ("/charge-points", "30", pytest.approx(30, abs=1)),
        ("/auth/token", "30", pytest.approx(30, abs=1)),
        ("/charge-points", "999999999", 300),
        ("/auth/token", "999999999", 300),
        ("/charge-points", "0", None),
    ],
)
def test_the_wait_of_a_429_is_passed_on(
    monta: Emulator, home: SimpleNamespace, path: str, asked: str, waited: object
) -> None:
    monta.inject(Fault(status=429, headers={"Retry-After": asked}), path=path)
    assert _why_not_ready(home).retry_after == waited


def test_an_update_that_gets_no_answer_says_so(
    monta: Emulator, home: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeout = aiohttp.ClientTimeout(total=0.2)
    monkeypatch.setitem(home.MontaCoordinator.get.__globals__, "TIMEOUT", timeout)
    monta.inject(Fault(delay=1.0), path="/charge-points")
    failure = _why_not_ready(home)
    assert (str(failure), failure.retry_after) == ("no answer in time", None)


def test_an_update_reads_all_pages(monta: Emulator, home: SimpleNamespace) -> None:
    get: Callable[..., Awaitable[Any]] = home.MontaCoordinator.get

    async def get_ten(coordinator: Any, path: str) -> Any:
        return await get(coordinator, path.replace("perPage=100", "perPage=10"))

    home.MontaCoordinator.get = get_ten
    assert len({charge_point["id"] for charge_point in _set_up(home)}) == 24
    assert monta.count("/charge-points") == 3


def test_a_config_flow_and_the_setup_share_one_token(
    monta: Emulator, home: SimpleNamespace
) -> None:
    assert _error_of(home, "client-secret") == (None, "")
    _set_up(home)
    assert [call.path for call in monta.calls] == ["/auth/token", "/auth/me", "/charge-points"]


@pytest.mark.parametrize(
    ("secret", "error", "text"),
    [
        ("mistyped", "invalid_auth", "does not accept client id 'client-id'"),
        ("client-secret\n", "invalid_text", "client_secret has U+000A LINE FEED at position 14"),
        ("", "invalid_text", "client_secret is empty"),
    ],
)
def test_a_config_flow_says_what_is_wrong(
    home: SimpleNamespace, secret: str, error: str, text: str
) -> None:
    key, shown = _error_of(home, secret)
    assert key == error
    assert text in shown
    assert _Storage.places == {}


def test_a_config_flow_accepts_the_same_values_later(
    monta: Emulator, home: SimpleNamespace
) -> None:
    monta.client_secret = "not-yet-enabled"
    assert [_error_of(home, "client-secret")[0] for _ in range(3)] == ["invalid_auth"] * 3
    assert [call.path for call in monta.calls] == ["/auth/token"] * 3
    monta.client_secret = "client-secret"
    assert _error_of(home, "client-secret") == (None, "")


def test_without_a_store_a_refusal_is_remembered_until_it_is_forgotten(monta: Emulator) -> None:
    async def ask(forget: bool) -> None:
        auth = aiohttp_monta.MontaAuth("client-id", "wrong")
        with pytest.raises(monta_auth.InvalidCredentialsError):
            await auth.aapplication()
        if forget:
            await auth.aforget()

    for forget in (False, True, False):
        asyncio.run(ask(forget))
    assert monta.count("/auth/token") == 2


@pytest.mark.parametrize("path", ["/auth/token", "/auth/me"])
def test_a_config_flow_knows_a_rate_limit(
    monta: Emulator, home: SimpleNamespace, path: str
) -> None:
    monta.inject(Fault(status=429, headers={"Retry-After": "30"}), path=path)
    key, text = _error_of(home, "client-secret")
    assert key == "rate_limit"
    assert "30 s" in text


def test_a_config_flow_does_not_hang(
    monta: Emulator, home: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds: list[float] = []

    def timeout(delay: float) -> asyncio.Timeout:
        seconds.append(delay)
        return asyncio.timeout(0.2)

    asyncio_of_the_page = SimpleNamespace(timeout=timeout)
    monkeypatch.setitem(home.error_of.__globals__, "asyncio", asyncio_of_the_page)
    monta.inject(Fault(delay=1.0), path="/auth/me")
    assert _error_of(home, "client-secret") == ("cannot_connect", "no answer in time")
    assert seconds == [30]
    assert _error_of(home, "client-secret") == (None, "")


@pytest.mark.usefixtures("no_pauses")
def test_a_config_flow_reports_an_outage(monta: Emulator, home: SimpleNamespace) -> None:
    monta.stop()
    try:
        key, text = _error_of(home, "client-secret")
    finally:
        monta.start()
    assert key == "cannot_connect"
    assert "token call" in text


def test_reauth_stores_new_credentials_once_they_work(
    monta: Emulator, home: SimpleNamespace
) -> None:
    async def answer(hass: SimpleNamespace, secret: str | None) -> Any:
        flow = home.MontaConfigFlow()
        flow.hass, flow.entry = hass, home.entry
        if secret is None:
            return await flow.async_step_reauth(home.entry.data)
        filled_in = {"client_id": "client-id", "client_secret": secret}
        return await flow.async_step_reauth_confirm(filled_in)

    _set_up(home)
    monta.client_secret = "new-secret"
    form = asyncio.run(_after_a_start(answer, None))
    assert form["errors"] == {}
    assert form["data_schema"].keys() == home.entry.data.keys()

    form = asyncio.run(_after_a_start(answer, "wrong"))
    assert form["errors"] == {"base": "invalid_auth"}
    assert "does not accept" in form["description_placeholders"]["error"]
    assert home.entry.data["client_secret"] == "client-secret"

    assert asyncio.run(_after_a_start(answer, "new-secret")) == "reauth_successful"
    assert home.entry.data["client_secret"] == "new-secret"
    assert len(_set_up(home)) == 24
    assert len(_Storage.places) == 2


def test_on_token_in_the_loop_and_in_a_thread(monta: Emulator) -> None:
    ran: list[threading.Thread] = []

    async def coroutine(pair: object) -> None:
        ran.append(threading.current_thread())

    def plain(pair: object) -> None:
        ran.append(threading.current_thread())

    for on_token in (coroutine, plain):
        asyncio.run(aiohttp_monta.MontaAuth(on_token=on_token).atoken())
    assert [thread is threading.current_thread() for thread in ran] == [True, False]
