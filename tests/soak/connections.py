"""Where tokens really go: ``tox -e soak``, or ``python tests/soak/connections.py --seconds 20``.

requests, httpx, httpx2 and aiohttp get odd URLs, and a server that redirects to odd URLs. Every
host name leads to one server on this machine, which records the host and the port that the library
connected to, and what it sent. A token may only arrive at an allowed origin, the secret only at the
auth endpoint. And what `Origins` says about a URL must be what the library does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import ssl
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import aiohttp
import httpx
import httpx2
import requests
import trustme

import aiohttp_monta
import httpx2_monta
import httpx_monta
import requests_monta
from monta_auth import PUBLIC_API

SECRET = "the-client-secret"
TOKEN = "the-access-token"
#: Scheme, host and port.
Target = tuple[str, str, int]
BASE: Target = ("https", "public-api.monta.com", 443)
ENDPOINTS = ("/api/v1/auth/token", "/api/v1/auth/refresh")
FURTHER = ["https://xn--bcher-kva.example:8443", "http://[::1]:8000", "http://127.0.0.1"]
ALLOWED: set[Target] = {
    BASE,
    ("https", "xn--bcher-kva.example", 8443),
    ("http", "::1", 8000),
    ("http", "127.0.0.1", 80),
}


class Arrival(NamedTuple):
    """One request as it arrived."""

    target: Target
    line: str
    authorization: str | None
    body: str


class Net:
    """All hosts of the world on this machine."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.location = ""
        self._names: dict[str, str] = {}  # host by invented address
        self._targets: dict[int, tuple[str, int]] = {}  # host and port by the client's own port
        certificate = trustme.CA().issue_cert("any.example")
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(self._tls)
        self._servers = {
            socket.AF_INET: socket.create_server(("127.0.0.1", 0), backlog=100),
        }
        with contextlib.suppress(OSError):
            self._servers[socket.AF_INET6] = socket.create_server(
                ("::1", 0), family=socket.AF_INET6, backlog=100
            )

    @contextlib.contextmanager
    def open(self) -> Generator[None]:
        """Lead each connection of this process to this server."""
        net, getaddrinfo, connect = self, socket.getaddrinfo, socket.socket.connect

        def lookup(host: Any, port: Any, *args: Any, **kwargs: Any) -> list[Any]:
            # Like the real function, it refuses what the codec refuses.
            name = host.decode() if isinstance(host, bytes) else host.encode("idna").decode()
            if "\0" in name:
                raise ValueError("embedded null character")
            address = f"240.0.{len(net._names) // 250}.{len(net._names) % 250 + 1}"
            net._names[address] = name
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port or 0)))]

        def lead(self: socket.socket, address: Any) -> None:
            if self.family not in net._servers:
                return connect(self, address)
            server = net._servers[self.family].getsockname()
            self.bind((server[0], 0))
            host: str = address[0]
            port: int = address[1]
            net._targets[self.getsockname()[1]] = (net._names.get(host, host), port)
            return connect(self, server)

        for server in self._servers.values():
            threading.Thread(target=self._accept, args=(server,), daemon=True).start()
        socket.getaddrinfo, socket.socket.connect = lookup, lead  # type: ignore[assignment, method-assign]
        try:
            yield
        finally:
            socket.getaddrinfo, socket.socket.connect = getaddrinfo, connect  # type: ignore[method-assign]
            for server in self._servers.values():
                # Wake the thread that accepts connections.
                server.shutdown(socket.SHUT_RDWR)
                server.close()

    def visit(self, get: Callable[[str], Any], url: str, location: str = "") -> list[Arrival]:
        """Let a library get this URL. Return what arrived.

        Args:
            location: the redirect target of the first reply with this name in its path.
        """
        self._names.clear()
        self.arrivals, self.location = [], location
        # It does not matter what a library raises for an odd URL.
        with contextlib.suppress(Exception):
            get(url)
        return self.arrivals

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(5.0)
            host, port = self._targets[connection.getpeername()[1]]
            is_tls = connection.recv(1, socket.MSG_PEEK) == b"\x16"
            if is_tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as stream:
                line = stream.readline().decode("latin-1").strip()
                if not line:
                    return  # the client sent nothing
                headers = {}
                while field := stream.readline().strip():
                    name, _, value = field.decode("latin-1").partition(":")
                    headers[name.lower()] = value.strip()
                body = stream.read(int(headers.get("content-length", 0))).decode()
                target = ("https" if is_tls else "http", host.lower(), port)
                self.arrivals.append(Arrival(target, line, headers.get("authorization"), body))
                connection.sendall(self._reply(line))

    def _reply(self, line: str) -> bytes:
        if line.startswith("POST"):
            expiry = datetime.now(UTC) + timedelta(hours=1)
            pair = {"accessToken": TOKEN, "accessTokenExpirationDate": expiry.isoformat()}
            content, more = json.dumps(pair).encode(), b""
        elif "/redirects" in line:
            content, more = b"", b"Location: " + self.location.encode("utf-8", "replace") + b"\r\n"
        else:
            content, more = b"{}", b""
        status = b"302 x" if more else b"200 x"
        length = str(len(content)).encode()
        head = b"HTTP/1.1 " + status + b"\r\nContent-Length: " + length + b"\r\n" + more
        return head + b"Connection: close\r\n\r\n" + content


