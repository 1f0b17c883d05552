"""A forward proxy for plain HTTP."""

from __future__ import annotations

import http.client
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class Proxy(ThreadingHTTPServer):
    """A forward proxy that records the paths of the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.forwarded: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Forward(BaseHTTPRequestHandler):
    """HTTP/1.0: each request has its own connection on both sides."""

    def _forward(self) -> None:
        assert isinstance(self.server, Proxy)
        target = urlsplit(self.path)  # a proxy receives the whole URL
        assert target.scheme == "http"
        self.server.forwarded.append(target.path.removeprefix("/api/v1"))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        upstream = http.client.HTTPConnection(target.netloc)
        upstream.request(self.command, target.path, body, dict(self.headers))
        reply = upstream.getresponse()
        content = reply.read()
        self.send_response_only(reply.status)
        for name, value in reply.getheaders():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        upstream.close()

    do_GET = do_POST = _forward  # noqa: N815 - the names that http.server wants

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        pass
