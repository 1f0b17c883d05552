"""OpenTelemetry's instrumentation of requests: spans of pages and of token calls."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from monta_auth.emulator import Emulator, Fault

from .requests_library import Secrets, auth_of, visit
from .table import Combination
from .visits import PAGE, calls

instrumentation: Any = pytest.importorskip(
    "opentelemetry.instrumentation.requests",
    reason="opentelemetry-instrumentation-requests is not installed",
)
trace: Any = pytest.importorskip(
    "opentelemetry.sdk.trace", reason="opentelemetry-sdk is not installed"
)
export: Any = importlib.import_module("opentelemetry.sdk.trace.export")
memory: Any = importlib.import_module("opentelemetry.sdk.trace.export.in_memory_span_exporter")

COMBINATION = Combination(
    name="opentelemetry-instrumentation-requests",
    with_="requests",
    know="A renewal after a 401 is inside the request's span, other token calls have their "
    "own. If you capture ``authorization``, list it in "
    "``OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS``.",
)

_CAPTURE = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_"


class Spans:
    """The instrumentation, with what an exporter would send."""

    def __init__(self) -> None:
        self._exporter = memory.InMemorySpanExporter()
        self._provider = trace.TracerProvider()
        self._provider.add_span_processor(export.SimpleSpanProcessor(self._exporter))

    def __enter__(self) -> Spans:
        instrumentation.RequestsInstrumentor().instrument(tracer_provider=self._provider)
        return self

    def __exit__(self, *error: object) -> None:
        instrumentation.RequestsInstrumentor().uninstrument()
        self._provider.shutdown()

    @property
    def ended(self) -> list[tuple[str, str, int | None]]:
        """Return method, path and status of each span."""
        return [
            (
                span.name,
                span.attributes["http.url"].partition("/api/v1")[2],
                span.attributes.get("http.status_code"),
            )
            for span in self._exporter.get_finished_spans()
        ]

    @property
    def sent(self) -> str:
        """Return names, attributes, events with stack traces, links and resources."""
        return "".join(span.to_json() for span in self._exporter.get_finished_spans())


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the instrumentation copy every header."""
    monkeypatch.setenv(_CAPTURE + "CLIENT_REQUEST", ".*")
    monkeypatch.setenv(_CAPTURE + "CLIENT_RESPONSE", ".*")


@pytest.fixture
def spans() -> Iterator[Spans]:
    with Spans() as spans:
        yield spans


def test_token_calls_have_spans_and_spans_have_no_secret(site: Emulator, spans: Spans) -> None:
    secrets = Secrets(site)
    with requests.Session() as session:
        visit(site, session, auth_of(site, on_token=secrets.note))
    assert spans.ended == [
        ("POST", "/auth/token", 200),
        ("GET", PAGE, 200),
        ("POST", "/auth/refresh", 200),
        ("GET", PAGE, 200),
        # This span contains the 401, the renewal and the retry.
        ("GET", PAGE, 200),
    ]
    assert len(calls(site)) == 7
    assert secrets.pairs == 3
    assert secrets.found_in(spans.sent) == []


def test_the_span_of_a_failed_token_call_has_no_secret(site: Emulator, spans: Spans) -> None:
    """Its event has a stack trace."""
    secrets = Secrets(site)
    with requests.Session() as session:
        session.auth = auth_of(site, on_token=secrets.note)
        session.get(site.base_url + PAGE)
        session.auth.invalidate()
        site.inject(Fault(close=True), times=9)
        with pytest.raises(requests.ConnectionError):
            session.get(site.base_url + PAGE)
    lost = [("POST", "/auth/refresh", None), *[("POST", "/auth/token", None)] * 3]
    assert spans.ended[2:] == lost
    assert "exception.stacktrace" in spans.sent
    assert secrets.found_in(spans.sent) == []


@pytest.mark.usefixtures("capture")
@pytest.mark.parametrize(
    ("sanitized", "found"),
    [
        pytest.param("authorization", [], id="sanitized"),
        # We do not cause this; it is the reason for the row in the table. (The hook sends the third
        # token in the span of the refused request.)
        pytest.param("", ["access token 1", "access token 2"], id="not"),
    ],
)
def test_captured_headers_hold_the_token_unless_they_are_sanitized(
    site: Emulator, monkeypatch: pytest.MonkeyPatch, sanitized: str, found: list[str]
) -> None:
    monkeypatch.setenv(_CAPTURE + "SANITIZE_FIELDS", sanitized)
    secrets = Secrets(site)
    with Spans() as spans, requests.Session() as session:
        visit(site, session, auth_of(site, on_token=secrets.note))
    assert spans.sent.count("http.request.header.authorization") == 3
    assert secrets.found_in(spans.sent) == found
