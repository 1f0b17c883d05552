"""User code with our stores and with stores of its own, right and wrong; see `api`."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import redis
import redis.asyncio

from monta_auth import TokenSet, TokenSource, stores
from monta_auth.stores import (
    Bindable,
    FileStore,
    Lease,
    MemoryStore,
    RedisStore,
    Store,
    dump_record,
    load_record,
    record_key,
)


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
    RedisStore(FileStore())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    RedisStore("rediss://cache.example", ttl=60)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def store_a_pair(pair: TokenSet) -> None:
    store = MemoryStore()
    assert_type(store.load(), TokenSet | None)
    lease = store.try_lock(6.0)
    if lease is not None:
        assert_type(store.save(pair, lease), None)
        assert_type(lease.release(), None)
    places: tuple[Bindable, ...] = (FileStore(), RedisStore("rediss://cache.example"))
    for place in places:
        assert_type(place.bind("https://public-api.monta.com/api/v1", "id"), Store)
    assert_type(record_key("https://public-api.monta.com/api/v1", None), str)
    text = dump_record(pair, "https://public-api.monta.com/api/v1", "id")
    assert_type(text, str)
    assert_type(load_record(text, "https://public-api.monta.com/api/v1", "id"), TokenSet | None)


class Row:
    """A lease."""

    def release(self) -> None: ...


class Table:
    """A store with plain functions."""

    def load(self) -> TokenSet | None: ...

    def try_lock(self, seconds: float) -> Row | None: ...

    def save(self, pair: TokenSet | None, lease: Lease) -> None: ...


class AsyncRow:
    async def release(self) -> None: ...


class AsyncTable:
    """A store with coroutine functions."""

    async def load(self) -> TokenSet | None: ...

    async def try_lock(self, seconds: float) -> AsyncRow | None: ...

    async def save(self, pair: TokenSet | None, lease: Lease) -> None: ...


class Tables:
    """A place for the pairs of many clients."""

    def bind(self, base_url: str, client_id: str | None) -> Table:
        return Table()


class LoadsText(Table):
    def load(self) -> str | None: ...  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]


class NeverSaves:
    def load(self) -> TokenSet | None: ...

    def try_lock(self, seconds: float) -> Row | None: ...


def use_a_store_of_your_own() -> None:
    of_its_own: tuple[Store, ...] = (Table(), AsyncTable(), MemoryStore())
    for store in of_its_own:
        TokenSource("id", "secret", store=store)
    TokenSource("id", "secret", store=Tables())
    TokenSource(store="tokens.json")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TokenSource(store=FileStore)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TokenSource(store=LoadsText())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TokenSource(store=NeverSaves())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
