"""Share token pairs between processes.

`MemoryStore`, `FileStore` and `RedisStore` are ready to use. Records are encrypted with a key that
is derived from the client secret. For a custom store, implement `Store` and test it with
`monta_auth.stores.testing.StoreContract`.
"""

from typing import TYPE_CHECKING, Any

from .._core.store_protocol import Lease, Store
from ._memory_store import MemoryStore

if TYPE_CHECKING:
    from ._file_store import FileStore
    from ._redis_store import RedisStore

__all__ = [
    "FileStore",
    "Lease",
    "MemoryStore",
    "RedisStore",
    "Store",
]

# Imported on first use: the core imports this package, but most users need no store.
_LATER = {
    "FileStore": "_file_store",
    "RedisStore": "_redis_store",
}

if not TYPE_CHECKING:  # pragma: no branch - type checkers would accept any name

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f".{_LATER[name]}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
