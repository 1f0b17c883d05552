"""The short run that compares where each library connects with what `Origins` allows.

The long one is ``tests/soak/connections.py``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from monta_auth._core.origins import Origins

from ..core.test_origins import FOREIGN, SAME
from ..soak.connections import Net, check, fuzz, libraries

TRICKS = [str(parameter.values[0]) for parameter in (*SAME, *FOREIGN)]


@pytest.fixture
def net() -> Iterator[Net]:
    net = Net()
    with net.open():
        yield net


@pytest.mark.parametrize("redirected", [False, True], ids=["asked", "redirected"])
def test_known_url_tricks_send_no_token_to_a_foreign_host(net: Net, redirected: bool) -> None:
    with libraries() as each:
        for get, opinion in each.values():
            tokens = 0
            for url in TRICKS:
                tokens += check(net, get, opinion, url, redirected=redirected)["tokens"]
            # The other URLs lead to foreign hosts, or the library refuses them.
            assert tokens >= len(SAME) - 2


def test_odd_urls_send_no_token_to_a_foreign_host() -> None:
    left = iter(range(60))
    counts = fuzz(random.Random(1), lambda: next(left, None) is None)  # noqa: S311 - the same in each run
    assert all(counted["tokens"] > 10 for counted in counts.values())


@pytest.mark.parametrize("library", ["requests", "httpx", "httpx2", "aiohttp"])
def test_the_check_notices_a_token_at_a_foreign_host(
    net: Net, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Origins, "allows", lambda self, url: True)
    with libraries() as each, pytest.raises(AssertionError, match=r"arrives at .*evil\.example"):
        check(net, *each[library], "https://evil.example/")
