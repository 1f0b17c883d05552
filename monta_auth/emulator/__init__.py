"""Test your code against a local Monta: no account, no network, no waiting.

It emulates the Public API and the Partner API, with faults when you ask for them. It is built from
public documents and observations, not by Monta. Docstrings mark what is unknown about Monta.

    >>> from monta_auth.emulator import Emulator
    >>> import requests
    >>> with Emulator() as monta:
    ...     credentials = {"clientId": monta.client_id, "clientSecret": monta.client_secret}
    ...     reply = requests.post(f"{monta.base_url}/auth/token", json=credentials)
    >>> reply.status_code
    200
"""

from importlib import import_module as _import_module

for _name in ("starlette", "uvicorn"):
    try:
        _import_module(_name)
    except ImportError as _error:
        _text = (
            "monta_auth.emulator needs starlette and uvicorn: pip install 'monta-auth[emulator]'"
        )
        raise ImportError(_text) from _error

from ._emulator import Emulator  # noqa: E402
from ._state import Call, Fault  # noqa: E402

__all__ = ["Call", "Emulator", "Fault"]
