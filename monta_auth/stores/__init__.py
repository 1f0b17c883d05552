"""Places where processes share token pairs.

`MemoryStore`, `FileStore` and `RedisStore` are ready to use. What they keep is sealed with a key
that comes from the client secret. For a custom store implement `Store`, and test it with
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

# Imported when they are asked for: the core imports this package, and most users need none.
_LATER = {
    "FileStore": "_file_store",
    "RedisStore": "_redis_store",
}

if not TYPE_CHECKING:  # pragma: no branch - with it, checkers would believe in every name

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f".{_LATER[name]}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
