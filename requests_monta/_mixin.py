"""`MontaAuthMixin` for classes that are a ``requests.Session``."""

from __future__ import annotations

import requests

from monta_auth._adapters.mixin import Mixin

from ._auth import MontaAuth


class MontaAuthMixin(Mixin):
    """Monta auth for a class that is a ``requests.Session``; stands before it.

        class Sdk(MontaAuthMixin, requests.Session): ...

    Once the session is made, its ``auth`` is a `MontaAuth` whose token calls go through that very
    session: its proxies, its CA, its adapters.

    Args:
        monta_auth: the arguments of `MontaAuth` but ``session``, by name; default: none, so that
            they come from the environment. All other arguments are the session's own.

    Raises:
        ConfigurationError: as `MontaAuth`.
        TypeError: the class is no session, or the mix-in stands behind it.
    """

    _clients = (requests.Session,)
    _monta_auth = MontaAuth
    _monta_argument = "session"
