"""Sealed records: only those who know the secret can use them."""

from __future__ import annotations

import itertools
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from monta_auth import TokenSet
from monta_auth._core import sealing
from monta_auth._core.sealing import Seal, require_cryptography

URL, ID, SECRET = "https://public-api.monta.com/api/v1", "client-1", "secret-1"
BORN = datetime(2025, 8, 6, 9, 20, 37, 250_000, UTC)
PAIR = TokenSet(
    "access-1",
    "refresh-1",
    BORN + timedelta(hours=1),
    BORN + timedelta(days=1),
    BORN,
    application_id=7,
    user_id=9,
)


@pytest.fixture
def seal() -> Seal:
    return Seal(URL, ID, SECRET)


@pytest.mark.parametrize(
    "pair",
    [
        PAIR,
        PAIR.__replace__(refresh_token=None, refresh_expires_at=None),
        PAIR.__replace__(issued_at=None, application_id=None, user_id=None),
        PAIR.__replace__(access_token="\\" * 8192, refresh_token='"' * 8192),
    ],
)
def test_the_same_client_can_open_a_record_in_another_process(pair: TokenSet) -> None:
    record = Seal(URL, ID, SECRET).seal(pair)
    assert Seal(URL, ID, SECRET).open(record) == pair
    assert Seal(URL, ID, SECRET).name == Seal(URL, ID, SECRET).name


def test_a_record_and_its_name_show_nothing(seal: Seal) -> None:
    record = seal.seal(PAIR)
    for hint in (b"access-1", b"refresh-1", ID.encode(), b"monta.com", SECRET.encode()):
        assert hint not in record
    assert len(seal.name) == 32
    int(seal.name, 16)
    assert record.isascii()
    assert SECRET not in f"{seal!r} {vars(seal)}"


def test_another_secret_client_or_base_url_cannot_find_or_open_the_record() -> None:
    seals = [
        Seal(url, client, secret)
        for url, client, secret in itertools.product(
            (URL, URL + "x"), (ID, "client-2"), (SECRET, "secret-2")
        )
    ]
    assert len({seal.name for seal in seals}) == 8
    for one, two in itertools.permutations(seals, 2):
        assert one.open(two.seal(PAIR)) is None


def test_a_missing_record_causes_no_warning(seal: Seal, caplog: pytest.LogCaptureFixture) -> None:
    assert seal.open(None) is None
    assert caplog.records == []


def test_a_changed_record_is_treated_as_missing_with_one_warning(
    seal: Seal, caplog: pytest.LogCaptureFixture
) -> None:
    """A renewal reads the record before and after it gets its lease."""
    record = seal.seal(PAIR)
    places = range(0, len(record) - 4, 37)
    for place in places:
        changed = bytearray(record)
        changed[place] = ord("A") if changed[place] != ord("A") else ord("B")
        assert seal.open(bytes(changed)) is None
        assert seal.open(bytes(changed)) is None
    assert len(caplog.records) == len(places)
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert "access-1" not in caplog.text


SEALED: list[Any] = ["no JSON", "[]", "1" * 5000, "{}"]


@pytest.mark.parametrize("text", SEALED)
def test_a_record_of_another_version_is_treated_as_missing(seal: Seal, text: str) -> None:
    assert seal.open(seal._fernet.encrypt(text.encode())) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"access_token": "access-1\r\nX-Evil: 1"},
        {"refresh_token": ""},
        {"access_expires_at": "soon"},
        {"access_expires_at": 1e300},
    ],
)
def test_a_sealed_pair_is_checked_like_any_other(seal: Seal, changes: dict[str, Any]) -> None:
    text = json.dumps({**PAIR.to_dict(), **changes})
    assert seal.open(seal._fernet.encrypt(text.encode())) is None


@given(st.binary())
def test_no_stored_text_can_raise(record: bytes) -> None:
    assert Seal(URL, ID, SECRET).open(record) is None


@pytest.mark.parametrize("character", [b"+", b"/"])
def test_a_character_of_another_base64_alphabet_causes_no_warning(
    seal: Seal, character: bytes
) -> None:
    """Python 3.15 warns about it, and tests turn warnings into errors."""
    assert seal.open(seal.seal(PAIR)[:-4] + character * 4) is None


def test_a_record_that_is_too_long_is_not_even_decrypted(
    seal: Seal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fernet, "decrypt", lambda *_: pytest.fail("decrypted"))
    assert seal.open(b"A" * 70_000) is None


def test_without_cryptography_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    require_cryptography()
    monkeypatch.setattr(sealing, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'monta-auth\[store\]'"):
        require_cryptography()
