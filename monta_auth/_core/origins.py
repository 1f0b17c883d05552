"""Which URLs are allowed to receive the token.

An origin is scheme, host and port. Plain http is accepted for loopback only, because anyone on the
network could read the token.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import re
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

from .errors import ConfigurationError

logger = logging.getLogger("monta_auth")

#: Monta's API for the owner of an account (API reference, "Authentication").
PUBLIC_API = "https://public-api.monta.com/api/v1"
#: Monta's API for operators (Partner API documentation).
PARTNER_API = "https://partner-api.monta.com/api/v1"
#: Monta's sandbox of the Partner API; needs separate credentials (Partner API documentation).
PARTNER_SANDBOX_API = "https://partner-api.sandbox.monta.com/api/v1"

_DEFAULT_PORTS = {"https": 443, "http": 80}
_WARNED_AT_MOST = 64
#: Names and addresses that all libraries read the same way. With others (that contain "%", "\\"
#: or non-ASCII letters), they connect to different hosts.
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")

Origin = tuple[str, str, int]


def clean_base_url(value: str | None) -> str:
    """Return the base URL without a trailing slash: the argument, else ``MONTA_BASE_URL``.

    Without either, return `PUBLIC_API`.

    Raises:
        ConfigurationError: it is not an absolute http(s) URL, is http to a host that is not
            loopback, or has a user, query or fragment.
    """
    name = "base_url"
    if value is None:
        value = os.environ.get("MONTA_BASE_URL")
        name = "MONTA_BASE_URL"
        if not value:
            return PUBLIC_API
    split = _split(value, name)
    if "?" in value or "#" in value or "@" in split.netloc:
        raise ConfigurationError(
            f"{name} must not have a user, a query or a fragment; it should look like {PUBLIC_API}"
        )
    scheme, host, port = _checked_origin(split, name)
    if name == "MONTA_BASE_URL":
        _warn_about_base_url(host)
    if split.path.rstrip("/").endswith(("/auth/token", "/auth/refresh")):
        raise ConfigurationError(f"{name} is the URL of an auth endpoint: end it before /auth")
    netloc = _host(host) if port == _DEFAULT_PORTS[scheme] else f"{_host(host)}:{port}"
    url = f"{scheme}://{netloc}{split.path.rstrip('/')}"
    # People copy Monta's hosts without a path.
    whole = f"{url}/api/v1"
    return whole if whole in (PUBLIC_API, PARTNER_API, PARTNER_SANDBOX_API) else url


class Origins:
    """The allowed origins: those of `base_url` and of `allowed`.

    Attributes:
        urls: the URLs of `allowed`, as given.
        is_plain_http: whether `base_url` is plain http.
        plain_http: the allowed origins with plain http. All of them are on this machine.
    """

    def __init__(self, base_url: str, allowed: Iterable[str] = ()) -> None:
        if isinstance(allowed, str) or not isinstance(allowed, Iterable):
            kind = "a single string" if isinstance(allowed, str) else type(allowed).__name__
            raise ConfigurationError(f"allowed_origins takes a list of URLs, not {kind}")
        self.urls = tuple(allowed)
        split = urlsplit(base_url)
        self._inside, self._auth = base_url + "/", base_url + "/auth/"
        self._endpoints = {split.path + "/auth/" + name: name for name in ("token", "refresh")}
        self._base = _checked_origin(split, "base_url")
        self._allowed = {self._base}
        self._allowed.update(
            _checked_origin(_split(url, "allowed_origins"), "allowed_origins") for url in self.urls
        )
        self.is_plain_http = self._base[0] == "http"
        plain = (_name(origin) for origin in self._allowed if origin[0] == "http")
        self.plain_http = tuple(sorted(plain))

    def allows(self, url: str) -> bool:
        """Return whether this absolute URL is allowed to receive the token.

        The auth endpoints are not, because they take credentials instead of an access token.
        """
        # A fast path without parsing, for nearly every request.
        if url.startswith(self._inside) and not url.startswith(self._auth):
            return True
        return _origin_of(url) in self._allowed and self.auth_endpoint(url) is None

    def auth_endpoint(self, url: str) -> str | None:
        """Return "token" or "refresh" if this URL is that auth endpoint, else None.

        Credentials are sent only to these two.
        """
        is_ours = _origin_of(url) == self._base
        return self._endpoints.get(urlsplit(url).path) if is_ours else None

    def warn_about(self, url: str) -> None:
        """Log that a foreign origin gets no token, once per process and origin."""
        if ":" not in url.partition("?")[0]:
            return  # Without a scheme, the library raises an error.
        origin = _origin_of(url)
        if origin in self._allowed or (self._base, origin) in _warned:
            return
        if len(_warned) > _WARNED_AT_MOST:
            return
        _warned.add((self._base, origin))
        if len(_warned) > _WARNED_AT_MOST:
            logger.warning(
                "requests to more than %d foreign origins went out without the Monta token; "
                "further ones are not reported",
                _WARNED_AT_MOST,
            )
            return
        logger.warning(
            "a request to %s goes out without the Monta token, which is for %s. If the request is "
            "for the API, pass that URL as base_url=; if it is for another host that may receive "
            "the token, name that in allowed_origins=",
            origin if isinstance(origin, str) else _name(origin),
            _name(self._base),
        )


_warned: set[tuple[Origin, Origin | str]] = set()
_warned_base_urls: set[str] = set()


def bare(url: str) -> str:
    """Return a URL that is safe to log: without user, query and fragment."""
    split = urlsplit(url)
    return f"{split.scheme}://{split.netloc.rpartition('@')[2]}{split.path}"


def forget_warnings() -> None:
    _warned.clear()
    _warned_base_urls.clear()


def _warn_about_base_url(host: str) -> None:
    """Log that the environment sends secrets to a host, once per process and host."""
    if host.endswith(".monta.com") or _is_loopback(host) or host in _warned_base_urls:
        return
    _warned_base_urls.add(host)
    logger.warning(
        "MONTA_BASE_URL sends the client secret and the tokens to %s, which is not a host of "
        "Monta; if that is right, pass base_url= instead",
        host,
    )


def _split(url: str, name: str) -> SplitResult:
    if not isinstance(url, str):
        raise ConfigurationError(f"{name} takes a string, not {type(url).__name__}: use str()")
    if url != url.strip() or not url.isprintable() or " " in url:
        raise ConfigurationError(f"{name} must be a URL without white space")
    try:
        split = urlsplit(url)
        split.port  # noqa: B018 - raises if the port is not a number
    except ValueError:
        raise ConfigurationError(f"{name} is not a URL; expected one like {PUBLIC_API}") from None
    if split.scheme.lower() not in _DEFAULT_PORTS or not split.hostname:
        raise ConfigurationError(
            f"{name} must start with https:// and a host; expected one like {PUBLIC_API}"
        )
    if not _HOST.fullmatch(split.hostname) or "\\" in split.netloc:
        raise ConfigurationError(
            f"{name} has an unusual host name; write an international one in its xn-- form"
        )
    return split


def _checked_origin(split: SplitResult, name: str) -> Origin:
    scheme, host, _ = origin = _origin(split)
    if scheme == "http" and not _is_loopback(host):
        raise ConfigurationError(
            f"{name} must be https: over http://{host} the token and the secret could be read on "
            "the way; plain http is for localhost only"
        )
    return origin


def _origin_of(url: str) -> Origin | str:
    """Return the origin of a URL, or a text if the URL cannot be read."""
    try:
        split = urlsplit(url)
        is_http = split.scheme.lower() in _DEFAULT_PORTS
        is_plain = url.isprintable() and "\\" not in split.netloc
        if is_http and is_plain and _HOST.fullmatch(split.hostname or ""):
            return _origin(split)
    except ValueError:
        pass
    return "an unreadable URL"


def _origin(split: SplitResult) -> Origin:
    scheme = split.scheme.lower()
    port = split.port
    return scheme, split.hostname or "", _DEFAULT_PORTS[scheme] if port is None else port


def _name(origin: Origin) -> str:
    scheme, host, port = origin
    return f"{scheme}://{_host(host)}:{port}"


def _host(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
