"""Texts for token calls without a response: host, reason, and what to set."""

from __future__ import annotations

import os
import re
import socket
import ssl
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlsplit

from .._core.errors import is_of_caller
from .._core.replies import safe_text

#: Which client or session makes a token call: one with the library's defaults, the one that sends
#: the user's request ("carrier"), or the one that the user passed for token calls.
Maker = Literal["defaults", "carrier", "given"]

# Numbers of OpenSSL's x509_vfy.h.
_NOT_YET_VALID, _EXPIRED = 9, 10
_OTHER_HOST = (62, 64)
_UNKNOWN_ISSUER = (2, 18, 19, 20, 21)

_LATE = {
    "connect": "no connection",
    "read": "no response",
    "write": "the request could not be sent",
    "pool": "no connection of the pool was free",
}


def call_failed(url: str, words: str, error: BaseException | None = None) -> str:
    """Return the text of a failed token call to this URL, for this reason.

    Args:
        error: shows whether a proxy was in use, which may be the cause.
    """
    through = " through a proxy" if error is not None and went_by_proxy(error) else ""
    host = urlsplit(url).netloc.rpartition("@")[2]
    return f"the token call to {host}{through} failed: {words}"


def too_late(what: str, seconds: float) -> str:
    """Return the reason for a timeout. The libraries' own texts say less or nothing."""
    return f"{_LATE[what]} within {round(seconds, 2):g} s"


def settings_hint(argument: Literal["session", "client"], maker: Maker, *, tls: bool) -> str:
    """Return advice for an error's text: which argument applies the user's settings.

    Args:
        tls: whether TLS or a proxy failed, not the connection itself. The client that sends the
            request has the right proxy and certificates at least for that request.
    """
    if maker == "given" or (maker == "carrier" and not tls):
        return ""
    return f"; MontaAuth({argument}=...) makes the token calls with your {argument}'s proxy and TLS"


def certificate_reason(error: BaseException, url: str, ca: str) -> str | None:
    """Return why a certificate was not accepted and what to do.

    Args:
        url: the URL of the call.
        ca: the setting of the library for the file of a CA.

    Returns:
        None if the error is not about a certificate.
    """
    found = [
        (getattr(each, "verify_code", 0), each)
        for each in linked(error)
        if isinstance(each, ssl.SSLCertVerificationError)
    ]
    if not found:
        return None
    # One error of aiohttp has the same class, but not OpenSSL's text.
    code, said = next((each for each in found if each[0]), found[0])
    message = getattr(said, "verify_message", None)
    host = urlsplit(url).hostname
    whose = f"{host}, or of the proxy before it," if went_by_proxy(error) else host
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    if code == _NOT_YET_VALID:
        return (
            f"the certificate of {whose} is not yet valid by the clock of this machine ({now}): "
            "check the clock"
        )
    if code == _EXPIRED:
        return (
            f"the certificate of {whose} has expired by the clock of this machine ({now}): check "
            "the clock; if it is right, the server needs a new certificate"
        )
    if code in _OTHER_HOST:
        # OpenSSL names what it compared. A call may expect another name than that in its URL.
        wanted = re.search(r"'(.+)'", message or "")
        return (
            f"the certificate that was shown is not for {wanted[1] if wanted else host}, but for "
            "another host: check the host of the base URL, and whether a proxy or a login page of "
            "the network answers in its place"
        )
    if code in _UNKNOWN_ISSUER:
        return (
            f"the certificate of {whose} has an issuer that is unknown here: if a proxy opens TLS, "
            f"or the server uses your company's CA, name the file of that CA in {ca}"
        )
    words = safe_text(message, ()) or "no reason was given"
    return (
        f"the certificate of {whose} was not accepted ({words}): see who issued it, and check the "
        f"file of CAs in {ca}"
    )


def reason(error: BaseException, secrets: tuple[str, ...]) -> str:
    """Return the error text of the system or OpenSSL, else that of the library.

    A library's text can be empty, hide the system's error number or consist of wrappers. User and
    password of a URL are removed.
    """
    found = list(linked(error))
    texts = [_of_system(each) for each in found] + [_of_library(each) for each in found]
    for text in texts:
        words = re.sub(r"\S*@", "", safe_text(text, secrets, 10_000) or "").strip()
        if words:
            return words[:300]
    return type(error).__qualname__


def is_about_tls(error: BaseException) -> bool:
    """Return whether OpenSSL failed, even if a library or transport wrapped the error."""
    return any(isinstance(e, ssl.SSLError) or "[SSL: " in str(e) for e in linked(error))


def went_by_proxy(error: BaseException) -> bool:
    """Return whether a proxy was in use, as far as the error shows it."""
    for each in linked(error):
        # A pool of urllib3 knows its proxy.
        if "Proxy" in type(each).__name__ or getattr(vars(each).get("pool"), "proxy", None):
            return True
        for frame, _ in traceback.walk_tb(each.__traceback__):
            # `httpcore._sync.http_proxy`, `urllib3.contrib.socks`, `_create_proxy_connection`.
            place = f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}"
            is_librarys = place.startswith(("httpx", "httpcore", "urllib3", "aiohttp"))
            if is_librarys and ("proxy" in place or "socks" in place):
                return True
    return False


def _of_system(error: BaseException) -> str:
    is_of_system = type(error).__module__ in ("builtins", "socket", "ssl")
    if not is_of_system or not isinstance(error, OSError) or not error.errno:
        return ""
    if not isinstance(error, ssl.SSLError | socket.gaierror):
        # Event loops replace the reason with the address.
        words = os.strerror(error.errno)
        if "Unknown" not in words:
            return f"[Errno {error.errno}] {words}"
    return str(error)


def _of_library(error: BaseException) -> str:
    name = type(error).__name__
    if name.startswith("InvalidU") or name == "LocationParseError":
        # Our own URLs are valid. Its text may quote a part of a proxy's password.
        return f"the URL of a proxy is not valid ({name})"
    wrapped = (getattr(error, "reason", None), *error.args)
    if hasattr(error, "exceptions") or any(isinstance(each, BaseException) for each in wrapped):
        return ""  # The wrapped error is among the linked ones, without the wrapper.
    text: str = getattr(error, "strerror", None) or str(error)
    if name == "BadStatusLine":
        return f"{name}: {text}"  # The text alone is only what the server sent.
    return text.removeprefix(f"{vars(error).get('pool')}: ")


def linked(error: BaseException) -> Iterator[BaseException]:
    """Yield an error with all its causes and wrapped errors, the nearest first."""
    found: list[object] = [error]
    for each in found:
        if not isinstance(each, BaseException):
            continue
        if each is not error and is_of_caller(each):
            continue
        if not isinstance(each, ssl.SSLWantReadError):  # Every handshake over memory has it.
            yield each
        # urllib3 wraps errors without raising them from each other.
        more = [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
        more += getattr(each, "exceptions", ())
        found += [other for other in more if not any(other is known for known in found)]
