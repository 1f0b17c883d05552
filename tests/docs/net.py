"""What may be between a program and an API: a proxy, TLS with a company's CA, client certificates.

All of it is on loopback. The API's name exists nowhere, so only the proxy leads to it.
"""

from __future__ import annotations

import base64
import contextlib
import re
import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path

import trustme

HOST = "api.monta.test"


@dataclass(frozen=True)
class Certificates:
    """A CA and the certificates that it signed, as PEM files in one folder."""

    folder: Path

    @property
    def ca(self) -> str:
        return self.file("ca.pem")

    def file(self, name: str) -> str:
        return str(self.folder / name)

    @classmethod
    def make(cls, folder: Path) -> Certificates:
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        for role in ("server", "client"):
            own = ca.issue_cert(HOST, "127.0.0.1")
            own.cert_chain_pems[0].write_to_path(str(folder / f"{role}.pem"))
            own.private_key_pem.write_to_path(str(folder / f"{role}.key"))
        return cls(folder)

    def context(self, *, wants_client: bool) -> ssl.SSLContext:
        """Return a server's context. With `wants_client`, clients need the client certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.ca)
        context.load_cert_chain(self.file("server.pem"), self.file("server.key"))
        context.verify_mode = ssl.CERT_REQUIRED if wants_client else ssl.CERT_NONE
        return context


@dataclass
class Way:
    """The way to an API on a loopback port: a proxy, and TLS behind it.

    Attributes:
        asked: what the proxy was asked to connect to, once for each connection.
        users: the user and the password that came with it, as ``user:password``; else empty.
    """

    api_port: int
    context: ssl.SSLContext
    asked: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    proxy: str = ""
    front: int = 0

    @contextlib.contextmanager
    def open(self) -> Generator[Way]:
        with _served(self._end_tls) as self.front, _served(self._connect) as port:
            self.proxy = f"http://127.0.0.1:{port}"
            yield self

    def _connect(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        method, target, _ = head.split(b" ", 2)
        assert method == b"CONNECT"
        self.asked.append(target.decode())
        sent = re.search(rb"^proxy-authorization: basic (\S+)", head, re.IGNORECASE | re.MULTILINE)
        self.users.append(base64.b64decode(sent[1]).decode() if sent else "")
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        _relay(client, self.front)

    def _end_tls(self, client: socket.socket) -> None:
        with self.context.wrap_socket(client, server_side=True) as encrypted:
            _relay(encrypted, self.api_port)


@contextlib.contextmanager
def _served(handle: Callable[[socket.socket], None]) -> Generator[int]:
    """Let a function handle each connection in a separate thread."""
    connections: list[socket.socket] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            # A duplicate, which can be shut down even if the original was closed.
            connections.append(self.request.dup())
            with contextlib.suppress(OSError):
                handle(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()


def _relay(outer: socket.socket, port: int) -> None:
    """Pass data on in both directions until one side ends."""
    with socket.create_connection(("127.0.0.1", port)) as inner:
        while True:
            decrypted = outer.pending() if isinstance(outer, ssl.SSLSocket) else 0
            ready = [outer] if decrypted else select.select([outer, inner], [], [])[0]
            for source in ready:
                data = source.recv(65536)
                if not data:
                    return
                if source is outer and isinstance(outer, ssl.SSLSocket):
                    # Like a TLS proxy in front of a server: the emulator knows no other name.
                    data = data.replace(HOST.encode(), b"localhost")
                (inner if source is outer else outer).sendall(data)
