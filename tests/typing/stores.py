"""User code with our stores and with custom stores, right and wrong; see `api`."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import pytest
import redis
import redis.asyncio

from monta_auth import TokenSource, stores
from monta_auth.stores import FileStore, Lease, MemoryStore, RedisStore, Store
from monta_auth.stores.testing import StoreContract


def choose_a_store(directory: Path) -> None:
    for store in (
        MemoryStore(),
        MemoryStore(monotonic=lambda: 0.0),
        FileStore(),
        FileStore("~/tokens"),
        FileStore(directory),
        RedisStore("rediss://cache.example"),
        RedisStore("redis://cache.example", allow_plaintext=True, prefix="mine"),
        RedisStore(redis.Redis(socket_timeout=0.5)),
        RedisStore(redis.asyncio.Redis(socket_timeout=0.5)),
    ):
        TokenSource("id", "secret", store=store)
    MemoryStore(60)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]
    FileStore(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    FileStore("~/tokens", mode=0o600)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    stores.SqlStore()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    RedisStore()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    RedisStore("rediss://cache.example", ttl=60)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def store_a_record() -> None:
    store = MemoryStore()
    assert_type(store.load("name"), bytes | None)
    lease = store.try_lock("name", 6.0)
    if lease is not None:
        assert_type(store.save("name", b"record", lease), None)
        assert_type(lease.doubt, bool)
        assert_type(lease.extend(6.0), bool)
        assert_type(lease.release(), None)
    store.load()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    store.save("name", "record", lease)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(store.check(), None)
    assert_type(FileStore().check(), None)


class Row:
    """A lease."""

    def __init__(self) -> None:
        self.doubt = False

    def extend(self, seconds: float) -> bool:
        return True

    def release(self) -> None: ...


class Table:
    """A store with plain functions."""

    def load(self, name: str) -> bytes | None: ...

    def try_lock(self, name: str, seconds: float) -> Row | None: ...

    def save(self, name: str, record: bytes | None, lease: Lease) -> None: ...


class View(Table):
    """A store that checks itself whether a lease is one of its own."""

    def save(self, name: str, record: bytes | None, lease: object) -> None: ...


class AsyncRow:
    @property
    def doubt(self) -> bool:
        return True

    async def extend(self, seconds: float) -> bool:
        return True

    async def release(self) -> None: ...


class AsyncTable:
    """A store with coroutine functions."""

    async def load(self, name: str) -> bytes | None: ...

    async def try_lock(self, name: str, seconds: float) -> AsyncRow | None: ...

    async def save(self, name: str, record: bytes | None, lease: Lease) -> None: ...


class LoadsText(Table):
    def load(self, name: str) -> str | None: ...  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]


class SavesWithItsOwnLeases(Table):
    def save(self, name: str, record: bytes | None, lease: Row) -> None: ...  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]


class NeverDeletes(Table):
    def save(self, name: str, record: bytes, lease: Lease) -> None: ...  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]


class NeverSaves:
    def load(self, name: str) -> bytes | None: ...

    def try_lock(self, name: str, seconds: float) -> Row | None: ...


class OldRow:
    """A lease from the time when leases could not be extended."""

    def release(self) -> None: ...


class LeasesOldRows(NeverSaves):
    def try_lock(self, name: str, seconds: float) -> OldRow | None: ...  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]

    def save(self, name: str, record: bytes | None, lease: Lease) -> None: ...


def use_a_custom_store() -> None:
    custom: tuple[Store, ...] = (Table(), View(), AsyncTable(), MemoryStore())
    for store in custom:
        TokenSource("id", "secret", store=store)
    TokenSource(store="tokens.json")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TokenSource(store=FileStore)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TokenSource(store=LoadsText())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TokenSource(store=SavesWithItsOwnLeases())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TokenSource(store=NeverDeletes())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TokenSource(store=NeverSaves())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TokenSource(store=LeasesOldRows())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class TestTable(StoreContract):
    """The tests of a custom store."""

    lease_seconds = 1.0

    @pytest.fixture
    def store(self) -> Store:
        return Table()

    @pytest.fixture
    def other(self, store: Store) -> Store:
        return store

    def pass_time(self, seconds: float) -> None: ...
