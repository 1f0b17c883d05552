"""The public class `Emulator`."""

from dataclasses import dataclass
from typing import Self

from starlette.types import ASGIApp

from ._app import BASE_PATH, App
from ._server import Server, for_loopback_names, require_loopback
from ._settings import Settings
from ._state import Call, Fault, State


@dataclass(kw_only=True, eq=False, repr=False)
class Emulator(Settings):
    """A local Monta in this process.

    `app` works without a server. As a context manager, the emulator serves HTTP::

        with Emulator(partner=True, quota=100) as monta:
            client = httpx.Client(base_url=monta.base_url)

    The guide "Testing your code" lists its calls. Any other path, query parameter or body field is
    a 501 that names it (a 401 without a valid token). All arguments are also attributes, which any
    thread may change while it runs.

    Args:
        client_id, client_secret: the credentials. Default: random. Tokens stay valid when you
            change ``client_secret`` (for Monta, this is unknown).
        credentials: more credentials, client id to secret. Tokens of removed ones are refused.
        partner: emulate the Partner API: its calls and fields, RateLimit headers with a quota,
            refresh tokens of 24 h.
        reissue: ``/auth/token`` returns the same access token while it is valid. (For this and the
            next two, it is unknown what Monta does.)
        single_use_refresh: a refresh token works once.
        rotation_revokes: a refresh revokes the access token of the same token pair.
        access_lifetime: seconds. Source: 1 h (API references).
        refresh_lifetime: seconds. None means 30 days, or 24 h with ``partner`` (API references).
        clock_offset: seconds that the server's clock is ahead of ``time``.
        latency: seconds before each reply. The call takes effect before that.
        quota: calls per client and window, including token calls (whether Monta counts these is
            unknown). More are a 429. None means no limit. Monta's limits are 10 in 60 s (Public
            API, seen by third parties) and 1000 in 600 s (Partner API, integration notes).
        quota_window: seconds. A window begins with its first call.
        send_retry_after, send_date: whether a 429 has ``Retry-After``, and all replies ``Date``.
        null_keys: whether errors include keys that are null, as in a production log, or not, as in
            Monta's description.
        routes: Starlette routes below ``/api/v1``, with the same token check. They take precedence
            over built-in calls. ``request.state.client_id`` is the caller. Replies do not stream.
        time: the clock for tokens and charges, in Unix seconds.
        host: a loopback address.
        port: 0 means a free port. The first start sets it to the port in use, so ``base_url`` stays
            the same after ``stop()`` and ``start()``.

    Raises:
        ValueError: an argument, or the new value of an attribute, cannot work.
    """

    def __post_init__(self) -> None:
        require_loopback(self.host)
        self.credentials = dict(self.credentials)
        self._state = State(self)
        self._server: Server | None = None
        self._app: ASGIApp = App(self, self._state)

    @property
    def app(self) -> ASGIApp:
        """The ASGI application, for example for ``httpx.ASGITransport``.

        A fault that closes the connection raises ConnectionResetError there.
        """
        return self._app

    @property
    def base_url(self) -> str:
        """The base URL, such as ``"http://127.0.0.1:49152/api/v1"``.

        It has no port before the first start, unless you set one.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}{f':{self.port}' if self.port else ''}{BASE_PATH}"

    def start(self) -> None:
        """Serve HTTP in a thread until `stop`.

        Raises:
            RuntimeError: it is already running.
            OSError: the port cannot be used.
        """
        if self._server is not None:
            raise RuntimeError("the emulator is already running")
        self._server = Server(for_loopback_names(self._app), self.host, self.port)
        self.port = self._server.port

    def stop(self) -> None:
        """Close all connections at once, and end the thread. Tokens and calls are kept."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "stopped" if self._server is None else "running"
        return f"<Emulator {state} base_url={self.base_url!r} client_id={self.client_id!r}>"

    def revoke_access_tokens(self) -> None:
        """Revoke all access tokens: calls with them get a 401. Refresh tokens stay valid."""
        self._state.revoke_access_tokens()

    def revoke_refresh_tokens(self) -> None:
        """Revoke all refresh tokens: refreshes get a 401. Access tokens stay valid."""
        self._state.revoke_refresh_tokens()

    def inject(self, fault: Fault, times: int = 1, path: str | None = None) -> None:
        """Apply this fault to the next matching calls. Faults queue up in order.

        Args:
            fault: what goes wrong.
            times: the number of calls.
            path: relative to ``/api/v1``, such as ``"/charge-points"``. None means both auth
                endpoints.

        Raises:
            ValueError: ``times`` is below 1, or ``path`` does not begin with a slash.
        """
        self._state.inject(fault, times, path)

    @property
    def calls(self) -> tuple[Call, ...]:
        """All calls since the last `clear`, in order."""
        return self._state.calls()

    def count(self, path: str | None = None) -> int:
        """Return the number of calls, in total or to one path such as ``"/auth/token"``."""
        return sum(path is None or call.path == path for call in self._state.calls())

    def clear(self) -> None:
        """Forget calls and pending faults. Tokens, quotas and charges are kept."""
        self._state.clear()
