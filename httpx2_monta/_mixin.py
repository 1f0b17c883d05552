"""`MontaAuthMixin` for classes that are a client of httpx2."""

from __future__ import annotations

import httpx2

from monta_auth._adapters.mixin import Mixin

from ._auth import MontaAuth


class MontaAuthMixin(Mixin):
    """Monta auth for a class that is a ``httpx2.Client`` or an ``AsyncClient``; stands before it.

        class Sdk(MontaAuthMixin, httpx2.AsyncClient): ...

    Once the client is made, its ``auth`` is a `MontaAuth` whose token calls that very client makes.

    Args:
        monta_auth: the arguments of `MontaAuth` but ``client``, by name; default: none, so that
            they come from the environment. All other arguments are the client's own; with
            ``auth=`` among them, that one is used and no `MontaAuth` is made. Its ``base_url`` is
            where paths begin, and not that of `MontaAuth`.

    Raises:
        ConfigurationError: as `MontaAuth`; or ``auth=`` and ``monta_auth=`` are both there.
        TypeError: the class is no client, or the mix-in stands behind it.
    """

    _clients = (httpx2.Client, httpx2.AsyncClient)
    _monta_auth = MontaAuth
    _monta_argument = "client"
