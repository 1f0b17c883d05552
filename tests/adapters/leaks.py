"""Find secrets and tokens in everything an object leads to, as an error tracker might upload it.

The search follows everything that the garbage collector knows about an object, and the locals of
the frames of a traceback. It does not enter

* modules, classes, code, and the globals of functions: they hold nothing of a single request;
* the tests' own frames and objects: they know the secrets that they look for;
* a `MontaAuth`, a `TokenSource` and the references from flow objects to them: a client that can
  renew its token must know how, and a library's frames hold the client with this ``auth``. But
  the token call itself must not be found: its requests, bodies, headers and replies;
* the hook of requests_monta, for the same reason.

A string of the `secret` family counts as what it shows (``[redacted]``), since a tracker sees
only that. Any other string that contains a secret is a leak.
"""

from __future__ import annotations

import gc
import io
import types
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from monta_auth import TokenSource
from monta_auth._adapters.auth import BaseAuth
from monta_auth._core.secret import Secret, SecretBytes

_HERE = str(Path(__file__).parent)
_CLOSED: tuple[type, ...] = (
    types.ModuleType,
    type,
    types.CodeType,
    weakref.ref,
    BaseAuth,
    TokenSource,
    int,
    float,
    type(None),
)
#: Test tools that run a client's coroutines. Like the tests, they know the secrets.
_TOOLS = ("/anyio/", "/trio/", "/asyncio/", "/outcome/", "/concurrent/", "/_pytest/", "/pluggy/")


def leaks(root: object, secrets: Iterable[str]) -> list[str]:
    """Return the path to each place where one of the secrets was found."""
    wanted = [secret for secret in secrets if secret]
    assert wanted, "nothing to look for"
    raw = [secret.encode() for secret in wanted]
    found: list[str] = []
    seen: set[int] = set()
    keep: list[object] = []  # keeps them in memory, so that no id is reused
    todo: list[tuple[object, str]] = [(root, type(root).__name__)]
    while todo:
        value, way = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        keep.append(value)
        if isinstance(value, Secret | SecretBytes):
            continue
        if isinstance(value, str):
            found += [way] if any(secret in value for secret in wanted) else []
        elif isinstance(value, bytes | bytearray | memoryview):
            found += [way] if any(secret in bytes(value) for secret in raw) else []
        elif isinstance(value, io.BytesIO):
            if not value.closed:
                todo.append((value.getvalue(), way + ".getvalue()"))
        elif not _is_closed(value):
            todo += [(child, f"{way} > {name}") for name, child in _children(value)]
    return found


def _is_closed(value: object) -> bool:
    if isinstance(value, _CLOSED):
        return True
    kind = type(value)
    if kind.__module__.startswith("requests_monta.") and callable(value):
        return True  # the hook
    return kind.__module__.startswith(
        ("tests.", "monta_auth.emulator", "_pytest", "trio.", "anyio.")
    )


def _children(value: Any) -> list[tuple[str, object]]:
    if isinstance(value, dict):
        if "__spec__" in value and "__builtins__" in value:
            return []  # the dict of a module
        return [(f"[{key!r:.40}]", v) for key, v in value.items()] + [("key", key) for key in value]
    if isinstance(value, types.FrameType):
        where = value.f_code.co_filename
        if where.startswith(_HERE) or any(tool in where for tool in _TOOLS):
            return []
        name = f"{Path(where).parent.name}/{Path(where).name}:{value.f_code.co_name}"
        return [(f"{name}: {key}", v) for key, v in list(value.f_locals.items())]
    if isinstance(value, types.TracebackType):
        return [("frame", value.tb_frame), ("next", value.tb_next)]
    if isinstance(value, types.FunctionType):
        return [("closure", value.__closure__), ("defaults", value.__defaults__)]
    if isinstance(value, types.GeneratorType):
        return [("frame", value.gi_frame)]
    if isinstance(value, types.CoroutineType):
        return [("frame", value.cr_frame)]
    if isinstance(value, types.AsyncGeneratorType):
        return [("frame", value.ag_frame)]
    named: list[tuple[str, object]] = []
    if isinstance(value, BaseException):
        named = [
            ("args", value.args),
            ("__context__", value.__context__),
            ("__cause__", value.__cause__),
            ("__traceback__", value.__traceback__),
        ]
    for kind in type(value).__mro__:
        slots: Any = vars(kind).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, slot):
                named.append((slot, getattr(value, slot)))
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict):
        named += [(str(name), v) for name, v in attributes.items()]
    # Everything that a C type holds: partials, methods, cells, iterators, views of mappings.
    return named + [(type(value).__name__, child) for child in gc.get_referents(value)]
