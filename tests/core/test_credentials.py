"""Client id and secret: where they come from, which are refused, and that no text shows them."""

from collections.abc import Callable

import pytest

from monta_auth import ConfigurationError
from monta_auth._core.credentials import (
    Credentials,
    find_credentials,
    missing,
    returned_secret,
    shortened,
)

SECRET = "s3cr3t-0f-the-client"


def ask() -> str:
    return SECRET


async def aask() -> str:
    return SECRET


def test_given_credentials_are_kept_as_they_are() -> None:
    credentials = Credentials("id", SECRET)
    assert (credentials.client_id, credentials.secret) == ("id", SECRET)
    assert credentials.literal_secret == SECRET


@pytest.mark.parametrize("secret", [ask, aask], ids=["function", "coroutine function"])
def test_a_callable_secret_is_kept_and_not_called(secret: object) -> None:
    credentials = Credentials("id", secret)  # type: ignore[arg-type]
    assert credentials.secret is secret
    assert credentials.literal_secret is None


@pytest.mark.parametrize("secret", [SECRET, ask], ids=["literal", "callable"])
def test_the_repr_shows_the_id_and_no_secret(secret: str) -> None:
    shown = repr(Credentials("client-7", secret))
    assert "client-7" in shown
    assert SECRET not in shown
    assert "ask" not in shown


UNUSABLE = [
    pytest.param("", "is empty", id="empty"),
    pytest.param(" s3cr3t", r"U\+0020 SPACE at position 1,", id="leading space"),
    pytest.param("s3cr3t ", r"U\+0020 SPACE at position 7, .+: remove it", id="trailing space"),
    pytest.param("s3cr3t\n", r"U\+000A LINE FEED at position 7,", id="trailing newline"),
    pytest.param("s3cr3t\u00a0", r"U\+00A0 NO-BREAK SPACE at position 7,", id="no-break space"),
    pytest.param("\ufeffs3cr3t", r"U\+FEFF ZERO WIDTH NO-BREAK SPACE at position 1,", id="BOM"),
    pytest.param("s3c\u200br3t", r"U\+200B ZERO WIDTH SPACE at position 4,", id="no width"),
    pytest.param("s3c\0r3t", r"U\+0000 NULL at position 4,", id="NUL"),
    pytest.param("s3c\udce9r3t", r"U\+DCE9 at position 4,", id="no text"),
    pytest.param("\u202es3cr3t", r"U\+202E RIGHT-TO-LEFT OVERRIDE at position 1,", id="direction"),
    pytest.param(
        '"s3cr3t"', r"U\+0022 QUOTATION MARK at position 1, .+: remove both quotes", id="quotes"
    ),
    pytest.param("'s3cr3t'", r"U\+0027 APOSTROPHE at position 1,", id="single quotes"),
    pytest.param("\u201cs3cr3t\u201d", r"U\+201C LEFT DOUBLE QUOTATION MARK at", id="curly quotes"),
    pytest.param("s3c\ufe0fr3t", r"U\+FE0F VARIATION SELECTOR-16 at position 4,", id="variation"),
    pytest.param("s3cr3t\u3164", r"U\+3164 HANGUL FILLER at position 7,", id="filler"),
    pytest.param(["s3cr3t"], "not list", id="list"),
    pytest.param(" ", r"U\+0020 SPACE at position 1,", id="nothing but space"),
    pytest.param(b"s3cr3t", "not bytes", id="bytes"),
    pytest.param(7, "not int", id="number"),
]


@pytest.mark.parametrize(("value", "text"), UNUSABLE)
def test_an_unusable_value_is_refused_without_quoting_it(value: object, text: str) -> None:
    """The most common mistake is a secret copied with white space. The text names both sources."""
    makers: list[tuple[str, Callable[[], object]]] = [
        ("client_id", lambda: Credentials(value, SECRET)),  # type: ignore[arg-type]
        ("client_secret", lambda: Credentials("id", value)),  # type: ignore[arg-type]
        ("client_secret", lambda: returned_secret(value)),
    ]
    for argument, make in makers:
        with pytest.raises(ConfigurationError, match=text) as caught:
            make()
        assert argument in str(caught.value)
        assert "s3cr3t" not in str(caught.value)
        assert not caught.value.retryable


@pytest.mark.parametrize("secret", [None, SECRET])
def test_a_pair_as_client_id_is_refused_without_quoting_it(
    secret: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As requests' ``auth=`` takes it."""
    monkeypatch.setenv("MONTA_CLIENT_ID", "of the environment")
    monkeypatch.setenv("MONTA_CLIENT_SECRET", "another-s3cr3t")
    with pytest.raises(ConfigurationError) as caught:
        find_credentials(("id", SECRET), secret)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "client_id must be a string, not tuple: write MontaAuth(client_id, client_secret)"
    )


def test_errors_and_logs_show_only_the_start_of_a_long_client_id() -> None:
    """If id and secret are swapped, it is the secret."""
    assert shortened("my-client-id") == "my-client-id"
    assert shortened("f81d4fae-7dec-11d0-a765-00a0c91e6bf6") == "f81d4fae..."


