"""What the server gets of two calls of an SDK, the second with a token that was revoked."""

from __future__ import annotations

MENDED = [
    ("/auth/token", 200),
    ("/charge-points", 200),
    ("/charge-points", 401),
    ("/auth/refresh", 200),
    ("/charge-points", 200),
]
