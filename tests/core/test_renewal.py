"""How one renewal goes: refresh before secret, spent tokens, retries, and time."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from monta_auth import (
    ConfigurationError,
    InvalidCredentialsError,
    InvalidTokenResponseError,
    MontaAuthError,
    RateLimitError,
    RefreshPolicy,
    TokenEndpointError,
)
from monta_auth._core.effects import Send
from monta_auth._core.errors import TransportFailure
from monta_auth._core.policy import Clock
from monta_auth._core.refusals import Recent, RefusedCredentials
from monta_auth._core.replies import Reply
from monta_auth._core.source import Source

from ..simulation.flows import (
    API,
    DAY,
    HOUR,
    ID,
    SECRET,
    URL,
    WALL,
    Caller,
    Hands,
    error_reply,
    fail,
    hold,
    iso,
    make_source,
    no_answer,
    no_connection,
    pair,
    pair_reply,
    refuse,
)


def advisory_at(source: Source) -> float:
    assert source._state.held is not None
    return source._state.held.advisory_at


@pytest.fixture
def holder(hands: Hands) -> Source:
    """A source that holds pair 1, whose access token was refused."""
    source = make_source(hands)
    hold(hands, source)
    assert refuse(source)
    return source


def without_credentials(hands: Hands, **changes: Any) -> Source:
    source = make_source(hands, client_id=None, token=pair(hands, 1, **changes))
    assert refuse(source)
    return source


def play(caller: Caller, hands: Hands, *replies: object) -> list[str]:
    """Answer its calls, sleep its sleeps, and return what it did until it ended or ran dry."""
    queue = list(replies)
    done: list[str] = []
    while caller.wants not in ("done", "failed"):
        done.append(caller.wants)
        if isinstance(caller.effect, Send):
            if not queue:
                return done
            caller.resume(queue.pop(0))
        elif caller.wants == "sleep":
            hands.advance(caller.sleep)
            caller.resume(None)
        else:
            caller.call()
    return done


# --- refresh before secret


def test_while_the_refresh_token_is_valid_the_secret_is_not_sent(
    hands: Hands, holder: Source
) -> None:
    caller = Caller(holder)
    assert caller.effect.request.url == API + "/auth/refresh"
    assert caller.body == {"refreshToken": "refresh-1"}
    assert SECRET.encode() not in caller.effect.request.body
    assert caller.resume(pair_reply(hands, 2)).token == "access-2"


def test_the_next_refresh_uses_the_rotated_token(hands: Hands, holder: Source) -> None:
    Caller(holder).resume(pair_reply(hands, 2))
    assert refuse(holder, 2)
    assert Caller(holder).body == {"refreshToken": "refresh-2"}


@pytest.mark.parametrize(
    ("life", "wants"), [(DAY - 1, "refresh"), (DAY, "mint"), (10 * DAY, "mint")]
)
def test_an_expired_refresh_token_is_not_sent(
    hands: Hands, holder: Source, life: float, wants: str
) -> None:
    hands.advance(life)
    assert Caller(holder).wants == wants


@pytest.mark.parametrize(
    "refusal",
    [
        *(
            pytest.param(error_reply(n), id=f"{n}")
            for n in (400, 401, 403, 404, 409, 410, 422, 499)
        ),
        pytest.param(Reply(400, {}, b""), id="bare 400"),
        pytest.param(Reply(401, {}, b"no"), id="bare 401"),
    ],
)
def test_a_refused_refresh_token_is_dropped_and_the_credentials_used_once(
    hands: Hands, holder: Source, refusal: Reply
) -> None:
    caller = Caller(holder)
    steps = play(caller, hands, refusal, pair_reply(hands, 2, refreshToken=None))
    assert steps == ["refresh", "mint"]
    assert caller.token == "access-2"


def test_a_firewalls_page_does_not_spend_the_refresh_token(hands: Hands, holder: Source) -> None:
    caller = Caller(holder).resume(Reply(403, {}, b"<h1>Request blocked</h1>"))
    assert type(caller.error) is TokenEndpointError
    hands.advance(1)
    assert Caller(holder).body == {"refreshToken": "refresh-1"}


def test_a_401_of_the_refresh_never_means_wrong_credentials(hands: Hands, holder: Source) -> None:
    caller = Caller(holder)
    play(caller, hands, error_reply(401), error_reply(403))
    assert isinstance(caller.error, TokenEndpointError)
    assert not isinstance(caller.error, InvalidCredentialsError)


def test_a_refused_refresh_token_is_not_sent_by_a_later_flow(hands: Hands, holder: Source) -> None:
    play(Caller(holder), hands, error_reply(400), *[no_connection()] * 3)
    hands.advance(1)
    assert Caller(holder).wants == "mint"


@pytest.mark.parametrize(
    ("reply", "steps"),
    [
        pytest.param(error_reply(408), ["refresh", "sleep"] * 2 + ["refresh"], id="408"),
        pytest.param(error_reply(425), ["refresh", "sleep"] * 2 + ["refresh"], id="425"),
        pytest.param(error_reply(429), ["refresh", "sleep"] * 2 + ["refresh"], id="429"),
        pytest.param(error_reply(500), ["refresh", "sleep"] * 2 + ["refresh"], id="500"),
        pytest.param(error_reply(503), ["refresh", "sleep"] * 2 + ["refresh"], id="503"),
        pytest.param(error_reply(599), ["refresh", "sleep"] * 2 + ["refresh"], id="599"),
        pytest.param(error_reply(302), ["refresh"], id="redirect"),
        pytest.param(error_reply(101), ["refresh"], id="101"),
        pytest.param(error_reply(200), ["refresh"], id="an error with a good status"),
        pytest.param(Reply(200, {}, b"<html>"), ["refresh"], id="a web page"),
        pytest.param(no_connection(), ["refresh", "sleep"] * 2 + ["refresh"], id="no connection"),
        pytest.param(Reply(403, {}, b"<html>blocked"), ["refresh"], id="a firewall's page"),
        pytest.param(Reply(401, {"Content-Type": "text/html"}, b"no"), ["refresh"], id="HTML"),
        pytest.param(Reply(404, {}, b"not found"), ["refresh"], id="a wrong base URL"),
        pytest.param(MontaAuthError("redirected"), ["refresh"], id="our error"),
    ],
)
def test_after_a_temporary_fault_the_credentials_are_not_used(
    hands: Hands, holder: Source, reply: object, steps: list[str]
) -> None:
    caller = Caller(holder)
    assert play(caller, hands, *[reply] * 9) == steps
    assert isinstance(caller.error, MontaAuthError | TransportFailure)


@pytest.mark.parametrize(
    ("outcome", "is_spent"),
    [
        pytest.param(no_answer(), True, id="sent, no answer"),
        pytest.param(TransportFailure("reset", "other"), True, id="reset"),
        pytest.param(MontaAuthError("redirected"), True, id="redirected"),
        pytest.param(Reply(200, {}, b"<html>"), True, id="unreadable"),
        pytest.param(error_reply(200), True, id="an error with a good status"),
        pytest.param(no_connection(), False, id="no connection"),
        pytest.param(error_reply(302), False, id="redirect, read"),
        pytest.param(error_reply(503, headers={"Retry-After": "3"}), False, id="503"),
        pytest.param(error_reply(429, headers={"Retry-After": "3"}), False, id="429"),
        pytest.param(None, True, id="closed"),
        pytest.param(KeyboardInterrupt(), True, id="interrupted"),
        pytest.param(ZeroDivisionError(), True, id="a bug in the transport"),
    ],
)
def test_after_an_unknown_outcome_a_refresh_token_counts_as_spent(
    hands: Hands, holder: Source, outcome: object, is_spent: bool
) -> None:
    caller = Caller(holder)
    if outcome is None:
        caller.close()
    elif isinstance(outcome, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            caller.resume(outcome)
    else:
        caller.resume(outcome)
        fail(caller, no_connection())
    hands.advance(60)
    assert Caller(holder).wants == ("mint" if is_spent else "refresh")


def test_a_connection_that_fails_after_a_503_spends_nothing(hands: Hands, holder: Source) -> None:
    play(Caller(holder), hands, error_reply(503), *[no_connection()] * 2)
    hands.advance(1)
    assert Caller(holder).wants == "refresh"


def test_a_leader_stopped_while_sleeping_has_spent_nothing(hands: Hands, holder: Source) -> None:
    caller = Caller(holder).resume(error_reply(503))
    assert caller.wants == "sleep"
    caller.close()
    assert Caller(holder).wants == "refresh"


def test_after_a_new_pair_the_old_spent_refresh_token_does_not_matter(
    hands: Hands, holder: Source
) -> None:
    Caller(holder).close()
    Caller(holder).resume(pair_reply(hands, 2))
    assert refuse(holder, 2)
    assert Caller(holder).body == {"refreshToken": "refresh-2"}


# --- without credentials


def test_without_credentials_a_pair_is_refreshed(hands: Hands) -> None:
    source = without_credentials(hands)
    assert Caller(source).resume(pair_reply(hands, 2)).token == "access-2"


def test_without_credentials_a_refresh_token_that_may_be_spent_is_sent(hands: Hands) -> None:
    source = without_credentials(hands)
    Caller(source).close()
    assert Caller(source).body == {"refreshToken": "refresh-1"}


def test_without_credentials_and_refresh_token_the_error_says_what_is_missing(
    hands: Hands,
) -> None:
    caller = Caller(without_credentials(hands, refresh=None))
    assert isinstance(caller.error, ConfigurationError)
    assert "MONTA_CLIENT_ID" in str(caller.error)


_SAYS = {
    401: "it does not accept the refresh token; there are no credentials",
    403: "the token endpoint of public-api.monta.com refused the call; there are no credentials",
    404: "is /api/v1 missing at the end of base_url?; there are no credentials",
}


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(error_reply(401), id="401"),
        pytest.param(
            Reply(403, {"request-id": "id-403"}, b"<html>blocked"), id="a firewall's page"
        ),
        pytest.param(Reply(404, {}, b""), id="a wrong base URL"),
    ],
)
def test_without_credentials_a_refresh_token_is_never_given_up(
    hands: Hands, refusal: Reply
) -> None:
    """It is all that the program has: a gateway's refusal must not end its access for good."""
    source = without_credentials(hands)
    for _ in range(3):
        caller = Caller(source)
        assert caller.body == {"refreshToken": "refresh-1"}
        caller.resume(refusal)
        assert type(caller.error) is TokenEndpointError
        assert caller.error.status == refusal.status
        assert caller.error.request_id == refusal.headers.get("request-id")
        assert caller.error.retryable
        assert _SAYS[refusal.status] in str(caller.error)
        hands.advance(60)
    assert Caller(source).resume(pair_reply(hands, 2)).token == "access-2"


