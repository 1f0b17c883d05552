"""Strings and bytes that hide their value, and frames that would show it."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from monta_auth._core.replies import Reply, json_object, safe_text
from monta_auth._core.secret import (
    BearerHeader,
    Secret,
    SecretBytes,
    bearer,
    empty_frames,
    hidden,
    in_clear,
    with_hidden_secret,
)
from monta_auth._core.token_calls import mint_request

PLAIN = "the-secret-value"
FAMILY: list[Any] = [
    Secret(PLAIN),
    SecretBytes(PLAIN.encode()),
    bearer(PLAIN),
    bearer(PLAIN).encode(),
]


@pytest.mark.parametrize("value", FAMILY, ids=["str", "bytes", "header", "header bytes"])
@pytest.mark.parametrize(
    "made",
    [
        lambda value: value,
        lambda value: value[:],
        lambda value: value[2:-2],
        lambda value: [value],
        lambda value: {"a": (value,)},
        copy.copy,
        copy.deepcopy,
        lambda value: value.encode() if isinstance(value, str) else SecretBytes(value).decode(),
        lambda value: pickle.loads(pickle.dumps(value)),
    ],
    ids=["itself", "all", "slice", "list", "dict", "copy", "deepcopy", "other kind", "pickle"],
)
def test_a_secret_its_slices_and_its_copies_are_hidden(
    value: Any, made: Callable[[object], object]
) -> None:
    assert "ecret" not in repr(made(value))
    assert "[redacted]" in repr(made(value))


@pytest.mark.parametrize("value", FAMILY, ids=["str", "bytes", "header", "header bytes"])
def test_a_pickle_of_a_secret_alone_does_not_hold_it(value: object) -> None:
    assert b"ecret" not in pickle.dumps(value)


def test_a_secret_is_equal_to_the_string_that_it_hides() -> None:
    secret = Secret(PLAIN)
    assert secret == PLAIN
    assert hash(secret) == hash(PLAIN)
    assert f"{secret}" == str(secret) == json.loads(json.dumps(secret)) == PLAIN
    assert SecretBytes(b"abc")[1] == ord("b")
    assert SecretBytes(b"abc").decode() == "abc"


def test_only_strings_and_bytes_are_hidden() -> None:
    assert (type(hidden("a")), type(hidden(b"a"))) == (Secret, SecretBytes)
    header = bearer(PLAIN)
    assert hidden(header) is header
    assert isinstance(hidden(header), BearerHeader)
    assert hidden(header.encode()) is header.encode()
    for value in (None, 3, [PLAIN]):
        assert hidden(value) is value


def test_secrets_in_settings_can_be_hidden_and_revealed() -> None:
    settings = with_hidden_secret({"client_id": "id", "client_secret": PLAIN})
    assert repr(settings) == "{'client_id': 'id', 'client_secret': '[redacted]'}"
    assert repr(in_clear(settings)) == f"{{'client_id': 'id', 'client_secret': '{PLAIN}'}}"
    assert with_hidden_secret({"client_id": "id"}) == {"client_id": "id"}


def names(error: BaseException) -> set[str]:
    """Return the locals that an error's frames show, including those of its causes and contexts."""
    found: set[str] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        each = todo.pop()
        if each is not None:
            todo += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
            trace = each.__traceback__
            while trace is not None:
                frame: FrameType = trace.tb_frame
                found |= {n for n in frame.f_locals if n.startswith("local_")}
                trace = trace.tb_next
    return found


def library() -> None:
    local_deep = PLAIN

    def cause() -> None:
        local_cause = PLAIN
        raise ValueError(len(local_cause))

    try:
        cause()
    except ValueError as error:
        raise ExceptionGroup("both", [KeyError(), OSError()]) from error
    finally:
        assert local_deep


def call() -> None:
    before = sys.exception()
    try:
        library()
    except BaseException as error:
        empty_frames(error, before)
        raise


def test_frames_below_a_call_show_lines_but_no_locals() -> None:
    local_mine = 1
    with pytest.raises(ExceptionGroup) as caught:
        call()
    assert names(caught.value) == {"local_mine"}
    assert [entry.name for entry in caught.traceback][-2:] == ["call", "library"]
    assert local_mine


def test_an_error_that_the_caller_handled_before_keeps_its_locals() -> None:
    def of_the_user() -> None:
        local_user = 1
        raise LookupError(local_user)

    shown: set[str] = set()
    try:
        of_the_user()
    except LookupError:
        with pytest.raises(ExceptionGroup) as caught:
            call()
        shown = names(caught.value)
    assert shown == {"local_user"}


@pytest.mark.parametrize("secret", ['quote"quote', "back\\slash", "apo'strophe\"s", "unikód-ß-€-x"])
@pytest.mark.parametrize(
    "written",
    [
        str,
        json.dumps,
        lambda value: json.dumps(value, ensure_ascii=False),
        repr,
        lambda value: repr(value.encode()),
        lambda value: repr(json.dumps(value)),
        lambda value: repr(bytearray(json.dumps(value).encode())),
    ],
    ids=["raw", "JSON", "JSON not ASCII", "repr", "bytes", "repr of JSON", "bytes of JSON"],
)
def test_a_text_shows_no_secret_in_any_spelling(secret: str, written: Callable[[str], str]) -> None:
    text = safe_text(f"before {written(secret)} after", (Secret(secret),))
    assert text is not None
    assert "[redacted]" in text
    assert not any(part in text for part in ("quote", "slash", "strophe", "unik"))


def test_a_text_is_made_printable_and_short_and_keeps_short_values() -> None:
    assert safe_text("a\x1b[31m\nb", ()) == "a [31m b"
    assert safe_text("x" * 400, ()) == "x" * 300
    assert safe_text("seven77 eight888", ("seven77", "eight888")) == "seven77 [redacted]"
    assert safe_text("abcdefgh-ijkl abcdefgh", ("abcdefgh", "abcdefgh-ijkl")) == (
        "[redacted] [redacted]"
    )


@pytest.mark.parametrize("function", ["loads", "dumps"])
def test_an_interrupt_while_json_is_read_or_written_leaves_no_copy_in_a_frame(
    function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        local_copy = PLAIN
        raise KeyboardInterrupt(len(local_copy))

    monkeypatch.setattr(json, function, interrupted)
    calls: dict[str, Callable[[], object]] = {
        "loads": lambda: json_object(Reply(200, {}, b"{}")),
        "dumps": lambda: mint_request("https://monta.example", "id", PLAIN),
    }
    with pytest.raises(KeyboardInterrupt) as caught:
        calls[function]()
    assert names(caught.value) == set()
