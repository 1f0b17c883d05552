"""Places to keep the pair in, so that it outlives a process or is shared by several.

`MemoryStore`, `FileStore` and `RedisStore` are ready to use. For a place of your own implement
`Store`; `dump_record`, `load_record` and `record_key` give you its written form.
"""

from typing import TYPE_CHECKING, Any

from .._core.old_store import Bindable, Lease, Store
from ._memory import MemoryStore

if TYPE_CHECKING:
    from ._file import FileStore
    from ._record import dump_record, load_record, record_key
    from ._redis import RedisStore

__all__ = [
    "Bindable",
    "FileStore",
    "Lease",
    "MemoryStore",
    "RedisStore",
    "Store",
    "dump_record",
    "load_record",
    "record_key",
]

# Imported when they are asked for: the core imports this package, and most users need none.
_LATER = {
    "FileStore": "_file",
    "RedisStore": "_redis",
    "dump_record": "_record",
    "load_record": "_record",
    "record_key": "_record",
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
