"""A local Monta to test your own code against: no account, no network, no waiting.

It speaks both dialects of the API (public and partner), keeps real token state, and misbehaves when
it is told to. It is an emulator built from public documents and observations, not one of Monta's
own environments: what is unknown about Monta is marked so in the docstrings.

    >>> from monta_auth.emulator import Emulator
    >>> import requests
    >>> with Emulator() as monta:
    ...     reply = requests.post(
    ...         monta.base_url + "/auth/token",
    ...         json={"clientId": monta.client_id, "clientSecret": monta.client_secret},
    ...     )
    >>> reply.status_code
    200
"""

from importlib import import_module as _import_module

for _name in ("starlette", "uvicorn"):
    try:
        _import_module(_name)
    except ImportError as _error:
        raise ImportError(
            "monta_auth.emulator needs starlette and uvicorn: pip install 'monta-auth[emulator]'"
        ) from _error

from ._emulator import Emulator  # noqa: E402
from ._state import Call, Fault  # noqa: E402

__all__ = ["Call", "Emulator", "Fault"]
