"""The `check` of all stores: the steps of a renewal, under a name that nothing else uses."""

from __future__ import annotations

import secrets
from collections.abc import Generator
from typing import Any

from .._core.errors import TokenStoreError
from .._core.policy import STORE_LEASE


def check(store: Any) -> str:
    """Call all methods of a store with plain functions; return the name that was used.

    Raises:
        TokenStoreError: the store failed, or it lost a record or a lease.
    """
    steps = _steps(store)
    result: Any = None
    try:
        while True:
            result = steps.send(result)
    except StopIteration as stop:
        return str(stop.value)


async def acheck(store: Any) -> None:
    """Call all methods of a store with coroutine functions."""
    steps = _steps(store)
    result: Any = None
    try:
        while True:
            result = await steps.send(result)
    except StopIteration:
        return


def _steps(store: Any) -> Generator[Any, Any, str]:
    """Yield what each method returns, and receive the result."""
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