def test_without_credentials_the_error_names_the_missing_arguments(hands: Hands) -> None:
    caller = Caller(without_credentials(hands)).resume(error_reply(401))
    assert "pass client_id= and client_secret=" in str(caller.error)


def test_without_credentials_a_refresh_token_is_sent_whatever_its_expiry(hands: Hands) -> None:
    source = make_source(hands, client_id=None, token=pair(hands, 1))
    hands.advance(9 * DAY)
    assert Caller(source).body == {"refreshToken": "refresh-1"}


def test_without_credentials_a_lost_refresh_is_retried_once(hands: Hands) -> None:
    caller = Caller(without_credentials(hands))
    assert caller.resume(TransportFailure("reset")).body == {"refreshToken": "refresh-1"}
    assert caller.resume(pair_reply(hands, 2)).token == "access-2"
    other = Caller(without_credentials(hands))
    assert play(other, hands, *[TransportFailure("reset")] * 9) == ["refresh"] * 2
    assert isinstance(other.error, TransportFailure)


def test_a_response_without_a_refresh_token_keeps_the_one_that_was_sent(hands: Hands) -> None:
    """RFC 6749, section 6: repeatedly, also without credentials."""
    source = without_credentials(hands)
    for serial in (2, 3, 4):
        caller = Caller(source)
        assert caller.body == {"refreshToken": "refresh-1"}
        assert (
            caller.resume(pair_reply(hands, serial, refreshToken=None)).token == f"access-{serial}"
        )
        hands.advance(HOUR)


