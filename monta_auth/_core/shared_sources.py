"""The sources that this process shares.

``requests.get(url, auth=MontaAuth(...))`` in a loop makes a new auth object each time, and all of
them must use one token pair. A source lives as long as its auth objects. `KEPT` live longer: those
whose tokens live longest and, among equals, those used last.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict

from .credentials import find_credentials
from .origins import clean_base_url, forget_warnings
from .policy import RefreshPolicy
from .secret import hidden
from .source import Source

#: Number of sources that are kept, of about 4.5 kB each. Beyond it, those whose tokens expire first
#: are dropped.
KEPT = 1000

_Key = tuple[str, str, str, RefreshPolicy]

_mutex = threading.RLock()
_alive: weakref.WeakValueDictionary[_Key, Source] = weakref.WeakValueDictionary()
_recent: OrderedDict[_Key, Source] = OrderedDict()


def shared_source(
    client_id: str | None = None,
    client_secret: str | None = None,
    *,
    base_url: str | None = None,
    policy: RefreshPolicy | None = None,
) -> Source:
    """Return the only source of this process for these settings.

    Raises:
        ConfigurationError: as for `Source`.
    """
    client_secret = hidden(client_secret)
    credentials = find_credentials(client_id, client_secret)
    is_sound = policy is None or isinstance(policy, RefreshPolicy)
    if credentials is None or credentials.literal_secret is None or not is_sound:
        # There is nothing to share, or `Source` reports what is wrong.
        return Source(client_id, client_secret, base_url=base_url, policy=policy)
    key = (
        clean_base_url(base_url),
        credentials.client_id,
        credentials.digest(credentials.literal_secret),
        policy if policy is not None else RefreshPolicy(),
    )
    with _mutex:
        source = _alive.get(key)
        if source is None:
            source = Source(client_id, client_secret, base_url=base_url, policy=policy)
            _alive[key] = source
        _recent[key] = source
        _recent.move_to_end(key)
        while len(_recent) > KEPT:
            del _recent[min((k for k in _recent if k != key), key=_end_of_life)]
        return source


def _end_of_life(key: _Key) -> float:
    return _recent[key].lives_until()


def forget_shared_sources() -> None:
    """Empty the registry, so that new auth objects share nothing with earlier ones."""
    with _mutex:
        _alive.clear()
        _recent.clear()
    forget_warnings()


def _after_fork_in_child() -> None:
    global _mutex
    _mutex = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