class Opinion:
    """`Origins` of an auth, which records its answers."""

    def __init__(self, auth: Any) -> None:
        self.auth = auth
        self.answers: list[bool] = []
        self._origins = auth._origins
        auth._origins = self

    def allows(self, url: str) -> bool:
        self.answers.append(self._origins.allows(url))
        return self.answers[-1]

    def warn_about(self, url: str) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._origins, name)


Get = Callable[[str], Any]


@contextlib.contextmanager
def libraries() -> Generator[dict[str, tuple[Get, Opinion]]]:
    """Return each library's GET, and the opinion of its auth."""

    def opinion(adapter: Any) -> Opinion:
        return Opinion(
            adapter.MontaAuth("id", SECRET, base_url=PUBLIC_API, allowed_origins=FURTHER)
        )

    session_auth, of_httpx = opinion(requests_monta), opinion(httpx_monta)
    of_httpx2, of_aiohttp = opinion(httpx2_monta), opinion(aiohttp_monta)
    options: Any = {"verify": False, "trust_env": False, "timeout": 5.0, "follow_redirects": True}
    runner = asyncio.Runner()

    async def open_session() -> aiohttp.ClientSession:
        resolver = aiohttp.resolver.ThreadedResolver()
        connector = aiohttp.TCPConnector(ssl=False, resolver=resolver, use_dns_cache=False)
        limit = aiohttp.ClientTimeout(total=5.0)
        middlewares = (of_aiohttp.auth,)
        return aiohttp.ClientSession(connector=connector, timeout=limit, middlewares=middlewares)

    with (
        warnings.catch_warnings(),
        runner,
        requests.Session() as session,
        httpx.Client(auth=of_httpx.auth, **options) as client,
        httpx2.Client(auth=of_httpx2.auth, **options) as client2,
    ):
        warnings.simplefilter("ignore")  # urllib3 warns because it must not verify certificates
        session.verify, session.trust_env = False, False
        session_auth.auth._session = session
        session.auth = session_auth.auth
        aiohttp_session = runner.run(open_session())

        async def get(url: str) -> None:
            async with aiohttp_session.get(url) as response:
                await response.read()

        try:
            yield {
                "requests": (lambda url: session.get(url, timeout=5.0), session_auth),
                "httpx": (client.get, of_httpx),
                "httpx2": (client2.get, of_httpx2),
                "aiohttp": (lambda url: runner.run(get(url)), of_aiohttp),
            }
        finally:
            runner.run(aiohttp_session.close())


def faults(arrivals: list[Arrival], answers: list[bool] | None) -> list[str]:
    """Return what must not happen.

    Args:
        answers: the answers of `Origins`; None with redirects, since most auths do not see them.
    """
    found = []
    for arrival in arrivals:
        path = arrival.line.split(" ")[1].partition("?")[0]
        is_at_endpoint = arrival.target == BASE and path in ENDPOINTS
        is_token_call = SECRET in arrival.body
        has_token = TOKEN in f"{arrival.authorization}{arrival.line}{arrival.body}"
        if is_token_call and not is_at_endpoint:
            found.append(f"the secret arrives at {arrival.target}, {arrival.line}")
        if has_token and arrival.target not in ALLOWED:
            found.append(f"the token arrives at {arrival.target}, {arrival.line}")
        if answers is None or is_token_call:
            continue
        if has_token and is_at_endpoint:
            found.append(f"the token arrives at an auth endpoint: {arrival.line}")
        if has_token is not answers[-1]:
            found.append(f"{arrival.target}: allowed is {answers[-1]}, has_token is {has_token}")
    return found


