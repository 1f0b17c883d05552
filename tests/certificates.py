"""TLS servers on loopback, each with a problem in its certificate."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme

from .faults import server

_NOW = datetime.now(UTC)
_OF_ANOTHER_TIME: dict[str, Any] = {
    "not yet valid": {
        "not_before": _NOW + timedelta(days=20),
        "not_after": _NOW + timedelta(days=90),
    },
    "expired": {"not_before": _NOW - timedelta(days=90), "not_after": _NOW - timedelta(days=20)},
}


@contextmanager
def tls_server(
    directory: Path, problem: str = "unknown issuer"
) -> Generator[tuple[str, str], None, None]:
    """Serve until the end of the block. Yield the base URL and the file of the server's CA.

    Args:
        problem: ``not yet valid``, ``expired``, ``other host`` or ``unknown issuer``. The last
            one is a problem only for clients that do not use the CA file.
    """
    ca = trustme.CA()
    file = str(directory / "ca-of-the-server.pem")
    ca.cert_pem.write_to_path(file)
    name = "other.example" if problem == "other host" else "127.0.0.1"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name, **_OF_ANOTHER_TIME.get(problem, {})).configure_cert(context)

    def shake_hands(connection: socket.socket) -> None:
        context.wrap_socket(connection, server_side=True).close()

    with server(shake_hands) as port:
        yield f"https://127.0.0.1:{port}/api/v1", file
