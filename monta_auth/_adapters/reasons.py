"""Why a token call found no connection, in words: certificates, and whose settings it used."""

from __future__ import annotations

import re
import ssl
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlsplit

from .._core.replies import safe_text

#: What makes a token call: a client or session with the library's defaults, the one that carries
#: the user's request, or the one that the user gave us for token calls.
Maker = Literal["defaults", "carrier", "given"]

# Numbers of OpenSSL's x509_vfy.h.
_NOT_YET_VALID, _EXPIRED = 9, 10
_OTHER_HOST = (62, 64)
_UNKNOWN_ISSUER = (2, 18, 19, 20, 21)


def settings_hint(argument: Literal["session", "client"], maker: Maker, *, tls: bool) -> str:
    """Return words for the end of an error's text: which argument brings the user's settings.

    Args:
        tls: whether TLS or a proxy failed, not the connection itself. A client that carries the
            request has the right proxy and certificates for that request, if not for this call.
    """
    if maker == "given" or (maker == "carrier" and not tls):
        return ""
    return f"; MontaAuth({argument}=...) makes the token calls with your {argument}'s proxy and TLS"


def certificate_reason(error: BaseException, url: str, ca: str) -> str | None:
    """Return why a certificate was not accepted and, after a colon, what to do about it.

    Args:
        url: of the call.
        ca: where the library is told the file of a CA.

    Returns:
        None if it is no error about a certificate.
    """
    found = [(getattr(e, "verify_code", 0), e) for e in _verification_errors(error)]
    if not found:
        return None
    # An error of aiohttp is of that class as well, without what OpenSSL said.
    code, said = next((each for each in found if each[0]), found[0])
    message = getattr(said, "verify_message", None)
    host = urlsplit(url).hostname
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    if code == _NOT_YET_VALID:
        return (
            f"the certificate of {host} is not yet valid by the clock of this machine ({now}): "
            "check the clock"
        )
    if code == _EXPIRED:
        return (
            f"the certificate of {host} has expired by the clock of this machine ({now}): check "
            "the clock; if it is right, the server needs a new certificate"
        )
    if code in _OTHER_HOST:
        # OpenSSL names what it compared with: a call may ask for another name than its URL has.
        wanted = re.search(r"'(.+)'", message or "")
        return (
            f"the certificate that was shown is not for {wanted[1] if wanted else host}, but for "
            "another host: check the host of the base URL, and whether a proxy or a login page of "
            "the network answers in its place"
        )
    if code in _UNKNOWN_ISSUER:
        return (
            f"the certificate of {host} has an issuer that is unknown here: if a proxy opens TLS, "
            f"or the server uses your company's CA, name the file of that CA in {ca}"
        )
    words = safe_text(message, ()) or "no reason was given"
    return (
        f"the certificate of {host} was not accepted ({words}): see who issued it, and check the "
        f"file of CAs in {ca}"
    )


def _verification_errors(error: BaseException) -> Iterator[ssl.SSLCertVerificationError]:
    """Yield what OpenSSL said, from an error and all that it came from or wraps."""
    callers = {frame for frame, _ in traceback.walk_stack(sys._getframe())}
    linked: list[object] = [error]
    for each in linked:
        if not isinstance(each, BaseException):
            continue
        tb = each.__traceback__
        if each is not error and tb is not None and tb.tb_frame in callers:
            continue  # A caller handles that error since before it made this call.
        if isinstance(each, ssl.SSLCertVerificationError):
            yield each
        # urllib3 wraps errors without raising them from each other.
        more = (each.__cause__, each.__context__, getattr(each, "reason", None), *each.args)
        linked += [other for other in more if not any(other is known for known in linked)]
