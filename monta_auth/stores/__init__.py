"""Places to keep the pair in, so that it outlives a process or is shared by several."""

from ._memory import MemoryStore
from ._protocol import Bindable, Lease, Store

__all__ = ["Bindable", "Lease", "MemoryStore", "Store"]
