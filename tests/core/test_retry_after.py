"""`monta_auth.retry_after`: the wait of a response in any library, from its parts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.message import Message
from typing import Any

import pytest

from monta_auth import Clock, retry_after

BODY = json.dumps({"context": {"rateLimitResponse": {"resetsIn": 2.5}}})


@pytest.mark.parametrize("body", [BODY, BODY.encode(), bytearray(BODY.encode())], ids=type)
def test_the_body_is_taken_as_text_and_as_bytes(body: Any) -> None:
    assert retry_after(429, {}, body) == 2.5


def test_names_of_headers_may_have_any_case_and_come_as_urllib_has_them() -> None:
    headers = Message()
    headers["RETRY-after"] = "3"
    assert retry_after(503, headers) == 3.0


def test_a_date_counts_from_the_date_of_the_response() -> None:
    headers = {
        "Date": "Sat, 28 Nov 2026 10:00:00 GMT",
        "Retry-After": "Sat, 28 Nov 2026 10:01:30 GMT",
    }
    assert retry_after(503, headers) == 90.0


def test_a_date_without_one_counts_from_the_local_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(wall=datetime(2026, 11, 28, 10, tzinfo=UTC).timestamp)
    monkeypatch.setattr("monta_auth._core.replies.SYSTEM_CLOCK", clock)
    assert retry_after(503, {"Retry-After": "Sat, 28 Nov 2026 10:01:30 GMT"}) == 90.0


@pytest.mark.parametrize("value", ["", "soon", "-1", "nan", "inf", "9" * 400, "1\u0661x"])
def test_a_wait_that_is_no_number_of_seconds_is_none(value: str) -> None:
    assert retry_after(429, {"Retry-After": value, "RateLimit-ResetsIn": value}, "\ud800") is None


@pytest.mark.parametrize(
    ("status", "headers", "body", "text"),
    [
        ("429", {}, None, "integer such as 429, not str"),
        (429, {}, {}, "bytes, a string or None, not dict"),
        (200, [("Retry-After", "3")], None, r"items\(\), as a dict has, not list"),
    ],
)
def test_parts_that_are_none_of_a_response_are_named(
    status: Any, headers: Any, body: Any, text: str
) -> None:
    with pytest.raises(TypeError, match=text):
        retry_after(status, headers, body)


def test_headers_that_are_not_known_may_be_none() -> None:
    """As those of an error of aiohttp may be."""
    assert retry_after(429, None, BODY) == 2.5
