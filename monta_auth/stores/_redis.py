"""A store in Redis, for processes on several machines.

Two keys a client, in one slot of a cluster. ``…:pair`` is a hash of the record and of its
generation, which grows by one at each new pair. ``…:lock`` holds the token of whoever has the
lease, and expires. Each method is one script, so that nobody comes in between, and one round
trip. Everything that has to do with time is asked of the server.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

from .._core.errors import ConfigurationError
from .._core.old_store import Store
from .._core.origins import _is_loopback
from .._core.policy import monotonic_clock
from .._core.secret import hidden
from .._core.tokens import TokenSet
from ._record import dump_record, load_record, record_key, without_refresh_token

if TYPE_CHECKING:
    import redis
    import redis.asyncio

#: Limit for a connection and for each answer, in seconds.
_TIMEOUT = 0.5
#: A connection that was idle for so long may have been cut silently on its way, in seconds.
_LONGEST_IDLE = 30.0
#: Life of a record whose refresh token's life is not known, in seconds. Source: 24 h is the
#: shorter of Monta's two (partner API reference).
_UNKNOWN_LIFE = 86400.0
#: How long a deletion is remembered, so that a late holder cannot undo it, in milliseconds.
_DELETED = 60_000

_LOAD = """
local found = redis.call('HMGET', KEYS[1], 'record', 'doubt')
return {found[1], found[2], redis.call('TIME')}
"""

# A leader that is still there had no time to say goodbye: it may have sent the refresh token.
_LOCK = """
if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return false end
local found = redis.call('HMGET', KEYS[1], 'generation', 'leader')
if found[1] then
  if found[2] then redis.call('HSET', KEYS[1], 'doubt', '1') end
  redis.call('HSET', KEYS[1], 'leader', ARGV[1])
end
return {found[1], redis.call('TIME')}
"""

# Whose lock has expired may still save, as long as nobody else has led since. A pair that is
# gone (expired, or the server has lost it) protects nothing.
_SAVE = """
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return false end
local generation = redis.call('HGET', KEYS[1], 'generation')
if generation and generation ~= ARGV[2] then return false end
generation = string.format('%d', ARGV[2] + 1)
redis.call('HSET', KEYS[1], 'generation', generation, 'record', ARGV[3])
redis.call('HDEL', KEYS[1], 'doubt')
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return generation
"""

_RELEASE = """
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
if redis.call('HGET', KEYS[1], 'leader') == ARGV[1] then
  redis.call('HDEL', KEYS[1], 'leader')
