"""Show what an error tracker would show of an exception: the repr of each frame's locals."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

_TESTS = str(Path(__file__).parents[1])


def shown(error: BaseException, secrets: Iterable[str]) -> list[str]:
    """Return each local that shows one of the secrets, in any frame that the error leads to.

    Like trackers, it follows causes, contexts and groups, and looks five levels deep into
    containers. It leaves out the tests' own frames, which know the secrets.
    """
    wanted = [secret for secret in secrets if secret]
    assert wanted, "nothing to look for"
    found: list[str] = []
    for each in _all(error):
        for frame, line in traceback.walk_tb(each.__traceback__):
            code = frame.f_code
            if code.co_filename.startswith(_TESTS):
                continue
            for name, value in list(frame.f_locals.items()):
                if any(secret in text for text in _texts(value, 5) for secret in wanted):
                    found.append(f"{code.co_filename}:{line} {code.co_qualname}: {name}")
    return found


def _all(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        each = todo.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            todo += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]


def _texts(value: object, depth: int) -> Iterator[str]:
    try:
        yield repr(value)
    except Exception:
        return  # not fully initialized; a tracker says so
    if depth and isinstance(value, Mapping):
        for key, entry in list(value.items()):
            yield str(key)
            yield from _texts(entry, depth - 1)
    elif depth and isinstance(value, list | tuple | set | frozenset):
        for entry in list(value):
            yield from _texts(entry, depth - 1)
