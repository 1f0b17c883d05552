"""Which Redis clients a store accepts. The checks do not connect."""

from __future__ import annotations

import ssl
from typing import Any

from .._core.errors import ConfigurationError
from .._core.origins import _is_loopback

#: Limits of our own clients in seconds, for connecting and for each response.
_TIMEOUT = 0.5
#: Valkey speaks the protocol of Redis.
_SCHEMES = {"valkey": "redis", "valkeys": "rediss"}


def client_of(url: str) -> Any:
    """Return a client for this URL with time limits, verified TLS and no retries."""
    try:
        return _made(url)
    except ImportError:
        raise
    except Exception as error:
        kind = type(error).__name__  # its text may quote the URL with the password
    raise ConfigurationError(
        f"RedisStore cannot read its URL ({kind}): expected one like "
        "rediss://user:password@host:6379/0, with special characters of the password as %40"
    )


def _made(url: str) -> Any:
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    scheme, separator, rest = url.partition("://")
    scheme = _SCHEMES.get(scheme, scheme)
    # redis-py 5 does not check host names by default. Options in the URL override these.
    tls = {"ssl_cert_reqs": "required", "ssl_check_hostname": True} if scheme == "rediss" else {}
    kind: Any = Redis
    client = kind.from_url(
        scheme + separator + rest,
        socket_timeout=_TIMEOUT,
        socket_connect_timeout=_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        **tls,
    )
    _connections(client)  # raises if options of the URL are wrong
    return client


def is_client(value: object) -> bool:
    """Return whether this is a client of redis-py or valkey-py."""
    is_known = hasattr(value, "connection_pool") or hasattr(value, "nodes_manager")
    return is_known and callable(getattr(value, "execute_command", None))


def is_async(client: object) -> bool:
    """Return whether the client's methods are coroutine functions."""
    asynchronous = ("redis.asyncio.", "valkey.asyncio.")
    return any(f"{kind.__module__}.".startswith(asynchronous) for kind in type(client).__mro__)


def pools(client: Any) -> list[Any]:
    """Return the connection pools of a client: one, or one for each node."""
    if not hasattr(client, "nodes_manager"):
        return [client.connection_pool]
    # Before its first command, an asyncio client knows only its start nodes.
    nodes = client.get_nodes() or list(client.nodes_manager.startup_nodes.values())
    if is_async(client):
        return list(nodes)
    name = "redis_connection" if hasattr(nodes[0], "redis_connection") else "valkey_connection"
    clients = [getattr(node, name) for node in nodes]
    return [each.connection_pool for each in clients if each is not None]


def checked_place(client: Any, allow_plaintext: bool) -> str:
    """Return the name of a client's server, without user and password.

    Raises:
        ConfigurationError: others could read what is sent there, or a request could wait too long.
    """
    try:
        connections = _connections(client)
    except Exception as error:
        kind = type(error).__name__
        raise ConfigurationError(f"RedisStore cannot use this client ({kind})") from error
    pool = getattr(client, "connection_pool", None)
    # Only the Sentinel or the cluster knows the actual servers.
    service: str | None = getattr(pool, "service_name", None)
    if hasattr(client, "nodes_manager"):
        place = "a cluster"
    elif service is not None:
        place = f"the Sentinel service {service}"
    else:
        _check_limits(pool, connections[0])
        place = _address(connections[0])
    if not allow_plaintext:
        leads_elsewhere = hasattr(client, "nodes_manager") or service is not None
        if not connections or not _is_private(connections[0], leads_elsewhere):
            raise _refusal(connections[:1], place)
        # An address from a Sentinel is only as trustworthy as the connection to that Sentinel.
        for connection in connections[1:]:
            if not _is_private(connection, leads_elsewhere=False):
                raise _refusal([connection], f"the Sentinel {_address(connection)}")
    return place


def _connections(client: Any) -> list[Any]:
    """Return unconnected connections of the client, then those of its Sentinels."""
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    sentinels = [] if manager is None else [each.connection_pool for each in manager.sentinels]
    # All nodes of a cluster have the same settings.
    every = [*pools(client)[:1], *sentinels]
    return [pool.connection_class(**pool.connection_kwargs) for pool in every]


def _check_limits(pool: Any, connection: Any) -> None:
    limit = pool.connection_kwargs.get("socket_timeout") or 0
    if connection.retry._retries or not 0 < limit <= 1:
        raise ConfigurationError(
            "RedisStore: a request would wait too long. Leave limits out of a URL, or give a "
            "client these: "
            "redis.Redis(..., socket_timeout=0.5, socket_connect_timeout=0.5, "
            "retry=Retry(NoBackoff(), 0))"
        )


def _is_private(connection: Any, leads_elsewhere: bool) -> bool:
    """Return whether this connection protects what it carries from others."""
    kinds = _kinds(connection)
    if "UnixDomainSocketConnection" in kinds:
        return True
    if "SSLConnection" in kinds:  # on loopback too, which may be the end of a tunnel
        is_verified: bool = connection.cert_reqs == ssl.CERT_REQUIRED
        return is_verified and bool(connection.check_hostname)
    return not leads_elsewhere and _is_loopback(str(getattr(connection, "host", None)))


def _refusal(connections: list[Any], place: str) -> ConfigurationError:
    if any("SSLConnection" in _kinds(each) for each in connections):
        return ConfigurationError(
            f"RedisStore: TLS to {place} does not verify the certificate and its host name, so "
            "another server could take its place. Use ssl_cert_reqs='required' and "
            "ssl_check_hostname=True, or allow_plaintext=True if nobody else is on that network"
        )
    return ConfigurationError(
        f"RedisStore: without TLS the tokens could be read on their way to {place}. Use "
        "rediss:// (ssl=True), or allow_plaintext=True if nobody else is on that network"
    )


def _address(connection: Any) -> str:
    if "UnixDomainSocketConnection" in _kinds(connection):
        return "a Unix socket"
    host = str(getattr(connection, "host", type(connection).__name__))
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{getattr(connection, 'port', 0)}/{connection.db}"


def _kinds(connection: Any) -> set[str]:
    return {kind.__name__ for kind in type(connection).__mro__}
