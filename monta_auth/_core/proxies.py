"""Plain http to this machine, and the proxies of the environment.

Such requests are not encrypted, so a proxy could read the token and the secret. A proxy that the
user set for a client is the user's decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from .errors import ConfigurationError

Address = tuple[str | None, int | None]


def environment_proxy() -> Address | None:
    """Return host and port of the environment's proxy for plain http."""
    from urllib.request import getproxies

    proxies = getproxies()
    proxy = (proxies.get("http") or proxies.get("all") or "").strip()
    if not proxy:
        return None
    split = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    try:
        return split.hostname, split.port or {"http": 80, "https": 443}.get(split.scheme)
    except ValueError:
        return split.hostname, None  # no library can use it


def environment_carries(url: str) -> bool:
    """Return whether clients that follow the environment send this plain http URL to a proxy.

    The libraries read NO_PROXY differently. This accepts only what all of them understand.
    """
    from urllib.request import getproxies

    names = [name.strip() for name in getproxies().get("no", "").lower().split(",")]
    is_exempt = names == ["*"] or urlsplit(url).hostname in names
    return not is_exempt and environment_proxy() is not None


def keep_here(urls: Iterable[str], carries: Callable[[str], bool], hint: str = "") -> None:
    """Raise if a proxy of the environment would carry plain http off this machine.

    Args:
        urls: the allowed origins with plain http.
        carries: returns whether a proxy would carry requests to an origin.
        hint: advice for clients that ignore the environment.
    """
    for url in urls:
        if carries(url):
            raise carried_away(url, hint)


def carried_away(url: str, hint: str = "") -> ConfigurationError:
    """Return the error for an origin that would be reached through a proxy of the environment."""
    names = dict.fromkeys(("localhost", "127.0.0.1", urlsplit(url).hostname or ""))
    return ConfigurationError(
        f"a proxy of the environment would carry requests to {url}, and could read the token and "
        f"the secret: set NO_PROXY={','.join(names)}{hint}"
    )
