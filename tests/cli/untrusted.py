"""A TLS server on loopback whose certificate nobody trusts; its key is no secret."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

KEY_AND_CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgELpE8h/Wask4sFDY
+lIvpMI+vxmuwA6k6s7CwzRyMOShRANCAAQU1a0HN54e8QSc9UFcPtKZnnWw3OdF
Oev/z47twlusoyYd3OWgj97+qJt7xfZvd87Io9pN3M2nbFjUs+67+7uX
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBkDCCATagAwIBAgIURaQwXAtzDlj/8KqZKA4sxmRSQyowCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJMTI3LjAuMC4xMCAXDTI2MTEyNDA4MzkxNFoYDzIxMjYxMDMx
MDgzOTE0WjAUMRIwEAYDVQQDDAkxMjcuMC4wLjEwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQU1a0HN54e8QSc9UFcPtKZnnWw3OdFOev/z47twlusoyYd3OWgj97+
qJt7xfZvd87Io9pN3M2nbFjUs+67+7uXo2QwYjAdBgNVHQ4EFgQUTOLKO+MGQdgx
brRh6Xceo4Gr1NQwHwYDVR0jBBgwFoAUTOLKO+MGQdgxbrRh6Xceo4Gr1NQwDwYD
VR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0gAMEUC
IQCcjPNytwVgVCMtrvQJFXcbNnuO7CL2ieEy6NB7M289DwIgOPN7t9Oa05cW8SmB
xJMybCcDPc2oqD55c+SS4fdarNE=
-----END CERTIFICATE-----
"""


@contextmanager
def untrusted_server(directory: Path) -> Generator[str, None, None]:
    """Serve until the end of the block; gives the base URL."""
    file = directory / "untrusted.pem"
    file.write_text(KEY_AND_CERTIFICATE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
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