def test_a_client_id_cannot_be_a_callable() -> None:
    with pytest.raises(ConfigurationError, match="not function"):
        Credentials(ask, SECRET)  # type: ignore[arg-type]


@pytest.mark.parametrize("secret", ["two words", "it's", 'a"b"c', "'", "schlüssel", "'a\""])
def test_a_secret_may_contain_any_visible_character(secret: str) -> None:
    assert returned_secret(secret) == secret


def test_the_error_for_a_pydantic_secret_says_how_to_unpack_it() -> None:
    class SecretStr:
        def get_secret_value(self) -> str:
            return SECRET

    with pytest.raises(ConfigurationError, match=r"\.get_secret_value\(\)"):
        Credentials("id", SecretStr())  # type: ignore[arg-type]


def test_a_digest_distinguishes_ids_and_secrets_and_shows_neither() -> None:
    digests = {
        Credentials(client, SECRET).digest(secret)
        for client in ("a", "b")
        for secret in ("x", "y", "bx")
    }
    assert len(digests) == 6
    assert all(len(digest) == 64 for digest in digests)
    assert Credentials("a", ask).digest("x") == Credentials("a", "z").digest("x")


def test_without_any_credentials_the_result_is_none() -> None:
    """Only the caller knows whether a token or a store replaces them."""
    assert find_credentials(None, None) is None


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        pytest.param(("a", "x"), {}, ("a", "x"), id="arguments"),
        pytest.param((None, None), {"ID": "e", "SECRET": "y"}, ("e", "y"), id="environment"),
        pytest.param(("a", "x"), {"ID": "e", "SECRET": "y"}, ("a", "x"), id="arguments first"),
        pytest.param(("e", None), {"ID": "e", "SECRET": "y"}, ("e", "y"), id="same id given"),
        pytest.param(("a", None), {"SECRET": "y"}, ("a", "y"), id="id given"),
        pytest.param(("a", None), {"ID": "", "SECRET": "y"}, ("a", "y"), id="id given, empty"),
        pytest.param((None, "x"), {"ID": "e", "SECRET": "y"}, ("e", "x"), id="secret given"),
    ],
)
def test_arguments_override_the_environment(
    arguments: tuple[str | None, str | None],
    environment: dict[str, str],
    expected: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"MONTA_CLIENT_{name}", value)
    found = find_credentials(*arguments)
    assert found is not None
    assert (found.client_id, found.secret) == expected


@pytest.mark.parametrize(
    ("arguments", "lacking"),
    [
        pytest.param(("id", None), ("client_secret", "MONTA_CLIENT_SECRET"), id="no secret"),
        pytest.param((None, SECRET), ("client_id", "MONTA_CLIENT_ID"), id="no id"),
        pytest.param((None, ask), ("client_id", "MONTA_CLIENT_ID"), id="no id, callable"),
    ],
)
def test_the_error_for_incomplete_credentials_names_the_missing_one(
    arguments: tuple[str | None, str | None], lacking: tuple[str, str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        find_credentials(*arguments)
    assert str(caught.value) == missing(*lacking)
    assert all(name in str(caught.value) for name in lacking)


@pytest.mark.parametrize("name", ["MONTA_CLIENT_ID", "MONTA_CLIENT_SECRET"])
def test_an_empty_variable_counts_as_unset(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONTA_CLIENT_ID", "id")
    monkeypatch.setenv("MONTA_CLIENT_SECRET", SECRET)
    monkeypatch.setenv(name, "")
    with pytest.raises(ConfigurationError, match=f"^no .* set the environment variable {name}$"):
        find_credentials(None, None)
    monkeypatch.setenv("MONTA_CLIENT_ID", "")
    monkeypatch.setenv("MONTA_CLIENT_SECRET", "")
    assert find_credentials(None, None) is None


def test_a_secret_of_the_environment_is_not_used_with_another_client_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MONTA_CLIENT_ID", "theirs")
    monkeypatch.setenv("MONTA_CLIENT_SECRET", SECRET)
    with pytest.raises(ConfigurationError) as caught:
        find_credentials("mine", None)
    assert str(caught.value) == (
        "client_id='mine' was passed, but MONTA_CLIENT_SECRET belongs to MONTA_CLIENT_ID='theirs': "
        "pass client_secret= too, or leave client_id= out"
    )
    monkeypatch.setenv("MONTA_CLIENT_SECRET", "")
    with pytest.raises(ConfigurationError, match=r"^no client_secret"):
        find_credentials("mine", None)


def test_a_secret_that_is_not_text_is_refused_without_being_shown() -> None:
    """Environment variables with bytes that are not UTF-8 arrive like this."""
    with pytest.raises(ConfigurationError) as caught:
        Credentials("id", "s3cr\udce9t")
    assert "s3cr" not in str(caught.value)
    assert caught.value.__cause__ is None
