"""A visit that needs all three kinds of token call, and the calls that the server got."""

from __future__ import annotations

from monta_auth.emulator import Emulator

PAGE = "/charge-points"

#: The calls of a `visit`: the first token, a renewal, a renewal after a 401, and the pages.
VISIT = [
    ("/auth/token", 200),
    (PAGE, 200),
    ("/auth/refresh", 200),
    (PAGE, 200),
    (PAGE, 401),
    ("/auth/refresh", 200),
    (PAGE, 200),
]


def calls(site: Emulator) -> list[tuple[str, int | None]]:
    """Return the calls that the server got, in order: path and status."""
    return [(call.path, call.status) for call in site.calls]
