"""OpenTelemetry: each step has a span, and no span has a secret."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip(
    "opentelemetry.instrumentation.httpx",
    reason="opentelemetry-instrumentation-httpx is not installed",
)
pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")

from opentelemetry.instrumentation import httpx as instrumentation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
    InMemorySpanExporter,
)

from monta_auth.emulator import Emulator, Fault

from .httpx_libraries import Library, avisit, visit
from .table import Combination
from .visits import VISIT, calls

COMBINATION = Combination(
    name="opentelemetry-instrumentation-httpx",
    with_="httpx, httpx2",
    know="Token calls are spans, too; no span has a token. If you capture all request headers, "
    "name ``authorization`` in ``OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS``.",
)

CAPTURE = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST"
CAPTURE_REPLIES = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE"
SANITIZE = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS"


class Spans:
    """Collects the spans of the clients that it watches."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider()
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def watch(self, library: Library, client: Any) -> None:
        names = {"httpx": "HTTPXClientInstrumentor", "httpx2": "HTTPX2ClientInstrumentor"}
        kind = getattr(instrumentation, names[library.name])
        kind.instrument_client(client, tracer_provider=self._provider)

    @property
    def steps(self) -> list[tuple[str, Any]]:
        """Return path and status of each span, as the server counts them."""
        found: list[tuple[str, Any]] = []
        for span in self._exporter.get_finished_spans():
            assert span.attributes is not None
            _, _, path = str(span.attributes["http.url"]).partition("/api/v1")
            found.append((path, span.attributes.get("http.status_code")))
        return found

    @property
    def text(self) -> str:
        """Return all that would be exported: attributes, events, status, resource."""
        return "".join(span.to_json() for span in self._exporter.get_finished_spans())


@pytest.fixture
def spans() -> Spans:
    return Spans()


class Secrets:
    """The secret of a Monta, and every token that its auth gets."""

    def __init__(self, site: Emulator) -> None:
        self.refresh = [site.client_secret]
        self.access: list[str] = []

    def add(self, pair: Any) -> None:
        self.refresh.append(pair.refresh_token)
        self.access.append(pair.access_token)

    def found_in(self, text: str) -> list[str]:
        return [secret for secret in self.refresh + self.access if secret in text]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(None, id="no headers"),
        pytest.param("authorization", id="all headers, sanitized"),
    ],
)
def test_each_step_is_a_span_without_a_token(
    library: Library,
    site: Emulator,
    spans: Spans,
    monkeypatch: pytest.MonkeyPatch,
    fields: str | None,
) -> None:
    if fields is not None:
        monkeypatch.setenv(CAPTURE, ".*")
        monkeypatch.setenv(CAPTURE_REPLIES, ".*")
        monkeypatch.setenv(SANITIZE, fields)
    secrets = Secrets(site)
    auth = library.auth(site, on_token=secrets.add)
    with library.module.Client(auth=auth, base_url=site.base_url) as client:
        spans.watch(library, client)
        visit(site, client, auth)
    assert spans.steps == calls(site) == VISIT
    assert len(secrets.access) == 3
    assert secrets.found_in(spans.text) == []
    assert ("[REDACTED]" in spans.text) is (fields is not None)


def test_each_step_of_an_async_client_is_a_span_without_a_token(
    library: Library, site: Emulator, spans: Spans
) -> None:
    secrets = Secrets(site)
    auth = library.auth(site, on_token=secrets.add)

    async def main() -> None:
        async with library.module.AsyncClient(auth=auth, base_url=site.base_url) as client:
            spans.watch(library, client)
            await avisit(site, client, auth)

    asyncio.run(main())
    assert spans.steps == calls(site) == VISIT
    assert len(secrets.access) == 3
    assert secrets.found_in(spans.text) == []


def test_headers_that_are_captured_unsanitized_show_the_access_tokens(
    library: Library, site: Emulator, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But nothing else: no header has the secret or a refresh token."""
    monkeypatch.setenv(CAPTURE, ".*")
    secrets = Secrets(site)
    auth = library.auth(site, on_token=secrets.add)
    with library.module.Client(auth=auth, base_url=site.base_url) as client:
        spans.watch(library, client)
        visit(site, client, auth)
    assert secrets.found_in(spans.text) == secrets.access


def test_the_span_of_a_token_call_that_fails_shows_no_secret(
    library: Library, site: Emulator, spans: Spans
) -> None:
    site.inject(Fault(close=True), path="/auth/token")
    with library.module.Client(auth=library.auth(site), base_url=site.base_url) as client:
        spans.watch(library, client)
        with pytest.raises(library.module.RemoteProtocolError):
            client.get("/charge-points")
    assert spans.steps == [("/auth/token", None)]
    assert "RemoteProtocolError" in spans.text
    assert site.client_secret not in spans.text


def test_with_client_the_token_calls_have_no_span(
    library: Library, site: Emulator, spans: Spans
) -> None:
    with library.module.Client() as caller:
        auth = library.auth(site, client=caller)
        with library.module.Client(auth=auth, base_url=site.base_url) as client:
            spans.watch(library, client)
            visit(site, client, auth)
    assert calls(site) == VISIT
    assert spans.steps == [step for step in VISIT if not step[0].startswith("/auth/")]
