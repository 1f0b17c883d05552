"""When a held token is fresh, due for renewal, urgently due, and expired."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monta_auth import RefreshPolicy, TokenSet
from monta_auth._core.held_pair import Dropped, HeldPair, Phase, hold_new, hold_old

BORN = datetime(2025, 8, 6, 8, 20, 37, tzinfo=UTC)
WALL = BORN.timestamp()
SENT = 5000.0
POLICY = RefreshPolicy()


def pair(life: float, refresh_life: float | None = 86400.0, issued: bool = True) -> TokenSet:
    return TokenSet(
        "access-1",
        "refresh-1",
        BORN + timedelta(seconds=life),
        None if refresh_life is None else BORN + timedelta(seconds=refresh_life),
        BORN if issued else None,
    )


def new(life: float, jitter: float = 0.0, policy: RefreshPolicy = POLICY) -> HeldPair:
    return hold_new(pair(life), policy, sent=SENT, jitter=jitter, after_refusal=False)


def old(held: TokenSet, elapsed: float = 0.0, jitter: float = 0.0) -> HeldPair:
    """Hold a pair again, `elapsed` seconds after it was issued."""
    return hold_old(held, POLICY, now=SENT, wall=WALL + elapsed, jitter=jitter)


WINDOWS = [
    # life, jitter, advisory and mandatory seconds before expiry
    pytest.param(3600.0, 0.0, 300.0, 30.0, id="1 h"),
    pytest.param(3600.0, 0.5, 330.0, 30.0, id="1 h, half of the jitter"),
    pytest.param(3600.0, 1.0, 360.0, 30.0, id="1 h, all of the jitter"),
    pytest.param(1500.0, 1.0, 300.0, 30.0, id="25 min: jitter comes before the cap"),
    pytest.param(600.0, 0.0, 120.0, 30.0, id="10 min: mandatory is just 5 %"),
    pytest.param(120.0, 0.0, 24.0, 6.0, id="120 s"),
    pytest.param(120.0, 1.0, 24.0, 6.0, id="120 s, jitter"),
    pytest.param(2.0, 0.0, 0.4, 0.1, id="2 s"),
    pytest.param(2.0, 1.0, 0.4, 0.1, id="2 s, jitter"),
]


@pytest.mark.parametrize(("life", "jitter", "advisory", "mandatory"), WINDOWS)
def test_a_short_life_limits_the_windows(
    life: float, jitter: float, advisory: float, mandatory: float
) -> None:
    held = new(life, jitter)
    assert held.born == SENT
    assert held.expires == SENT + life
    assert held.expires - held.advisory_at == pytest.approx(advisory)
    assert held.expires - held.mandatory_at == pytest.approx(mandatory)


@pytest.mark.parametrize(("life", "jitter", "advisory", "mandatory"), WINDOWS)
def test_each_window_begins_at_its_exact_moment(
    life: float, jitter: float, advisory: float, mandatory: float
) -> None:
    held = new(life, jitter)
    moments = [
        (SENT, Phase.FRESH),
        (held.advisory_at - 0.01, Phase.FRESH),
        (held.advisory_at, Phase.ADVISORY),
        (held.mandatory_at - 0.01, Phase.ADVISORY),
        (held.mandatory_at, Phase.MANDATORY),
        (held.expires - 0.01, Phase.MANDATORY),
        (held.expires, Phase.DEAD),
        (held.expires + 1e9, Phase.DEAD),
    ]
    assert [(moment, held.phase(moment)) for moment, _ in moments] == moments


@pytest.mark.parametrize("moment", [SENT, SENT + 3400, SENT + 3590, SENT + 4000])
def test_a_refused_token_is_unusable_at_any_moment(moment: float) -> None:
    held = new(3600.0)
    held.dropped = Dropped.REFUSED
    assert held.phase(moment) is Phase.DEAD


def test_the_life_counts_from_when_the_call_was_sent() -> None:
    """If the reply took long, the token has already used up some of its life."""
    held = hold_new(pair(3600.0), POLICY, sent=SENT - 8.0, jitter=0.0, after_refusal=True)
    assert held.expires == SENT - 8.0 + 3600.0
    assert held.after_refusal


def test_the_policys_windows_apply_if_the_life_is_long_enough() -> None:
    held = new(3600.0, policy=RefreshPolicy(advisory=100, mandatory=100))
    assert held.advisory_at == held.mandatory_at == held.expires - 100
    assert held.phase(held.advisory_at) is Phase.MANDATORY


def test_without_windows_there_is_no_early_renewal() -> None:
    held = new(3600.0, policy=RefreshPolicy(advisory=0, mandatory=0))
    assert held.phase(held.expires - 0.001) is Phase.FRESH
    assert held.phase(held.expires) is Phase.DEAD


def test_the_header_contains_the_token() -> None:
    held = new(3600.0)
    assert held.header == "Bearer access-1"
    assert "access-1" not in repr(held.header)
    assert held.pair == pair(3600.0)
    assert held.dropped is None
    assert not held.after_refusal


@pytest.mark.parametrize("refused", [True, False])
def test_it_is_remembered_that_a_401_was_the_reason(refused: bool) -> None:
    assert (
        hold_old(
            pair(3600.0), POLICY, now=SENT, wall=WALL, jitter=0.0, after_refusal=refused
        ).after_refusal
        is refused
    )


# --- after a reload, from the dates alone


@pytest.mark.parametrize(("life", "jitter", "advisory", "mandatory"), WINDOWS)
@pytest.mark.parametrize("elapsed", [0.0, 0.5, 0.9])
def test_after_a_reload_the_windows_depend_on_the_whole_life(
    life: float, jitter: float, advisory: float, mandatory: float, elapsed: float
) -> None:
    """Shares of the remaining life would move renewals later with each restart."""
    held = old(pair(life), life * elapsed, jitter)
    assert held.born == SENT
    assert held.expires - SENT == pytest.approx(life * (1 - elapsed), abs=1e-5)
    assert held.expires - held.advisory_at == pytest.approx(advisory)
    assert held.expires - held.mandatory_at == pytest.approx(mandatory)


@pytest.mark.parametrize(
    ("life", "elapsed", "phase"),
    [
        pytest.param(3600.0, 0.0, Phase.FRESH, id="1 h, at birth"),
        pytest.param(3600.0, 3299.0, Phase.FRESH, id="1 h, before advisory"),
        pytest.param(3600.0, 3301.0, Phase.ADVISORY, id="1 h, advisory"),
        pytest.param(3600.0, 3571.0, Phase.MANDATORY, id="1 h, mandatory"),
        pytest.param(3600.0, 3600.0, Phase.DEAD, id="1 h, expired"),
        pytest.param(120.0, 95.0, Phase.FRESH, id="120 s, before advisory"),
        pytest.param(120.0, 97.0, Phase.ADVISORY, id="120 s, advisory"),
        pytest.param(120.0, 115.0, Phase.MANDATORY, id="120 s, mandatory"),
        pytest.param(2.0, 1.5, Phase.FRESH, id="2 s, before advisory"),
        pytest.param(2.0, 1.7, Phase.ADVISORY, id="2 s, advisory"),
        pytest.param(2.0, 1.95, Phase.MANDATORY, id="2 s, mandatory"),
        pytest.param(2.0, 1e9, Phase.DEAD, id="2 s, long ago"),
    ],
)
def test_a_reloaded_pair_is_in_the_phase_of_its_dates(
    life: float, elapsed: float, phase: Phase
) -> None:
    assert old(pair(life), elapsed).phase(SENT) is phase


def test_a_slow_clock_does_not_lengthen_the_life() -> None:
    """Otherwise a machine that starts in 1970 would use one token for decades."""
    held = old(pair(3600.0), elapsed=-1e9)
    assert held.expires == SENT + 3600.0
    assert held.phase(SENT) is Phase.FRESH


def test_without_an_issue_date_the_remaining_life_is_the_whole_life() -> None:
    held = old(pair(3600.0, issued=False), elapsed=3480.0)
    assert held.expires - SENT == pytest.approx(120.0)
    assert held.expires - held.advisory_at == pytest.approx(24.0)
    assert held.expires - held.mandatory_at == pytest.approx(6.0)


@pytest.mark.parametrize("issued", [True, False], ids=["birth known", "birth not known"])
def test_a_pair_that_expired_long_ago_counts_as_expired(issued: bool) -> None:
    held = old(pair(3600.0, issued=issued), elapsed=1e8)
    assert held.phase(SENT) is Phase.DEAD
    assert held.advisory_at <= held.mandatory_at <= held.expires < SENT


def test_a_pair_issued_after_its_expiry_counts_as_expired() -> None:
    """For example, somebody edited the file."""
    odd = pair(3600.0).__replace__(issued_at=BORN + timedelta(hours=2))
    assert old(odd).phase(SENT) is Phase.DEAD


# --- the refresh token


@pytest.mark.parametrize("take", ["new", "old"])
@pytest.mark.parametrize(
    ("refresh_life", "later", "usable"),
    [
        pytest.param(86400.0, 0.0, True, id="24 h, at once"),
        pytest.param(86400.0, 86399.0, True, id="24 h, just before"),
        pytest.param(86400.0, 86400.0, False, id="24 h, at its end"),
        pytest.param(None, 1e12, True, id="not known: until it is refused"),
    ],
)
def test_the_refresh_token_is_used_until_it_expires(
    take: str, refresh_life: float | None, later: float, usable: bool
) -> None:
    held_pair = pair(3600.0, refresh_life)
    if take == "new":
        held = hold_new(held_pair, POLICY, sent=SENT, jitter=0.0, after_refusal=False)
    else:
        held = old(held_pair)
    assert held.refresh_token(SENT + later) == ("refresh-1" if usable else None)


def test_after_a_reload_the_refresh_token_keeps_its_expiry() -> None:
    held = old(pair(3600.0), elapsed=86000.0)
    assert held.refresh_token(SENT + 399) == "refresh-1"
    assert held.refresh_token(SENT + 400) is None


def test_a_pair_may_have_no_refresh_token() -> None:
    bare = pair(3600.0).__replace__(refresh_token=None)
    assert old(bare).refresh_token(SENT) is None


# --- for every life


@given(
    life=st.floats(0.001, 30 * 86400),
    jitter=st.floats(0, 1),
    advisory=st.floats(0, 1e6),
    share=st.floats(0, 1),
)
def test_a_new_token_is_fresh_for_at_least_four_fifths_of_its_life(
    life: float, jitter: float, advisory: float, share: float
) -> None:
    """For any policy and life, so no settings can make every request renew."""
    policy = RefreshPolicy(advisory=advisory, mandatory=advisory * share)
    held = new(life, jitter, policy)
    assert held.advisory_at <= held.mandatory_at <= held.expires
    assert held.advisory_at >= SENT + 0.8 * life - 1e-5
    assert held.mandatory_at >= SENT + 0.95 * life - 1e-5
    assert held.phase(SENT + 0.79 * life) is Phase.FRESH