# --- a connection that breaks


@pytest.mark.parametrize("failure", [no_connection(), TransportFailure("reset")], ids=str)
def test_a_mint_whose_connection_broke_is_retried_like_a_503(
    hands: Hands, failure: TransportFailure
) -> None:
    caller = Caller(make_source(hands))
    assert play(caller, hands, failure, failure, pair_reply(hands, 1)) == ["mint", "sleep"] * 2 + [
        "mint"
    ]
    assert caller.token == "access-1"


@pytest.mark.parametrize("failure", [no_answer(), TransportFailure("reset")], ids=str)
def test_after_a_lost_refresh_the_same_flow_mints(
    hands: Hands, holder: Source, failure: TransportFailure
) -> None:
    caller = Caller(holder)
    assert play(caller, hands, failure, pair_reply(hands, 2)) == ["refresh", "mint"]
    assert caller.token == "access-2"


def test_a_refresh_that_was_never_sent_is_retried(hands: Hands, holder: Source) -> None:
    caller = Caller(holder)
    steps = play(caller, hands, no_connection(), pair_reply(hands, 2))
    assert steps == ["refresh", "sleep", "refresh"]
    assert caller.token == "access-2"


def test_a_failure_caused_by_the_caller_is_not_retried(hands: Hands) -> None:
    caller = Caller(make_source(hands))
    caller.resume(TransportFailure("the client is closed", "other", sent=False, own=True))
    assert caller.wants == "failed"