def check(
    net: Net, get: Get, opinion: Opinion, url: str, *, redirected: bool = False
) -> Counter[str]:
    """Let a library get a URL, or be redirected to it. Count what happened.

    Raises:
        AssertionError: a secret or a token was sent to a wrong place.
    """
    opinion.answers.clear()
    start, answers = (PUBLIC_API + "/redirects", None) if redirected else (url, opinion.answers)
    arrivals = net.visit(get, start, url if redirected else "")
    found = faults(arrivals, answers)
    assert not found, f"{url!r}, redirected is {redirected}: {found}"
    tokens = sum(TOKEN in str(arrival.authorization) for arrival in arrivals)
    return Counter(urls=1, arrivals=len(arrivals), tokens=tokens)


# --- URLs

HOSTS = [
    "public-api.monta.com",
    "PUBLIC-API.Monta.com",
    "evil.example",
    "xn--bcher-kva.example:8443",
    "b\u00fccher.example:8443",
    "[::1]:8000",
    "127.0.0.1",
    "127.1",
    "[::ffff:127.0.0.1]",
    "0x7f.0.0.1",
]
SCHEMES = ["https://", "http://", "HTTPS://", "hTTp://", "https:/", "https:", "https:\\\\", "//"]
PATHS = ["", "/", "/api/v1/charges", "/api/v1/auth/token", "/api/v1/../../x", "/a%2fb", "?q#f"]
NASTY = (
    "/\\@:?#[]%.;&=,*+ \t\r\n\x00\x01\x0b\x7f"
    "\u00a0\u00ad\u200b\u200d\u2060\u3002\uff0e\uff0f\uff20\u2044\u212a\u0131\u00df\ufeff"
)
INSERTED = [
    *["user:word@", "@evil.example", ".evil.example", "evil.example\\@", "\\@", "/@", "#@", "?@"],
    *[
        ":443",
        ":80",
        ":8443",
        ":8000",
        ":0443",
        ":",
        ":99999",
        "%2e",
        "%40",
        "%5c",
        "%00",
        ".",
        "..",
    ],
    *[
        "https://",
        "//",
        "public-api.monta.com",
        "evil.example",
        "[::1]",
        "[",
        "]",
        "xn--",
        "%25eth0",
    ],
]


def odd_url(chance: random.Random) -> str:
    """Return a good URL, or one that parsers may read in different ways."""
    userinfo = chance.choice(["", "", "", "user@", "user:word@", "public-api.monta.com@", "a\\@"])
    schemes = SCHEMES if chance.random() < 0.3 else ["https://", "http://"]
    url = chance.choice(schemes) + userinfo + chance.choice(HOSTS) + chance.choice(PATHS)
    for _ in range(chance.choice([0, 1, 1, 2, 3])):
        at = chance.randint(0, min(len(url), 50))
        what = chance.choice(NASTY if chance.random() < 0.5 else INSERTED)
        url = url[:at] + what + url[at + chance.randint(0, 1) :]
    return url


def fuzz(chance: random.Random, until: Callable[[], bool]) -> dict[str, Counter[str]]:
    """Try odd URLs until `until` returns true. Return the counts for each library.

    Raises:
        AssertionError: see `check`.
    """
    net = Net()
    counts: dict[str, Counter[str]] = {}
    with net.open(), libraries() as each:
        while not until():
            url, redirected = odd_url(chance), chance.random() < 0.3
            is_new = chance.random() < 0.2
            for name, (get, opinion) in each.items():
                if is_new:
                    opinion.auth.forget()
                counted = check(net, get, opinion, url, redirected=redirected)
                counts.setdefault(name, Counter()).update(counted)
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"connections: seed {seed}, {options.seconds:g} s", flush=True)
    for name in list(os.environ):
        if name.upper().endswith("_PROXY"):
            del os.environ[name]

    end = time.monotonic() + options.seconds
    try:
        with trustme.CA().cert_pem.tempfile() as authority:
            # requests reads all public CAs for each connection, which takes 20 ms.
            os.environ["SSL_CERT_FILE"] = authority
            counts = fuzz(random.Random(seed), lambda: time.monotonic() > end)
    except AssertionError as error:
        print(f"ASTRAY {error}")
        return 1
    for name, counted in counts.items():
        print(f"{name:<10}" + "".join(f"{counted[what]:>10} {what}" for what in counted))
    return 0 if all(counted["tokens"] for counted in counts.values()) else 1


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
