"""What a log says about a store's error: enough to find the cause, but no quoted secrets."""

from __future__ import annotations

import errno
import json
import socket
import ssl
from functools import wraps

import pytest
import redis
import valkey

from monta_auth import TokenStoreError
from monta_auth._core.errors import LeftBehind
from monta_auth._core.secret import hidden
from monta_auth._core.store_errors import cause_of, checked, line_of, words


def caught(cause: BaseException, error: Exception | None = None) -> Exception:
    """Return the error as it is if it was raised while another one was handled."""
    try:
        try:
            raise cause
        except BaseException:
            if error is not None:
                raise error  # noqa: B904 - libraries do that
            raise
    except Exception as raised:
        return raised


ERRORS = {
    "OSError (ENOSPC)": OSError(errno.ENOSPC, "No space left for token-1"),
    "PermissionError (EACCES)": PermissionError(errno.EACCES, "token-1"),
    "OSError": OSError("token-1"),
    "gaierror (EAI_NONAME)": socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
    "gaierror": socket.gaierror(12345, "token-1"),
    "SSLCertVerificationError (CERTIFICATE_VERIFY_FAILED)": ssl.SSLCertVerificationError(
        1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: token-1"
    ),
    "ConnectionError (ECONNREFUSED)": caught(
        ConnectionRefusedError(errno.ECONNREFUSED, "token-1"),
        redis.ConnectionError("Error 111 connecting to token-1"),
    ),
    "ResponseError (MISCONF)": redis.ResponseError("MISCONF token-1"),
    "ResponseError (OOM)": redis.ResponseError(
        "Error running script (call to f_18): @user_script:9: @user_script: 9: -OOM token-1"
    ),
    "ResponseError (WRONGTYPE)": valkey.ResponseError("@user_script:1: WRONGTYPE token-1"),
    "ResponseError": redis.ResponseError("Misconfigured token-1"),
    "KeyError": KeyError("token-1"),
    "ValueError": ValueError("SECRET1 token-1"),
}


@pytest.mark.parametrize("words", ERRORS)
def test_an_error_is_described_by_its_type_and_its_cause(words: str) -> None:
    if ERRORS[words].__traceback__ is None and "SSL" in words:
        ERRORS[words].reason = "CERTIFICATE_VERIFY_FAILED"  # type: ignore[attr-defined]
    assert cause_of(ERRORS[words]) == words


def broken() -> None:
    socket.inet_pton(socket.AF_INET, str(ssl.SSLContext))


@pytest.mark.parametrize("file", [__file__, "elsewhere.py"])
def test_the_named_line_is_the_last_one_in_the_stores_file(file: str) -> None:
    """A library's line is less helpful.

    Without a line of that file, the last line of all is used.
    """
    with pytest.raises(OSError, match="illegal") as raised:
        broken()
    assert line_of(raised.value, file) == f"{__file__}:{broken.__code__.co_firstlineno + 1}"


def test_without_a_line_of_the_store_the_librarys_line_is_named() -> None:
    with pytest.raises(ValueError, match="Expecting") as raised:
        json.loads("token-1")
    assert line_of(raised.value, __file__).startswith(__file__)
    assert line_of(raised.value, "elsewhere.py").startswith(json.decoder.__file__)


def test_the_text_for_an_abandoned_method_says_how_long_it_was_waited_for() -> None:
    error = LeftBehind("did not return within 8.0 s")
    assert words("load", print, error) == "load() did not return within 8.0 s"


def test_an_error_of_our_code_is_quoted_since_it_says_what_to_do() -> None:
    with pytest.raises(TokenStoreError) as raised:
        checked("extend", None)
    assert words("extend", print, raised.value) == (
        "extend() of the store returned NoneType: expected True or False"
    )


def test_an_error_of_a_custom_store_is_not_quoted() -> None:
    """It may quote the URL of a database."""
    with pytest.raises(TokenStoreError) as raised:
        raise TokenStoreError("postgres://user:password-1@database")
    text = words("save", print, raised.value)
    assert text.startswith(f"save() raised TokenStoreError at {__file__}:")


def test_decorators_do_not_hide_the_line() -> None:
    @wraps(broken)
    def once() -> None:
        broken()

    @wraps(once)
    def twice() -> None:
        once()

    with pytest.raises(OSError, match="illegal") as raised:
        twice()
    line = broken.__code__.co_firstlineno + 1
    assert words("load", twice, raised.value).endswith(f"at {__file__}:{line}")


def test_a_hidden_text_is_called_a_str() -> None:
    with pytest.raises(TokenStoreError, match="returned str: expected bytes, or None"):
        checked("load", hidden("gAAAAA"))