end
return false
"""


class RedisStore:
    """Keeps pairs in Redis (6.2 or newer, or Valkey): for workers, containers and machines.

    Needs redis-py: ``pip install 'monta-auth[redis]'``.

    Args:
        url_or_client: ``rediss://``, ``redis://`` or ``unix://``, with time limits of 0.5 s and
            no retries; it works with every adapter. Or a client of your own, which is used as it
            is: ``redis.Redis``, or ``redis.asyncio.Redis`` for async auth objects in one event
            loop. Yours needs limits too: a ``socket_timeout`` of at most 1 s, and no retries.
        allow_plaintext: whether tokens may go over the network without TLS.
        prefix: how the keys begin; the rest of a key is a digest.

    A pickle of a store that was made with a URL holds this URL, with the password in it: another
    process needs it to connect. Treat it like the password.

    Raises:
        ImportError: redis-py is missing.
        ConfigurationError: no Redis URL or client, a client without such limits, or one without
            TLS to another machine.
    """

    def __init__(
        self,
        url_or_client: str | redis.Redis | redis.asyncio.Redis,
        *,
        allow_plaintext: bool = False,
        prefix: str = "monta-auth",
    ) -> None:
        try:
            import redis.asyncio
        except ImportError as error:
            raise ImportError(
                "RedisStore needs redis-py: pip install 'monta-auth[redis]'"
            ) from error
        client: Any = url_or_client
        self._is_ours = isinstance(url_or_client, str)
        if self._is_ours:
            client = _client_of(client)
        if not callable(getattr(client, "eval", None)):
            raise ConfigurationError("RedisStore takes a Redis URL or a client of redis-py")
        self._settings: tuple[Any, bool, str] = (url_or_client, allow_plaintext, prefix)
        self._client = client
        self._prefix = prefix
        self._is_async = isinstance(client, redis.asyncio.Redis | redis.asyncio.RedisCluster)
        self._server = _checked_server(client, allow_plaintext)

    def bind(self, base_url: str, client_id: str | None) -> Store:
        """Return the store of this client; its auth object calls this."""
        kind = _AsyncClientKeys if self._is_async else _ClientKeys
        return kind(self._client, self._is_ours, self._prefix, (base_url, client_id))

    def __repr__(self) -> str:
        return f"RedisStore({self._server})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, self._settings


def _rebuild(url_or_client: Any, allow_plaintext: bool, prefix: str) -> RedisStore:
    return RedisStore(url_or_client, allow_plaintext=allow_plaintext, prefix=prefix)


def _client_of(url: str) -> Any:
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    client: Any = Redis
    try:
        return client.from_url(
            url,
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
    except Exception as error:
        kind = type(error).__name__  # its text may quote the URL, and that the password
    raise ConfigurationError(
        f"RedisStore cannot read its URL ({kind}): expected one like "
        "rediss://user:password@host:6379/0"
    )


def _checked_server(client: Any, allow_plaintext: bool) -> str:
    """Return the name of the server, without user and password."""
    # What the client will really use: a URL can set the host in its query as well. Clients of
    # clusters and sentinels keep elsewhere what they connect to.
    pool = getattr(client, "connection_pool", None)
    settings: dict[str, Any] = getattr(pool, "connection_kwargs", {})
    kind = getattr(pool, "connection_class", type(None))
    words = {base.__name__ for base in kind.__mro__}
    retries = getattr(settings.get("retry"), "_retries", 0)
    if pool is not None and (retries or not 0 < (settings.get("socket_timeout") or 0) <= 1):
        raise ConfigurationError(
            "RedisStore: a request would wait too long for this client. Give it limits: "
            "redis.Redis(..., socket_timeout=0.5, socket_connect_timeout=0.5, "
            "retry=Retry(NoBackoff(), 0))"
        )
    host, port = settings.get("host"), settings.get("port", 6379)
    if "UnixDomainSocketConnection" in words:
        return "a Unix socket"
    is_encrypted = "SSLConnection" in words
    if host is None and kind.__name__ == "Connection":
        host = "localhost"
    name = type(client).__name__ if host is None else f"{host}:{port}"
    if is_encrypted or allow_plaintext or (host is not None and _is_loopback(str(host))):
        return name
    raise ConfigurationError(
        f"RedisStore: without TLS the tokens could be read on their way to {name}. Use rediss://, "
        "or say allow_plaintext=True if nobody else is on that network"
    )


class _Keys:
    """What the two ways of calling have in common: what to send, and how to read the answers."""

    def __init__(
        self, client: Any, is_ours: bool, prefix: str, names: tuple[str, str | None]
    ) -> None:
        self._redis = client
        self._is_ours = is_ours
        self._names = names
        # The braces keep both keys in one slot of a cluster.
        key = f"{prefix}:{{{record_key(*names)}}}"
        self._keys = (f"{key}:pair", f"{key}:lock")
        self._used = monotonic_clock()

    def _eval(self, script: str, *args: str | int) -> Any:
        now = monotonic_clock()
        if self._is_ours and now - self._used > _LONGEST_IDLE:
            self._redis.connection_pool.disconnect(inuse_connections=False)
        self._used = now
        return self._redis.eval(script, 2, *self._keys, *args)

    def _loaded(self, answer: Any) -> TokenSet | None:
        record, doubt, now = answer
        if record and doubt and self._names[1] is not None:  # else to try it is all that is left
            record = without_refresh_token(record) or record
        return load_record(record or None, *self._names, now=_seconds(now))

    def _save_args(self, pair: TokenSet | None, lease: _Lease) -> tuple[str | int, ...]:
        if pair is None:
            return (lease.token, lease.generation, "", _DELETED)
        record = hidden(dump_record(pair, *self._names, now=lease.server_time()))
        return (lease.token, lease.generation, record, _life(pair))

    def __repr__(self) -> str:
        return "<RedisStore of one client>"


class _Lease:
    """Names the lock by a token of its own, and remembers what it found when it was taken."""

    def __init__(self, token: str, answer: Any) -> None:
        generation, now = answer
        self.token = token
        self.generation = int(generation or 0)
        self.is_over = False
        self._server_time = _seconds(now)
        self._taken_at = monotonic_clock()

    def server_time(self) -> float:
        return self._server_time + monotonic_clock() - self._taken_at

    def saved(self, generation: Any) -> None:
        if generation:
            self.generation = int(generation)


class _ClientKeys(_Keys):
    def load(self) -> TokenSet | None:
        return self._loaded(self._eval(_LOAD))

    def try_lock(self, seconds: float) -> _SyncLease | None:
        token = secrets.token_hex(16)
        answer = self._eval(_LOCK, token, _milliseconds(seconds))
        return _SyncLease(self, token, answer) if answer else None

    def save(self, pair: TokenSet | None, lease: object) -> None:
        if isinstance(lease, _Lease) and not lease.is_over:
            lease.saved(self._eval(_SAVE, *self._save_args(pair, lease)))

    def release(self, lease: _Lease) -> None:
        self._eval(_RELEASE, lease.token)


class _SyncLease(_Lease):
    def __init__(self, store: _ClientKeys, token: str, answer: Any) -> None:
        super().__init__(token, answer)
        self._store = store

    def release(self) -> None:
        if not self.is_over:
            self.is_over = True
            self._store.release(self)


class _AsyncClientKeys(_Keys):
    async def load(self) -> TokenSet | None:
        return self._loaded(await self._eval(_LOAD))

    async def try_lock(self, seconds: float) -> _AsyncLease | None:
        token = secrets.token_hex(16)
        answer = await self._eval(_LOCK, token, _milliseconds(seconds))
        return _AsyncLease(self, token, answer) if answer else None

    async def save(self, pair: TokenSet | None, lease: object) -> None:
        if isinstance(lease, _Lease) and not lease.is_over:
            lease.saved(await self._eval(_SAVE, *self._save_args(pair, lease)))

    async def release(self, lease: _Lease) -> None:
        await self._eval(_RELEASE, lease.token)


class _AsyncLease(_Lease):
    def __init__(self, store: _AsyncClientKeys, token: str, answer: Any) -> None:
        super().__init__(token, answer)
        self._store = store

    async def release(self) -> None:
        if not self.is_over:
            self.is_over = True
            await self._store.release(self)


def _life(pair: TokenSet) -> int:
    """How long the record is of use to anybody, in milliseconds."""
    born = time.time() if pair.issued_at is None else pair.issued_at.timestamp()
    if pair.refresh_token is None:
        life = pair.access_expires_at.timestamp() - born
    elif pair.refresh_expires_at is None:
        life = _UNKNOWN_LIFE
    else:
        life = pair.refresh_expires_at.timestamp() - born
    return _milliseconds(life)


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _seconds(time_answer: Any) -> float:
    """Read the answer of TIME: seconds and microseconds."""
    seconds, microseconds = time_answer
    return int(seconds) + int(microseconds) / 1e6
