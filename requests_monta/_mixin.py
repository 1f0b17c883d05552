"""`MontaAuthMixin` for classes that are a ``requests.Session``."""

from __future__ import annotations

import requests

from monta_auth._adapters.mixin import Mixin

from ._auth import MontaAuth


class MontaAuthMixin(Mixin):
    """Add Monta auth to a class that is a ``requests.Session``. List the mix-in first::

        class Sdk(MontaAuthMixin, requests.Session): ...

    It sets the session's ``auth`` to a `MontaAuth` that makes its token calls with the same
    session: same proxies, CA and adapters.

    Args:
        monta_auth: a dict with the arguments of `MontaAuth`, except ``session``. Default: they
            come from the environment. All other arguments go to the session.

    Raises:
        ConfigurationError: as for `MontaAuth`.
        TypeError: the class is not a session, or the mix-in is not listed before it.
    """

    _clients = (requests.Session,)
    _monta_auth = MontaAuth
    _monta_argument = "session"
    _has_base_url = False
