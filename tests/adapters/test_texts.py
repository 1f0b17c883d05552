"""Error texts: what happened, to what, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import pytest

import httpx2_monta
import httpx_monta
from monta_auth._adapters.httpx_token_call import timeout_words
from monta_auth.emulator import Emulator, Fault

PAIRS: list[tuple[Any, Any]] = [(httpx, httpx_monta), (httpx2, httpx2_monta)]


@pytest.mark.parametrize(("library", "adapter"), PAIRS, ids=["httpx", "httpx2"])
@pytest.mark.parametrize("how", ["sync", "async"])
def test_the_error_of_an_unanswered_token_call_names_host_and_seconds(
    library: Any, adapter: Any, how: str
) -> None:
    """In async code, the library's own text is empty."""
    with Emulator() as emulator:
        emulator.inject(Fault(delay=2.0))
        auth = adapter.MontaAuth(
            emulator.client_id,
            emulator.client_secret,
            base_url=emulator.base_url,
            on_token=lambda pair: None,
        )
        url = emulator.base_url + "/charge-points"

        async def main() -> None:
            async with library.AsyncClient(auth=auth, timeout=0.1) as client:
                await client.get(url)

        calls: dict[str, Callable[[], object]] = {
            "sync": lambda: library.get(url, auth=auth, timeout=0.1),
            "async": lambda: asyncio.run(main()),
        }
        with pytest.raises(library.ReadTimeout) as caught:
            calls[how]()
    text = f"the token call to 127.0.0.1:{emulator.port} failed: no response within 0.1 s"
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ConnectTimeout", "no connection within 3 s"),
        ("ReadTimeout", "no response within 9.5 s"),
        ("WriteTimeout", "the request could not be sent within 5 s"),
        ("PoolTimeout", "no connection of the pool was free within 1 s"),
    ],
)
def test_each_kind_of_timeout_has_a_text(name: str, words: str) -> None:
    limits = {"connect": 3.0, "read": 9.5, "write": 5.0, "pool": 1.0}
    call = httpx.Request("POST", "https://api.example/x", extensions={"timeout": limits})
    assert timeout_words(getattr(httpx, name)(""), call) == words
    assert timeout_words(httpx.ReadError(""), call) is None
