"""`MontaAuthMixin` for classes that are a client of httpx2."""

from __future__ import annotations

import httpx2

from monta_auth._adapters.mixin import Mixin

from ._auth import MontaAuth


class MontaAuthMixin(Mixin):
    """Add Monta auth to a ``httpx2.Client`` or ``AsyncClient`` class. List the mix-in first::

        class Sdk(MontaAuthMixin, httpx2.AsyncClient): ...

    It sets the client's ``auth`` to a `MontaAuth` that makes its token calls with the same client.

    Args:
        monta_auth: a dict with the arguments of `MontaAuth`, except ``client``. Default: they come
            from the environment. All other arguments go to the client. If ``auth=`` is one of
            them, no `MontaAuth` is made. ``base_url=`` sets where the client's paths begin; it
            does not reach `MontaAuth`. Default: the base URL of the `MontaAuth`.

    Raises:
        ConfigurationError: as for `MontaAuth`, or if both ``auth=`` and ``monta_auth=`` are given.
        TypeError: the class is not a client, or the mix-in is not listed before it.
    """

    _clients = (httpx2.Client, httpx2.AsyncClient)
    _monta_auth = MontaAuth
    _monta_argument = "client"
    _has_base_url = True
