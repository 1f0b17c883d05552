"""Whether a requests session or an httpx client uses a proxy of the environment."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from .._core.proxies import environment_carries, environment_proxy


def session_carries_away(session: Any, url: str) -> bool:
    """Return whether this session of requests uses a proxy of the environment for the URL."""
    found = session.merge_environment_settings(url, {}, False, None, None)["proxies"]
    return _choose(found, url) != _choose(session.proxies, url)


def _choose(proxies: dict[str, str], url: str) -> str | None:
    """Return the proxy that requests chooses for a plain http URL."""
    host = urlsplit(url).hostname
    names = (f"http://{host}", "http", f"all://{host}", "all")
    return next((proxies[name] for name in names if name in proxies), None)


def client_carries_away(client: Any, url: str) -> bool:
    """Return whether this client of httpx or httpx2 uses a proxy of the environment for the URL.

    None stands for an unknown client. A client reads the environment when it is made. Its own proxy
    or mount has another address.
    """
    if client is None:
        return environment_carries(url)
    transport = client._transport_for_url(client.build_request("GET", url).url)
    proxy = getattr(getattr(transport, "_pool", None), "_proxy_url", None)
    if proxy is None or not client.trust_env:
        return False
    port = proxy.port or {b"http": 80, b"https": 443}.get(proxy.scheme)
    return environment_proxy() == (proxy.host.decode(), port)