# --- tries and sleeps


@pytest.mark.parametrize("kind", ["mint", "refresh"])
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_429_or_5xx_is_retried_until_it_succeeds(hands: Hands, kind: str, status: int) -> None:
    source = make_source(hands)
    if kind == "refresh":
        hold(hands, source)
        assert refuse(source)
    caller = Caller(source)
    first = caller.effect.request
    assert caller.resume(error_reply(status)).sleep == 0.5
    again = caller.resume(None).effect.request
    assert (again.url, again.body) == (first.url, first.body)
    assert caller.resume(error_reply(status)).sleep == 1.0
    assert caller.resume(None).resume(pair_reply(hands, 2)).token == "access-2"


def test_after_three_tries_the_error_is_raised(hands: Hands) -> None:
    caller = Caller(make_source(hands))
    assert play(caller, hands, *[error_reply(503)] * 9) == ["mint", "sleep"] * 2 + ["mint"]
    assert isinstance(caller.error, TokenEndpointError)
    assert (caller.error.status, caller.error.error_code) == (503, "SOME_CODE")
    assert caller.error.request_id == "id-503"
    assert caller.error.retryable


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_the_policy_sets_the_number_of_tries(hands: Hands, attempts: int) -> None:
    policy = RefreshPolicy(attempts=attempts, sleep_limit=9)
    caller = Caller(make_source(hands, policy=policy))
    assert play(caller, hands, *[error_reply(503)] * 9).count("mint") == attempts


