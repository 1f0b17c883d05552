"""The public class: settings as plain attributes, verbs, and the server's life."""

import time as _time
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from ._app import BASE_PATH, App
from ._server import Server, require_loopback
from ._state import Call, Fault, State


class Emulator:
    """A Monta of your own, in this process. As a context manager it serves HTTP; `app` works
    without any server.

        with Emulator(partner=True, quota=100) as monta:
            client = httpx.Client(base_url=monta.base_url)

        monta = Emulator()
        transport = httpx.ASGITransport(monta.app)
        client = httpx.AsyncClient(transport=transport, base_url=monta.base_url)

    It answers ``POST /auth/token`` and ``POST /auth/refresh``, and to a bearer of their tokens
    ``GET /auth/me`` (partner: ``/consumers/me`` too), ``/charge-points``, ``/charges``,
    ``/wallet-transactions`` (pages from 0), single records by id, and ``POST /charges``. Anything
    without a valid token is a 401, even if the path does not exist. A refresh token works once;
    renewing or minting leaves older access tokens alive (what Monta does there is unknown). All
    arguments are attributes too and may be changed while it runs, from any thread.

    Args:
        client_id, client_secret: the credential to use; random unless given. A new
            ``client_secret`` leaves tokens alive (what Monta does is unknown).
        credentials: further accepted pairs, client id to secret. A removed pair's tokens die.
        partner: speak the partner dialect: no ``applicationId`` and ``userId``, error codes
            CONSUMER_NOT_FOUND and INVALID_ACCESS_TOKEN, RateLimit headers when there is a quota, 24
            h refresh tokens.
        access_lifetime: seconds that an access token lives. Source: 1 h (API reference, both APIs).
        refresh_lifetime: seconds; None means 30 days, partner 24 h (API references of the two).
        clock_offset: seconds that the server's clock is ahead of ``time``: it shows in the dates of
            bodies and in the ``Date`` header, and tokens expire by it.
        latency: seconds before each answer; the call has taken effect already.
        quota: calls that a credential has in each window, auth calls included; None means no limit.
            Over it: 429. Monta's own are 10 in 60 s (public, seen by third parties) and 1000 in 600
            s (partner integration notes). Whether Monta counts auth calls is unknown.
        quota_window: seconds; a window opens with the first call in it.
        send_date: whether replies carry a ``Date`` header.
        routes: Starlette routes below ``/api/v1``, behind the same token check; they come before
            the built-in ones. ``request.state.client_id`` says who calls. A reply is collected
            whole before it is sent.
        time: the clock, Unix seconds.
        host: a loopback address.
        port: 0 means a free one; from the first start on, the one in use, so that after ``stop()``,
            ``start()`` the server is back at the same ``base_url``.

    Raises:
        ValueError: ``host`` is not a loopback address.
    """

    def __init__(
        self,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        credentials: Mapping[str, str] | None = None,
        partner: bool = False,
        access_lifetime: float = 3600.0,
        refresh_lifetime: float | None = None,
        clock_offset: float = 0.0,
        latency: float = 0.0,
        quota: int | None = None,
        quota_window: float = 60.0,
        send_date: bool = True,
        routes: Sequence[BaseRoute] = (),
        time: Callable[[], float] = _time.time,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        require_loopback(host)
        self.client_id: str = str(uuid.uuid4()) if client_id is None else client_id
        self.client_secret: str = str(uuid.uuid4()) if client_secret is None else client_secret
        self.credentials: dict[str, str] = {} if credentials is None else dict(credentials)
        self.partner = partner
        self.access_lifetime = access_lifetime
        self.refresh_lifetime = refresh_lifetime
        self.clock_offset = clock_offset
        self.latency = latency
        self.quota = quota
        self.quota_window = quota_window
        self.send_date = send_date
        self.routes = routes
        self.time = time
        self.host = host
        self.port: int = port
        self._state = State(self)
        self._server: Server | None = None
        self._app: ASGIApp = App(self, self._state)

    @property
    def app(self) -> ASGIApp:
        """The ASGI application, for ``httpx.ASGITransport``.

        A fault that closes the connection raises ConnectionResetError there.
        """
        return self._app

    @property
    def base_url(self) -> str:
        """Such as ``"http://127.0.0.1:49152/api/v1"``; without a port as long as none is known."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}{f':{self.port}' if self.port else ''}{BASE_PATH}"

    def start(self) -> None:
        """Serve HTTP from a thread until `stop`.

        Raises:
            RuntimeError: it runs already.
            OSError: the port is taken.
        """
        if self._server is not None:
            raise RuntimeError("the emulator runs already")
        self._server = Server(self._app, self.host, self.port)
        self.port = self._server.port

    def stop(self) -> None:
        """Close all connections, at once, and end the thread. Tokens and calls stay."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "stopped" if self._server is None else "running"
        return f"<Emulator {state} base_url={self.base_url!r} client_id={self.client_id!r}>"

    def revoke_access_tokens(self) -> None:
        """Forget every access token: each gets a 401 from now on, refresh tokens go on working."""
        self._state.revoke_access_tokens()

    def revoke_refresh_tokens(self) -> None:
        """Forget every refresh token: each gets a 401 from now on, access tokens go on working."""
        self._state.revoke_refresh_tokens()

    def inject(self, fault: Fault, times: int = 1, path: str | None = None) -> None:
        """Let the next ``times`` matching calls have this fault. Faults queue up in the order they
        came.

        Args:
            fault: what goes wrong.
            times: how many calls it meets.
            path: relative to ``/api/v1``, such as ``"/charge-points"``; None means both auth
                endpoints.

        Raises:
            ValueError: ``times`` is below 1, or ``path`` does not begin with a slash.
        """
        self._state.inject(fault, times, path)

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every call since the last `clear`, in the order they were carried out."""
        return self._state.calls()

    def count(self, path: str | None = None) -> int:
        """How many calls there were, in all or to one path such as ``"/auth/token"``."""
        return sum(path is None or call.path == path for call in self._state.calls())

    def clear(self) -> None:
        """Forget calls and pending faults. Tokens and quotas stay."""
        self._state.clear()
