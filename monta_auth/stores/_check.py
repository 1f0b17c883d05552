"""What `check` of each store does: everything that a renewal does, under a name of its own."""

from __future__ import annotations

import secrets
from collections.abc import Generator
from typing import Any

from .._core.errors import TokenStoreError
from .._core.policy import STORE_LEASE


def check(store: Any) -> str:
    """Go through all methods of a store whose methods are plain functions; return the name used.

    Raises:
        TokenStoreError: what the store raises, or that it lost a record or a lease.
    """
    steps = _steps(store)
    result: Any = None
    try:
        while True:
            result = steps.send(result)
    except StopIteration as stop:
        return str(stop.value)


async def acheck(store: Any) -> None:
    """Do the same where the methods are coroutine functions."""
    steps = _steps(store)
    result: Any = None
    try:
        while True:
            result = await steps.send(result)
    except StopIteration:
        return


def _steps(store: Any) -> Generator[Any, Any, str]:
    """Yield what each method returns, and go on with what comes of it."""
    name = f"check-{secrets.token_hex(8)}"
    record = secrets.token_urlsafe(32).encode()
    lease = yield store.try_lock(name, STORE_LEASE)
    _expect(lease is not None, store, "a lease was refused that nobody holds")
    yield store.save(name, record, lease)
    _expect((yield store.load(name)) == record, store, "a record that was saved is not there")
    _expect((yield lease.extend(STORE_LEASE)), store, "a lease was lost at once")
    yield store.save(name, None, lease)
    _expect((yield store.load(name)) is None, store, "a record that was deleted is still there")
    yield lease.release()
    return name


def _expect(right: bool, store: Any, otherwise: str) -> None:
    if not right:
        raise TokenStoreError(
            f"check failed: {otherwise} ({store!r}). Several processes cannot share tokens there"
        )