@pytest.mark.parametrize("chance", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("hint", [None, "0", "0.7", "1", "2"])
def test_sleeps_total_at_most_two_seconds(hands: Hands, chance: float, hint: str | None) -> None:
    hands.chance = chance
    caller = Caller(make_source(hands))
    slept: list[float] = []
    while caller.wants != "failed":
        if caller.wants == "sleep":
            slept.append(caller.sleep)
            assert hint is None or caller.sleep >= min(float(hint), 2.0)
            caller.resume(None)
        else:
            headers = {} if hint is None else {"Retry-After": hint}
            caller.resume(error_reply(503, headers=headers))
    assert 0 < sum(slept) <= 2.0


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("seconds", [2.01, 8, 3600])
def test_a_longer_retry_after_raises_at_once(hands: Hands, status: int, seconds: float) -> None:
    caller = Caller(make_source(hands))
    caller.resume(error_reply(status, headers={"Retry-After": str(seconds)}))
    error = caller.error
    assert type(error) is (RateLimitError if status == 429 else TokenEndpointError)
    assert error.retry_after == seconds
    assert (error.status, error.error_code) == (status, "SOME_CODE")
    assert (error.api_message, error.request_id) == ("in words", f"id-{status}")
    assert error.retryable


def test_a_retry_after_beyond_the_rest_of_the_sleep_raises_at_once(hands: Hands) -> None:
    caller = Caller(make_source(hands))
    reply = error_reply(503, headers={"Retry-After": "1.5"})
    assert play(caller, hands, *[reply] * 9) == ["mint", "sleep", "mint"]
    assert isinstance(caller.error, TokenEndpointError)


def test_refresh_and_mint_share_one_budget_of_sleep(hands: Hands, holder: Source) -> None:
    caller = Caller(holder)
    steps = play(
        caller, hands, error_reply(503), error_reply(503), error_reply(400), *[error_reply(503)] * 9
    )
    assert steps == ["refresh", "sleep", "refresh", "sleep", "refresh", "mint", "sleep", "mint"]
    assert caller.wants == "failed"


def test_no_sleep_goes_beyond_the_deadline(hands: Hands) -> None:
    caller = Caller(make_source(hands))
    hands.advance(9.6)
    assert caller.resume(error_reply(503)).wants == "failed"
    assert isinstance(caller.error, TokenEndpointError)


@pytest.mark.parametrize(
    ("failure", "tries"), [(no_answer(), 1), (no_connection(), 3), (TransportFailure("reset"), 3)]
)
def test_the_last_failure_of_the_network_reaches_the_caller(
    hands: Hands, failure: TransportFailure, tries: int
) -> None:
    caller = Caller(make_source(hands))
    assert play(caller, hands, *[failure] * 9).count("mint") == tries
    assert isinstance(caller.error, TransportFailure)
    assert (caller.error.kind, caller.error.sent) == (failure.kind, failure.sent)


# --- the callable secret


class Secrets:
    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)

    def secret(self) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def test_a_callable_secret_is_called_at_every_mint(hands: Hands) -> None:
    secrets = Secrets("one", "two")
    source = make_source(hands, client_secret=secrets.secret)
    for expected in ["one", "two"]:
        caller = Caller(source).call()
        assert caller.body == {"clientId": ID, "clientSecret": expected}
        caller.resume(pair_reply(hands, 1 if expected == "one" else 2))
        source.forget()


@pytest.mark.parametrize(
    ("answers", "steps"),
    [
        pytest.param(["a", "a"], ["call secret", "mint", "call secret"], id="the same"),
        pytest.param(["a", "b"], ["call secret", "mint"] * 2, id="another"),
    ],
)
def test_after_a_401_it_is_called_once_more_and_only_another_secret_is_tried(
    hands: Hands, answers: list[object], steps: list[str]
) -> None:
    caller = Caller(make_source(hands, client_secret=Secrets(*answers).secret))
    assert play(caller, hands, *[error_reply(401)] * 9) == steps
    assert isinstance(caller.error, InvalidCredentialsError)


def test_with_a_rotated_secret_the_same_flow_succeeds(hands: Hands) -> None:
    caller = Caller(make_source(hands, client_secret=Secrets("old", "new").secret))
    play(caller, hands, error_reply(401), pair_reply(hands, 1))
    assert caller.token == "access-1"


def test_another_secret_is_tried_although_the_last_one_was_refused(hands: Hands) -> None:
    """Refused secrets are remembered by value."""
    secrets = Secrets("old", "old", "old", "new")
    source = make_source(hands, client_secret=secrets.secret)
    play(Caller(source), hands, error_reply(401))
    hands.advance(0.6)
    assert Caller(source).call().wants == "failed"
    hands.advance(1.1)
    caller = Caller(source).call()
    assert caller.body["clientSecret"] == "new"


