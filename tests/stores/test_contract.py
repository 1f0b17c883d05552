"""The contract, kept by each store of the package."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from monta_auth.stores import FileStore, MemoryStore, RedisStore, record_key

from .contract import ID, LEASE, URL, DoubtContract, ThreadedContract
from .fleet import ASYNC_LIMITS, RedisServer

KEY = f"monta-auth:{{{record_key(URL, ID)}}}:pair"


class TestMemoryStore(ThreadedContract):
    @pytest.fixture(autouse=True)
    def _place(self) -> None:
        self.store = MemoryStore(monotonic=lambda: time.monotonic())

    def make(self) -> Any:
        return self.store


class TestFileStore(ThreadedContract, DoubtContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.directory = tmp_path / "tokens"
        self.file = self.directory / f"{record_key(URL, ID)}.json"

    def make(self) -> Any:
        return FileStore(self.directory)

    def spoil(self, text: str) -> None:
        self.file.write_text(text)

    def record(self) -> str:
        return self.file.read_text()


class OnRedis(DoubtContract):
    @pytest.fixture(autouse=True)
    def _place(self, server: RedisServer) -> Iterator[None]:
        self.server = server
        with server.client(decode_responses=True) as self.client:
            yield

    def outlive_the_lease(self) -> None:
        super().outlive_the_lease()
        for lock in self.client.scan_iter("*:lock"):
            assert 0 < self.client.pttl(lock) <= LEASE * 1000
            self.client.pexpire(lock, 0)  # the server has a clock of its own

    def spoil(self, text: str) -> None:
        self.client.hset(KEY, "record", text)

    def record(self) -> str:
        return str(self.client.hget(KEY, "record"))


class TestRedisStoreOfAUrl(ThreadedContract, OnRedis):
    def make(self) -> Any:
        return RedisStore(self.server.url)


class TestRedisStoreOfAClient(ThreadedContract, OnRedis):
    """One that decodes what it reads, as many applications have it."""

    def make(self) -> Any:
        return RedisStore(self.client)


class TestRedisStoreOfAnAsyncClient(OnRedis):
    @pytest.fixture(autouse=True)
    def _async_client(self, _place: None, _event_loop: None) -> Iterator[None]:
        self.async_client = redis.asyncio.Redis(port=self.server.port, **ASYNC_LIMITS)
        yield
        self.runner.run(self.async_client.aclose())

    def make(self) -> Any:
        return RedisStore(self.async_client)
