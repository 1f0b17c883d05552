"""What the server gets of two calls of an SDK. The second one starts with a revoked token."""

from __future__ import annotations

RETRIED = [
    ("/auth/token", 200),
    ("/charge-points", 200),
    ("/charge-points", 401),
    ("/auth/refresh", 200),
    ("/charge-points", 200),
]
