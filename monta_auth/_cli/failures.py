"""Turn errors into a sentence and an exit status (documented in docs/guides/command-line.rst)."""

from __future__ import annotations

import re

from .. import (
    ConfigurationError,
    InvalidCredentialsError,
    InvalidTokenResponseError,
    MontaAuthError,
    RateLimitError,
    TokenStoreError,
)
from .._adapters.reasons import certificate_reason, reason
from .._core.errors import TransportFailure
from .._core.token_calls import TRY_LATER
from ..stores._files import EXAMPLE

FAILED, USAGE, CREDENTIALS, RATE_LIMIT, NETWORK = 1, 2, 3, 4, 5

#: The library's advice for Python code, and the same advice for a shell.
_AT_A_SHELL = {
    f" (is HOME set?): name the directory, {EXAMPLE}": ": set HOME or XDG_STATE_HOME",
    f", {EXAMPLE}": " with XDG_STATE_HOME",
    "rediss:// (ssl=True), or allow_plaintext=True": "rediss://, or --allow-plaintext",
    "Use ssl_cert_reqs='required' and ssl_check_hostname=True, or allow_plaintext=True": (
        "Leave ssl_cert_reqs and ssl_check_hostname out of the URL, or use --allow-plaintext"
    ),
}
_REFUSED_BY_PROXY = re.compile(r"Tunnel connection failed: (\d{3} [\w -]+)")
LOGIN_PAGE = "and that no login page of the network answers instead"
#: How advice begins that is only useful in Python.
_FOR_PYTHON = ("; MontaAuth(", ", or give a client these: ")


class Failed(Exception):
    """Ends a command with an error.

    Args:
        text: what is wrong.
        advice: what to do.
        exit_code: the exit status of the command.
    """

    def __init__(self, text: str, advice: str = "", exit_code: int = FAILED) -> None:
        super().__init__(f"{text}: {advice}" if advice else text)
        self.text = text
        self.advice = advice
        self.exit_code = exit_code


def at_a_shell(text: str) -> str:
    """Return a text of the library, with advice for a shell instead of Python code."""
    for python, shell in _AT_A_SHELL.items():
        text = text.replace(python, shell)
    for end in _FOR_PYTHON:
        text = text.partition(end)[0]
    return text


def as_failure(error: Exception) -> Failed | None:
    """Return the failure to show for this error, or None if the error is unknown."""
    if isinstance(error, Failed):
        return error
    if isinstance(error, MontaAuthError):
        return _ours(error)
    import requests

    if isinstance(error, TransportFailure):
        return _of_the_network(error.library_class or requests.ConnectionError, str(error))
    if isinstance(error, requests.RequestException):
        url = str(getattr(error.request, "url", ""))
        words = str(error)  # our text, if this was a token call
        if not words.startswith("the token call "):
            words = certificate_reason(error, url, "REQUESTS_CA_BUNDLE") or reason(error, ())
        return _of_the_network(type(error), words)
    if isinstance(error, OSError) and "TLS CA certificate bundle" in str(error):
        return _of_the_network(requests.ConnectionError, str(error))
    return None


def _ours(error: MontaAuthError) -> Failed:
    text = at_a_shell(str(error))
    if isinstance(error, InvalidCredentialsError):
        advice = "compare them with Monta's portal, and check that the base URL is for the same API"
        return Failed(text, advice, CREDENTIALS)
    if isinstance(error, RateLimitError):
        return Failed(text, "" if error.retry_after else "try again in a minute", RATE_LIMIT)
    if isinstance(error, ConfigurationError):
        return Failed(text, exit_code=USAGE)
    if isinstance(error, TokenStoreError):
        return Failed(text)
    if error.retry_after:
        return Failed(text)  # the text says how many seconds to wait
    if isinstance(error, InvalidTokenResponseError):
        return Failed(text, f"check that the base URL is for the API, {LOGIN_PAGE}")
    if error.retryable:
        return Failed(text.replace(TRY_LATER, ""), "try again later")
    if error.status in (400, 403):
        advice = "read Monta's message; if it does not help, give the request-id to Monta's support"
        return Failed(text, advice)
    return Failed(text, "check the base URL")


def _of_the_network(kind: type[Exception], words: str) -> Failed:
    """Return our text for this class of error, because texts of requests are for programmers."""
    from requests import exceptions

    words = at_a_shell(re.sub(r"^the token call to .+? failed: ", "", words))
    is_proxy = issubclass(kind, exceptions.ProxyError)
    if words.startswith("the certificate ") and (is_proxy or issubclass(kind, exceptions.SSLError)):
        text, _, advice = words.removesuffix(" or session.verify").partition(": ")
        if is_proxy:  # The certificate is the proxy's: the connection never reached the API.
            whose = r"of (?!the proxy)[^ ,]+(, or of the proxy before it,)?|that was shown"
            text = re.sub(whose, "of the proxy", text, count=1)
            advice = advice.replace("the base URL", "HTTPS_PROXY")
    elif is_proxy and (refusal := _REFUSED_BY_PROXY.search(words)) is not None:
        text = f"the proxy refuses the connection (HTTP {refusal[1]})"
        advice = "ask who runs the proxy, or name the API's host in NO_PROXY"
        if refusal[1].startswith("407"):
            advice = "write HTTPS_PROXY=http://user:password@host:port, and percent-encode both"
    elif is_proxy:
        text = "the proxy cannot be reached, or closes the connection"
        advice = "correct HTTPS_PROXY, or name the API's host in NO_PROXY"
    elif issubclass(kind, exceptions.SSLError):
        text = "something that does not speak TLS answers instead of the API"
        advice = "check the host and the port of the base URL, and the proxy"
    elif issubclass(kind, exceptions.Timeout):
        text = "the API did not answer in time"
        advice = "try again, and check the network, the firewall and the proxy"
    elif "TLS CA certificate bundle" in words:
        text = f"there is no file of CAs at {words.rpartition(': ')[2]}"
        advice = "correct REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE"
    else:
        text = f"the connection to the API failed ({words.removesuffix('.')})"
        advice = "check the base URL, the network, the firewall and the proxy"
    return Failed(text, advice, NETWORK)
