"""requests-futures: a session with requests in a thread pool."""

from __future__ import annotations

from typing import Any

import pytest

from monta_auth.emulator import Emulator

from .requests_library import auth_of
from .table import Combination
from .visits import PAGE, calls

sessions: Any = pytest.importorskip(
    "requests_futures.sessions", reason="requests-futures is not installed"
)

COMBINATION = Combination(
    name="requests-futures",
    with_="requests",
    know="Nothing: all threads share one token, and one renewal after a 401. The session may "
    "be ``session=`` as well.",
)


@pytest.mark.parametrize("of_session", [False, True], ids=["fresh session", "session="])
def test_a_crowd_of_futures_shares_each_token_call(site: Emulator, of_session: bool) -> None:
    site.latency = 0.02  # long enough that those of one pool overlap
    with sessions.FuturesSession(max_workers=8) as session:
        session.auth = auth_of(site, **({"session": session} if of_session else {}))
        for round_ in (1, 2):
            site.revoke_access_tokens()
            futures = [session.get(site.base_url + PAGE) for _ in range(24)]
            assert {future.result().status_code for future in futures} == {200}
            assert calls(site).count((PAGE, 200)) == 24 * round_
    assert (site.count("/auth/token"), site.count("/auth/refresh")) == (1, 1)
    # At most those that were in the pool when the token was revoked.
    assert 1 <= calls(site).count((PAGE, 401)) <= 8
