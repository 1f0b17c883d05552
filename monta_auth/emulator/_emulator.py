"""The public class: verbs, and the server's life."""

from dataclasses import dataclass
from typing import Self

from starlette.types import ASGIApp

from ._app import BASE_PATH, App
from ._server import Server, for_loopback_names, require_loopback
from ._settings import Settings
from ._state import Call, Fault, State


@dataclass(kw_only=True, eq=False, repr=False)
class Emulator(Settings):
    """A Monta of your own, in this process. As a context manager it serves HTTP; `app` works
    without any server.

        with Emulator(partner=True, quota=100) as monta:
            client = httpx.Client(base_url=monta.base_url)

    The guide "Testing your code" lists the calls that it answers. Any other path, query parameter
    or field of a body is a 501 that names it; without a valid token, even that is a 401. All
    arguments are attributes too and may be changed while it runs, from any thread.

    Args:
        client_id, client_secret: the credentials to use; random unless given. A new
            ``client_secret`` leaves tokens alive (what Monta does is unknown).
        credentials: further accepted pairs, client id to secret. A removed pair's tokens die.
        partner: speak the partner dialect: its calls and fields, RateLimit headers when there is a
            quota, refresh tokens of 24 h.
        reissue: ``/auth/token`` gives the same access token while it lives. (What Monta does is
            unknown for this one and the next two.)
        single_use_refresh: a refresh token works once.
        rotation_revokes: a refresh ends the access token that came with the refresh token.
        access_lifetime: seconds. Source: 1 h (API references).
        refresh_lifetime: seconds; None means 30 days, partner 24 h (API references).
        clock_offset: seconds that the server's clock is ahead of ``time``.
        latency: seconds before each answer; the call has taken effect already.
        quota: calls that a client has in each window, auth calls included (whether Monta counts
            them is unknown); None means no limit. Over it: 429. Monta's own are 10 in 60 s (public,
            seen by third parties) and 1000 in 600 s (partner integration notes).
        quota_window: seconds; a window opens with the first call in it.
        send_retry_after, send_date: a 429 carries ``Retry-After``; replies carry ``Date``.
        null_keys: errors have keys that are null (production log), or not (Monta's description).
        routes: Starlette routes below ``/api/v1``, behind the same token check, before the built-in
            ones. ``request.state.client_id`` says who calls. Replies are collected whole.
        time: the clock, Unix seconds: tokens expire and charges go on by it.
        host: a loopback address.
        port: 0 means a free one; from the first start on, the one in use, so that after ``stop()``,
            ``start()`` the server is back at the same ``base_url``.

    Raises:
        ValueError: an argument, or what an attribute is set to, is of no use.
    """

    def __post_init__(self) -> None:
        require_loopback(self.host)
        self.credentials = dict(self.credentials)
        self._state = State(self)
        self._server: Server | None = None
        self._app: ASGIApp = App(self, self._state)

    @property
    def app(self) -> ASGIApp:
        """The ASGI application, such as for ``httpx.ASGITransport``. A fault that closes the
        connection raises ConnectionResetError there."""
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
        self._server = Server(for_loopback_names(self._app), self.host, self.port)
        self.port = self._server.port

    def stop(self) -> None:
        """Close all connections, at once, and end the thread. Tokens and calls stay."""
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
        """Forget calls and pending faults. Tokens, quotas and charges stay."""
        self._state.clear()