def test_a_literal_secret_is_not_tried_twice(hands: Hands) -> None:
    caller = Caller(make_source(hands)).resume(error_reply(401))
    assert isinstance(caller.error, InvalidCredentialsError)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(ValueError(SECRET), MontaAuthError, id="raises"),
        pytest.param(StopIteration(SECRET), MontaAuthError, id="raises StopIteration"),
        pytest.param(TransportFailure(SECRET), MontaAuthError, id="raises a failure"),
        pytest.param(RateLimitError("ours"), RateLimitError, id="raises an error of ours"),
        pytest.param(None, ConfigurationError, id="None"),
        pytest.param("", ConfigurationError, id="empty"),
        pytest.param(" padded ", ConfigurationError, id="white space"),
        pytest.param(b"bytes", ConfigurationError, id="bytes"),
    ],
)
def test_the_error_for_a_callable_without_a_secret_does_not_quote_it(
    hands: Hands, answer: object, kind: type[Exception]
) -> None:
    caller = Caller(make_source(hands, client_secret=Secrets(answer).secret)).call()
    assert isinstance(caller.error, kind)
    assert SECRET not in str(caller.error)
    assert caller.error.__context__ is None


def test_losing_the_flight_during_a_callable_is_no_failure(hands: Hands) -> None:
    source = make_source(hands, client_secret=Secrets("a", "b").secret)
    old = Caller(source)
    source.forget()
    new = Caller(source)
    assert old.call().wants == "wait"
    assert new.wants == "call secret"


def test_a_superseded_leader_makes_no_second_call(hands: Hands) -> None:
    source = make_source(hands)
    old = Caller(source).resume(error_reply(503))
    assert old.wants == "sleep"
    source.forget()
    new = Caller(source)
    assert old.resume(None).wants == "wait"
    assert new.wants == "mint"


def test_a_flight_lost_while_the_reply_is_read_installs_nothing(hands: Hands) -> None:
    """Another thread may take it at any moment, even between the last effect and the end."""
    then: list[Callable[[], None]] = []

    def wall() -> float:
        if then:
            then.pop()()
        return hands.wall

    hands.clock = Clock(lambda: hands.now, wall, lambda: 0.0)
    source = make_source(hands)
    caller = Caller(source)
    then.append(source.forget)
    assert caller.resume(pair_reply(hands, 1)).wants == "mint"
    assert source.fresh() is None
    assert caller.resume(pair_reply(hands, 2)).token == "access-2"


# --- time


@pytest.mark.parametrize("drift", [-7 * HOUR, -3.0, 0.0, 3.0, 7 * HOUR], ids=str)
def test_a_life_does_not_depend_on_the_local_wall_clock(hands: Hands, drift: float) -> None:
    hands.server = drift
    source = make_source(hands)
    hold(hands, source)
    hands.advance(3298)
    assert source.fresh()
    hands.advance(3)
    assert source.fresh() is None


@pytest.mark.parametrize("jump", [-10 * HOUR, 10 * HOUR], ids=["backwards", "forwards"])
def test_a_jump_of_the_wall_clock_changes_no_life(hands: Hands, jump: float) -> None:
    source = make_source(hands)
    hold(hands, source)
    hands.wall += jump
    hands.advance(3298)
    assert source.fresh()
    hands.advance(3)
    assert Caller(source).wants == "refresh"


def test_a_life_counts_from_when_the_call_was_sent(hands: Hands) -> None:
    source = make_source(hands)
    caller = Caller(source)
    reply = pair_reply(hands, 1)
    hands.advance(8)
    caller.resume(reply)
    hands.advance(3291)
    assert source.fresh()
    hands.advance(1.5)
    assert source.fresh() is None


def test_a_life_counts_from_the_successful_try(hands: Hands) -> None:
    source = make_source(hands)
    caller = Caller(source).resume(error_reply(503))
    hands.advance(0.5)
    caller.resume(None).resume(pair_reply(hands, 1))
    assert advisory_at(source) == pytest.approx(5000.5 + 3300, abs=1)


@pytest.mark.parametrize("drift", [0.0, 1.0, -1.0])
def test_if_the_clocks_agree_a_short_life_is_exact(hands: Hands, drift: float) -> None:
    """`Date` has whole seconds: 0.9 s would be a lot of a 4 s life."""
    hands.wall += 0.9
    source = make_source(hands)
    caller = Caller(source)
    caller.resume(pair_reply(hands, 1, life=4.0))
    held = source._state.held
    assert held is not None
    assert held.expires - 5000.0 == pytest.approx(4.0)


