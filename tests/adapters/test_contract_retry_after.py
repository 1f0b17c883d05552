"""The contract of `retry_after`: how long to wait, read from a response of the user's request."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from monta_auth.emulator import Fault

from .contract import Harness
from .site import Monta

PATH = "/charge-points"
pytestmark = pytest.mark.parametrize(
    "h", ["requests", "httpx", "httpx asyncio", "httpx2", "aiohttp"], indirect=True
)
PUBLIC = {"context": {"rateLimitResponse": {"resetsIn": 41}}}
CASES = [
    (429, {"Retry-After": "7"}, "", 7.0),
    (429, {"RateLimit-ResetsIn": "12", "Retry-After": "7"}, "", 12.0),
    (429, {"RateLimit-ResetsIn": "12", "Retry-After": "7"}, json.dumps(PUBLIC), 41.0),
    (429, {}, "<html>", None),
    (503, {"RateLimit-ResetsIn": "12", "Retry-After": "7"}, json.dumps(PUBLIC), 7.0),
    (503, {"RateLimit-ResetsIn": "12"}, "", None),
    (502, {"Retry-After": "7"}, "", None),
    (200, {"RateLimit-ResetsIn": "12", "Retry-After": "7"}, "", None),
]


def test_each_library_reads_the_wait_of_a_429_and_a_503(h: Harness, monta: Monta) -> None:
    client = h.open(h.auth(monta))
    client.get(monta.url(PATH))
    told = []
    for status, headers, body, _ in CASES:
        monta.emulator.inject(Fault(status=status, headers=headers, body=body), path=PATH)
        response = client.get(monta.url(PATH))
        response = getattr(response, "of_library", response)
        told.append(h.adapter.retry_after(response))
    assert told == [wait for *_, wait in CASES]


def test_an_unread_body_stays_unread(h: Harness, monta: Monta) -> None:
    client = h.open(h.auth(monta))
    client.get(monta.url(PATH))
    fault = Fault(status=429, headers={"Retry-After": "7"}, body=json.dumps(PUBLIC))
    monta.emulator.inject(fault, path=PATH)
    stream = client.stream(monta.url(PATH))
    assert h.adapter.retry_after(stream.raw) == 7.0
    assert json.loads(stream.rest()) == PUBLIC
    assert h.adapter.retry_after(stream.raw) == 7.0


@pytest.mark.parametrize("given", [None, httpx.Request("GET", "http://x/"), "429"])
def test_an_object_that_is_not_a_response_is_named_in_the_error(h: Harness, given: Any) -> None:
    library, kind = type(given).__module__, type(given).__name__
    text = f"^retry_after takes a response of {h.library.__name__}, not {library}.{kind}"
    with pytest.raises(TypeError, match=text):
        h.adapter.retry_after(given)
