"""A store in Redis or Valkey, for processes on several machines."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Self

from .._core.errors import ConfigurationError, TokenStoreError, causes
from .._core.secret import hidden, in_clear
from ._check import acheck, check
from ._redis_calls import AsyncCalls, Calls
from ._redis_scripts import EXTEND, LOAD, RELEASE, SAVE, TRY_LOCK, command
from ._redis_servers import checked_place, client_of, is_async, is_client

if TYPE_CHECKING:
    import redis
    import redis.asyncio

#: Advice by exception class or by a word from the server. The first match counts.
_ADVICE = {
    "max number of clients": "All connections are in use: see the server's maxclients",
    "BusyLoadingError": "Wait until the server has loaded its data",
    "InvalidResponse": "Check the port: what answers there does not speak the protocol of Redis",
    "WRONG_VERSION_NUMBER": "Does the server speak TLS? Compare rediss:// and redis://",
    "SSLCertVerificationError": "Check the host name, and the CA in ssl_ca_certs",
    "AuthenticationError": "Check user and password",
    "NoPermissionError": "SECURITY.md lists the permissions that the user needs",
    "ACL": "SECURITY.md lists the permissions that the user needs",
    "READONLY": "Connect to the primary, not to a replica",
    "ReadOnlyError": "Connect to the primary, not to a replica",
    "OutOfMemoryError": "The server is full: see its maxmemory",
    "OOM": "The server is full: see its maxmemory",
    "DENIED": "The server is in protected mode: give it a password (requirepass)",
    "MISCONF": "The server cannot save its data to disk: see its log",
    "ResponseError": "Check the database number, and the permissions in SECURITY.md",
    "ConnectionError": "Check the address, and that the server runs",
    "TimeoutError": "Check the address, whether the server speaks TLS, and that it has time",
}


class RedisStore:
    """Keep records in Redis (6.2 or newer) or Valkey, for several containers or machines.

    Needs redis-py: ``pip install 'monta-auth[redis]'``.

    Args:
        url_or_client: a URL (``rediss://``, ``redis://``, ``unix://``, ``valkeys://`` or
            ``valkey://``), which works with every adapter. Or your client from redis-py or
            valkey-py: ``Redis``, ``RedisCluster``, or the result of a Sentinel's ``master_for``.
            Clients from their ``asyncio`` packages work with async clients in one event loop. A
            ``Redis`` needs a ``socket_timeout`` of at most 1 s and no retries.
        allow_plaintext: allow records and the password on the network without TLS, or with TLS
            that does not verify the certificate and host name.
        prefix: start of each key; the rest is a digest.

    Each call takes at most one second. The first call connects; `check` tests the connection.

    A pickle contains the URL with its password, because another process needs it to connect. Treat
    the pickle like the password.

    Raises:
        ImportError: redis-py is missing.
        ConfigurationError: this is not a Redis URL or client, or the client lacks these limits or
            uses no TLS to another machine.
    """

    _place = "not accepted yet"

    def __new__(
        cls,
        url_or_client: str | redis.Redis | redis.RedisCluster | redis.asyncio.Redis | Any,
        *,
        allow_plaintext: bool = False,
        prefix: str = "monta-auth",
    ) -> Self:
        """Return a store of coroutine functions for an asyncio client."""
        if cls is RedisStore and is_async(url_or_client):
            return super().__new__(_AsyncRedisStore)  # type: ignore[return-value]
        return super().__new__(cls)

    def __init__(
        self,
        url_or_client: str | redis.Redis | redis.RedisCluster | redis.asyncio.Redis | Any,
        *,
        allow_plaintext: bool = False,
        prefix: str = "monta-auth",
    ) -> None:
        url_or_client = hidden(url_or_client)
        client: Any = url_or_client
        is_ours = isinstance(url_or_client, str)
        if is_ours:
            try:
                client = client_of(client)
            except ImportError as error:
                raise ImportError(
                    "RedisStore needs redis-py: pip install 'monta-auth[redis]'"
                ) from error
        if not is_client(client):
            raise ConfigurationError(
                "RedisStore takes a Redis URL, or a client of redis-py or valkey-py"
            )
        self._settings: tuple[Any, bool, str] = (url_or_client, allow_plaintext, prefix)
        self._prefix = prefix
        self._place = place = checked_place(client, allow_plaintext)
        self._calls: Any = (
            AsyncCalls(client, place) if is_async(client) else Calls(client, place, is_ours)
        )

    def load(self, name: str) -> Awaitable[bytes | None] | bytes | None:
        return self._run("load", name, LOAD)  # type: ignore[no-any-return]

    def try_lock(self, name: str, seconds: float) -> Awaitable[_Lease | None] | _Lease | None:
        token = secrets.token_hex(16)
        doubt = self._run("try_lock", name, TRY_LOCK, token, _ms(seconds), again=True)
        return None if doubt is None else _Lease(self, name, token, bool(doubt))

    def save(self, name: str, record: bytes | None, lease: object) -> Awaitable[None] | None:
        if isinstance(lease, _Lease):
            self._run("save", name, SAVE, *lease.turn(), *_optional(record))
        return None

    def check(self) -> Any:
        """Save, load and delete a record. Await it if the client is async.

        Raises:
            TokenStoreError: the store does not work; the text says why and what to do.
        """
        try:
            check(self)
        except TokenStoreError as error:
            raise _advised(error) from error.__cause__

    def __repr__(self) -> str:
        return f"RedisStore({self._place})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, tuple(in_clear(setting) for setting in self._settings)

    def _run(
        self, operation: str, name: str, script: str, *args: str | int | bytes, again: bool = False
    ) -> Any:
        """Run a script; return its result or a coroutine for it."""
        return self._calls.run(operation, command(self._prefix, name, script, *args), again)


class _AsyncRedisStore(RedisStore):
    """A `RedisStore` with an asyncio client."""

    async def load(self, name: str) -> bytes | None:
        return await self._run("load", name, LOAD)  # type: ignore[no-any-return]

    async def try_lock(self, name: str, seconds: float) -> _AsyncLease | None:
        token = secrets.token_hex(16)
        doubt = await self._run("try_lock", name, TRY_LOCK, token, _ms(seconds), again=True)
        return None if doubt is None else _AsyncLease(self, name, token, bool(doubt))

    async def save(self, name: str, record: bytes | None, lease: object) -> None:
        if isinstance(lease, _AsyncLease):
            await self._run("save", name, SAVE, *lease.turn(), *_optional(record))

    async def check(self) -> None:
        try:
            await acheck(self)
        except TokenStoreError as error:
            raise _advised(error) from error.__cause__


class _Lease:
    """Identify a lease by a random token."""

    def __init__(self, store: RedisStore, name: str, token: str, doubt: bool) -> None:
        self.doubt = doubt
        self._store = store
        self._name = name
        self._token = token
        self._turns = itertools.count(1)

    def turn(self) -> tuple[str, int]:
        """Return the first arguments of the next command for this lease."""
        return self._token, next(self._turns)

    def extend(self, seconds: float) -> Awaitable[bool] | bool:
        return bool(self._store._run("extend", self._name, EXTEND, *self.turn(), _ms(seconds)))

    def release(self) -> Awaitable[None] | None:
        self._store._run("release", self._name, RELEASE, self._token)
        return None


class _AsyncLease(_Lease):
    async def extend(self, seconds: float) -> bool:
        args = (*self.turn(), _ms(seconds))
        return bool(await self._store._run("extend", self._name, EXTEND, *args))

    async def release(self) -> None:
        await self._store._run("release", self._name, RELEASE, self._token)


def _rebuild(url_or_client: Any, allow_plaintext: bool, prefix: str) -> RedisStore:
    return RedisStore(url_or_client, allow_plaintext=allow_plaintext, prefix=prefix)


def _advised(error: TokenStoreError) -> TokenStoreError:
    """Return the error of a check, with advice."""
    words = {kind.__name__ for cause in causes(error) for kind in type(cause).__mro__}
    words.update(re.findall(r"\w+", str(error)))
    # Only the server's text distinguishes this from a server that is down.
    limit = "max number of clients"
    words.update(limit for cause in causes(error) if limit in str(cause))
    advice = next((text for word, text in _ADVICE.items() if word in words), None)
    return error if advice is None else TokenStoreError(f"{error}. {advice}")


def _optional(record: bytes | None) -> tuple[bytes, ...]:
    return () if record is None else (record,)


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))
