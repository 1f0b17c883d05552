"""A TLS server on loopback whose certificate nobody trusts."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import trustme


@contextmanager
def untrusted_server(directory: Path) -> Generator[str, None, None]:
    """Serve until the end of the block; gives the base URL. Its CA is in ``untrusted.pem``."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(directory / "untrusted.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    try:
                        context.wrap_socket(connection, server_side=True).close()
                    except OSError:  # the client has hung up
                        connection.close()
            except OSError:  # the listener is closed
                pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/api/v1"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()