def test_without_a_date_the_local_clock_is_used(hands: Hands) -> None:
    source = make_source(hands)
    Caller(source).resume(pair_reply(hands, 1, date=None))
    assert advisory_at(source) == 5000 + 3300


ODD: dict[str, dict[str, Any]] = {
    "no expiry": {"accessTokenExpirationDate": None},
    "unreadable expiry": {"accessTokenExpirationDate": "soon"},
    "a number": {"accessTokenExpirationDate": 1754468437},
    "expired when issued": {"accessTokenExpirationDate": iso(WALL)},
    "expired before": {"accessTokenExpirationDate": iso(WALL - timedelta(days=1))},
    "over 30 days": {"accessTokenExpirationDate": iso(WALL + timedelta(days=31))},
    "clocks apart, no date": {
        "accessTokenExpirationDate": iso(WALL - timedelta(hours=2)),
        "date": None,
    },
}


@pytest.mark.parametrize("odd", ODD)
def test_an_impossible_life_is_taken_for_five_minutes(hands: Hands, odd: str) -> None:
    """An "always expired" token would cause a renewal for every request."""
    source = make_source(hands)
    Caller(source).resume(pair_reply(hands, 1, **ODD[odd]))
    assert advisory_at(source) == 5000 + 240
    assert source.fresh() == "Bearer access-1"


@pytest.mark.parametrize("life", [0.001, 1.0, 2.0, 60.0, 120.0, 29 * DAY])
def test_no_token_life_makes_every_request_renew(hands: Hands, life: float) -> None:
    source = make_source(hands)
    Caller(source).resume(pair_reply(hands, 1, life=life))
    assert source.fresh() == "Bearer access-1"
    hands.advance(life * 0.75)
    assert source.fresh() == "Bearer access-1"


def test_a_token_that_is_already_in_its_window_is_not_renewed_at_once(hands: Hands) -> None:
    """If the reply took most of a short life, its token is used, and a pause begins."""
    source = make_source(hands)
    caller = Caller(source)
    reply = pair_reply(hands, 1, life=10.0)
    hands.advance(8.5)
    assert caller.resume(reply).token == "access-1"
    assert Caller(source).token == "access-1"
    assert Caller(source).token == "access-1"


def test_a_given_pair_expires_by_the_wall_clock_but_not_after_its_life(hands: Hands) -> None:
    given = pair(hands, 1)
    hands.advance(3000)
    assert advisory_at(make_source(hands, token=given)) == pytest.approx(hands.now + 300)
    hands.wall -= 365 * DAY
    assert advisory_at(make_source(hands, token=given)) == pytest.approx(hands.now + 3300)


def test_an_expired_given_pair_is_refreshed(hands: Hands) -> None:
    given = pair(hands, 1)
    hands.advance(2 * HOUR)
    assert Caller(make_source(hands, token=given)).body == {"refreshToken": "refresh-1"}


def test_a_suspended_machine_costs_one_retried_401(hands: Hands) -> None:
    """Meanwhile the monotonic clock stopped, so the token looks fresh although it has expired."""
    source = make_source(hands)
    hold(hands, source)
    hands.wall += 5 * HOUR
    assert source.fresh() == "Bearer access-1"
    assert refuse(source)
    hold(hands, source, 2)
    hands.advance(3000)
    assert source.fresh() == "Bearer access-2"


@pytest.mark.parametrize("kind", ["seconds", "date"])
def test_a_retry_after_date_counts_from_the_replys_date(hands: Hands, kind: str) -> None:
    date = WALL + timedelta(hours=9)
    after = "7" if kind == "seconds" else format_datetime(date + timedelta(seconds=7), usegmt=True)
    headers = {"Retry-After": after, "Date": format_datetime(date, usegmt=True)}
    caller = Caller(make_source(hands)).resume(error_reply(429, headers=headers))
    assert isinstance(caller.error, RateLimitError)
    assert caller.error.retry_after == 7.0


