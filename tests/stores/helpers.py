"""What the tests of each store do with it, and with requests that use it."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import requests

from monta_auth.emulator import Emulator
from requests_monta import MontaAuth

from .contract import make_pair


def put(store: Any, serial: int, **changes: Any) -> None:
    lease = store.try_lock(8.0)
    store.save(make_pair(serial).__replace__(**changes), lease)
    lease.release()


def held(store: Any) -> str | None:
    pair = store.load()
    return None if pair is None else pair.access_token


def get(auth: MontaAuth, monta: Emulator) -> int:
    return requests.get(monta.base_url + "/auth/me", auth=auth, timeout=10).status_code


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
