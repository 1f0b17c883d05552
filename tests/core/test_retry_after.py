"""`monta_auth.retry_after`: how long to wait, from the parts of any library's response."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.message import Message
from typing import Any

import pytest

from monta_auth import Clock, retry_after

BODY = json.dumps({"context": {"rateLimitResponse": {"resetsIn": 2.5}}})


@pytest.mark.parametrize("body", [BODY, BODY.encode(), bytearray(BODY.encode())], ids=type)
def test_the_body_may_be_text_or_bytes(body: Any) -> None:
    assert retry_after(429, {}, body) == 2.5


def test_header_names_may_have_any_case_and_urllibs_type() -> None:
    headers = Message()
    headers["RETRY-after"] = "3"
    assert retry_after(503, headers) == 3.0


def test_a_date_counts_from_the_date_of_the_response() -> None:
    headers = {
        "Date": "Sat, 28 Nov 2026 10:00:00 GMT",
        "Retry-After": "Sat, 28 Nov 2026 10:01:30 GMT",
    }
    assert retry_after(503, headers) == 90.0


def test_without_a_response_date_a_date_counts_from_the_local_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(wall=datetime(2026, 11, 28, 10, tzinfo=UTC).timestamp)
    monkeypatch.setattr("monta_auth._core.replies.SYSTEM_CLOCK", clock)
    assert retry_after(503, {"Retry-After": "Sat, 28 Nov 2026 10:01:30 GMT"}) == 90.0


@pytest.mark.parametrize("value", ["", "soon", "-1", "nan", "inf", "9" * 400, "1\u0661x"])
def test_an_invalid_wait_is_none(value: str) -> None:
    assert retry_after(429, {"Retry-After": value, "RateLimit-ResetsIn": value}, "\ud800") is None


@pytest.mark.parametrize(
    ("status", "headers", "body", "text"),
    [
        ("429", {}, None, "integer such as 429, not str"),
        (429, {}, {}, "bytes, a string or None, not dict"),
        (200, [("Retry-After", "3")], None, r"items\(\), as a dict has, not list"),
    ],
)
def test_arguments_of_the_wrong_type_are_named_in_the_error(
    status: Any, headers: Any, body: Any, text: str
) -> None:
    with pytest.raises(TypeError, match=text):
        retry_after(status, headers, body)


def test_headers_may_be_none() -> None:
    """aiohttp's errors may have no headers."""
    assert retry_after(429, None, BODY) == 2.5
