"""The written form of a pair: what is not exactly right counts as nothing."""

from __future__ import annotations

import json
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monta_auth import TokenSet
from monta_auth.stores import dump_record, load_record, record_key
from monta_auth.stores._record import without_refresh_token

URL, ID = "https://public-api.monta.com/api/v1", "client-1"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def new_pair(*, skew: float = 0.0, **changes: Any) -> TokenSet:
    """A pair that has just been made by a server whose clock is ahead by `skew` seconds."""
    born = datetime.now(UTC) + timedelta(seconds=skew)
    pair = TokenSet("access-1", "refresh-1", born + HOUR, born + DAY, born, 7, 9)
    return pair.__replace__(**changes)


def changed(**changes: Any) -> str:
    return json.dumps(json.loads(dump_record(new_pair(), URL, ID)) | changes)


def with_pair(**changes: Any) -> str:
    record = json.loads(dump_record(new_pair(), URL, ID))
    record["pair"].update(changes)
    return json.dumps(record)


def left(date: datetime | None) -> float:
    assert date is not None
    return date.timestamp() - time.time()


def test_what_was_written_is_read() -> None:
    pair = new_pair()
    text = dump_record(pair, URL, ID)
    assert load_record(text, URL, ID) == pair
    assert load_record(text.encode(), URL, ID) == pair