# --- what the endpoint may answer


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"accessToken": null}', id="null"),
        pytest.param(b'{"accessToken": ""}', id="empty"),
        pytest.param(b'{"accessToken": "a\\r\\nb"}', id="two lines"),
        pytest.param(b'{"accessToken": 7}', id="a number"),
        pytest.param(b"\xff\xfe\x00", id="bytes"),
        pytest.param(b"[" * 100_000, id="nested deeply"),
    ],
)
def test_a_good_status_without_a_usable_token_is_an_error(hands: Hands, body: bytes) -> None:
    caller = Caller(make_source(hands)).resume(Reply(200, {}, body))
    assert isinstance(caller.error, InvalidTokenResponseError)
    assert caller.error.retryable


@pytest.mark.parametrize("status", [301, 400, 402, 403, 404])
def test_a_mint_refused_for_another_reason_is_not_retried(hands: Hands, status: int) -> None:
    caller = Caller(make_source(hands)).resume(error_reply(status))
    assert isinstance(caller.error, TokenEndpointError)
    assert caller.error.status == status


def test_a_201_is_treated_like_a_200(hands: Hands) -> None:
    reply = pair_reply(hands, 1)
    reply.status = 201
    assert Caller(make_source(hands)).resume(reply).token == "access-1"


def test_no_error_quotes_a_secret_that_the_server_echoes(hands: Hands) -> None:
    body = {"errorCode": f"X{SECRET}", "message": f"no client with {SECRET}"}
    caller = Caller(make_source(hands)).resume(error_reply(401, body=body))
    assert SECRET not in json.dumps([str(caller.error), repr(vars(caller.error))])


# --- the bounded memories


def test_only_the_last_sixteen_values_are_kept() -> None:
    recent = Recent()
    for i in range(100):
        recent.add(f"value-{i}")
        assert f"value-{i}" in recent
    assert "value-99" in recent
    assert "value-84" in recent
    assert "value-83" not in recent


def test_the_memory_of_refused_credentials_is_limited() -> None:
    refused = RefusedCredentials()
    for i in range(100):
        refused.add(f"digest-{i}", InvalidCredentialsError("no"), 0.0)
    assert refused.find("digest-0", 1.0) is None
    assert refused.find("digest-99", 1.0) is not None
    assert refused.find("digest-99", 5.0) is None


def test_the_default_clock_is_the_systems() -> None:
    source = Source(ID, SECRET, base_url=API)
    assert source.fresh() is None
    assert isinstance(Clock().random(), float)


CASES: dict[str, Callable[[Hands], object]] = {
    "401": lambda hands: error_reply(401),
    "503": lambda hands: error_reply(503),
    "transport": lambda hands: no_answer(),
    "garbage": lambda hands: Reply(200, {}, b"x"),
}


@pytest.mark.parametrize("case", CASES)
def test_no_failure_has_a_request_or_a_cause(hands: Hands, case: str) -> None:
    caller = Caller(make_source(hands))
    play(caller, hands, *[CASES[case](hands)] * 3)
    error = caller.error
    assert error is not None
    assert error.__cause__ is None
    assert error.__context__ is None
    assert URL not in str(error)


def without_vault(hands: Hands) -> Source:
    """A source whose refresh token expired by its dates, and whose callable secret now fails."""

    def secret() -> str:
        raise OSError("no vault")

    source = make_source(hands, client_secret=lambda: SECRET)
    hold(hands, source)
    source.credentials.secret = secret  # type: ignore[union-attr]
    hands.advance(2 * 86400)
    return source


@pytest.mark.parametrize("outcome", [error_reply(401), no_answer()], ids=["refused", "lost"])
def test_if_the_secret_fails_and_the_last_refresh_token_too_the_secrets_error_is_raised(
    hands: Hands, outcome: object
) -> None:
    caller = Caller(without_vault(hands)).call()
    assert caller.body == {"refreshToken": "refresh-1"}
    caller.resume(outcome)
    assert type(caller.error) is MontaAuthError
    assert "raised OSError" in str(caller.error)


def test_if_the_secret_fails_an_expired_refresh_token_is_tried(
    hands: Hands,
) -> None:
    source = without_vault(hands)
    assert Caller(source).call().resume(pair_reply(hands, 2)).token == "access-2"
    assert source.status().refreshes == 1