def test_nothing_stored_is_no_reason_to_warn(caplog: pytest.LogCaptureFixture) -> None:
    assert load_record(None, URL, ID) is None
    assert caplog.records == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("no JSON access-1", id="no JSON"),
        pytest.param(b"\xff\xfe access-1", id="no text"),
        pytest.param("[" * 20000, id="nested without end"),
        pytest.param('"access-1"', id="no object"),
        pytest.param("1" * 5000, id="a number of 5000 digits"),
        pytest.param(changed(padding="x" * 40000), id="too long"),
        pytest.param(changed(schema=2), id="another schema"),
        pytest.param(changed(base_url="https://evil.example/api/v1"), id="another host"),
        pytest.param(changed(client_id="client-2"), id="another client"),
        pytest.param(changed(client_id=None), id="no client"),
        pytest.param(changed(saved_at=None), id="no time"),
        pytest.param(changed(saved_at=True), id="a boolean time"),
        pytest.param(changed(origin=float("nan")), id="a time that is no number"),
        pytest.param(changed(origin=1e300), id="a time beyond all dates"),
        pytest.param(changed(saved_at=10**400), id="a time beyond all floats"),
        pytest.param(changed(pair=None), id="no pair"),
        pytest.param(changed(pair=[]), id="a list for a pair"),
        pytest.param(with_pair(access_token=None), id="no access token"),
        pytest.param(with_pair(access_token="access-1\r\nX-Evil: 1"), id="a header injected"),
        pytest.param(with_pair(refresh_token=""), id="an empty refresh token"),
        pytest.param(with_pair(access_expires_at="soon"), id="no expiry"),
        pytest.param(with_pair(access_expires_at="9999-12-31T23:59:59Z"), id="lives for ever"),
        pytest.param(with_pair(access_expires_at="2020-01-01T00:00:00Z"), id="dead at birth"),
        pytest.param(
            with_pair(access_expires_at="9999-12-31T23:59:59Z", issued_at=None),
            id="lives for ever, of unknown age",
        ),
    ],
)
def test_rubbish_is_nothing_and_one_warning(
    text: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Twice, because a renewal looks before and after it gets its lease."""
    assert load_record(text, URL, ID) is None
    assert load_record(text, URL, ID) is None
    [record] = caplog.records
    assert record.name == "monta_auth"
    assert record.levelno == logging.WARNING
    assert "access-1" not in record.getMessage()
    assert "evil" not in record.getMessage()


@given(st.text() | st.binary())
def test_nothing_that_is_stored_can_raise(text: str | bytes) -> None:
    assert load_record(text, URL, ID) is None


def test_warnings_about_rubbish_are_remembered_within_bounds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for number in range(70):
        load_record(f"bounded rubbish {number}", URL, ID)
    load_record("bounded rubbish 0", URL, ID)
    assert len(caplog.records) == 71


def test_a_refresh_token_without_a_sensible_expiry_is_kept_as_the_wire_keeps_it() -> None:
    pair = load_record(with_pair(refresh_expires_at="2020-01-01T00:00:00Z"), URL, ID)
    assert pair is not None
    assert pair.refresh_token == "refresh-1"
    assert pair.refresh_expires_at is None


def test_the_mark_of_a_refused_token_survives() -> None:
    """An access token that expired long ago, with a refresh token that lives."""
    epoch = datetime.fromtimestamp(0, UTC)
    marked = new_pair(access_expires_at=epoch, issued_at=None)
    assert load_record(dump_record(marked, URL, ID), URL, ID) == marked
    moved = load_record(dump_record(marked, URL, ID, now=time.time() + 500), URL, ID)
    assert moved is not None
    assert moved.access_expires_at == epoch


@pytest.mark.parametrize("skew", [-7200.0, -3.0, 3.0, 7200.0])
def test_a_local_clock_that_is_wrong_does_not_change_the_life(skew: float) -> None:
    """Dates are compared with the local clock: an hour must be an hour there."""
    pair = load_record(dump_record(new_pair(skew=skew), URL, ID), URL, ID)
    assert pair is not None
    assert left(pair.access_expires_at) == pytest.approx(3600, abs=1)
    assert left(pair.refresh_expires_at) == pytest.approx(86400, abs=1)
    assert left(pair.issued_at) == pytest.approx(0, abs=1)


@pytest.mark.parametrize("place", [-7200.0, 0.0, 7200.0])
def test_age_is_counted_by_the_clock_of_the_place(place: float) -> None:
    now = time.time() + place
    text = dump_record(new_pair(), URL, ID, now=now - 600)
    pair = load_record(text, URL, ID, now=now)
    assert pair is not None
    assert left(pair.access_expires_at) == pytest.approx(3000, abs=1)


def test_a_clock_that_was_set_back_makes_nothing_younger_than_new() -> None:
    pair = load_record(dump_record(new_pair(), URL, ID, now=time.time() + 600), URL, ID)
    assert pair is not None
    assert left(pair.access_expires_at) <= 3600


def test_a_pair_of_unknown_age_is_compared_with_the_local_clock() -> None:
    text = dump_record(new_pair(issued_at=None, refresh_expires_at=None), URL, ID)
    pair = load_record(text, URL, ID, now=time.time() + 60)
    assert pair is not None
    assert left(pair.access_expires_at) == pytest.approx(3540, abs=1)
    assert pair.refresh_expires_at is None


def test_keys_tell_nothing_and_clients_apart() -> None:
    keys = {
        record_key(URL, ID),
        record_key(URL, "client-2"),
        record_key(URL, None),
        record_key(URL + "x", ID),
    }
    assert len(keys) == 4
    for key in keys:
        assert len(key) == 32
        int(key, 16)


def test_a_doubted_refresh_token_goes_and_the_dates_stay() -> None:
    pair = new_pair()
    text = without_refresh_token(dump_record(pair, URL, ID, now=1000.0))
    assert text is not None
    assert json.loads(text)["saved_at"] == 1000.0
    found = load_record(text, URL, ID, now=1000.0)
    assert found is not None
    assert (found.access_token, found.refresh_token) == ("access-1", None)
    assert without_refresh_token(text) is None


@pytest.mark.parametrize("rubbish", ["", "{}", "[]", '{"pair": 1}', "[" * 20000])
def test_in_rubbish_there_is_nothing_to_doubt(rubbish: str) -> None:
    assert without_refresh_token(rubbish) is None
