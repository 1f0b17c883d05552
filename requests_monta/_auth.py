"""`MontaAuth` for requests: it connects the library with the core, which decides."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from typing import Any, cast

import requests
from requests.auth import AuthBase
from urllib3 import Timeout as Limits

from monta_auth import ConfigurationError, RefreshPolicy, TokenSet, TokenSource
from monta_auth import retry_after as _retry_after
from monta_auth._adapters.auth import BaseAuth, check_response, wrong_library
from monta_auth._adapters.bodies import AuthBody
from monta_auth._adapters.proxies import session_carries_away
from monta_auth._adapters.reasons import Maker
from monta_auth._core.application import Application, Ask, find_application
from monta_auth._core.arguments import wrong_argument
from monta_auth._core.credentials import ClientSecret
from monta_auth._core.effects import Send
from monta_auth._core.errors import Failure, TransportFailure, is_from_signal_handler
from monta_auth._core.leader import OnToken
from monta_auth._core.policy import Spent
from monta_auth._core.proxies import keep_here
from monta_auth._core.replies import Reply
from monta_auth._core.secret import BearerHeader, hidden_arguments
from monta_auth._core.store_protocol import Store

from ._errors import library_error, transport_failure
from ._resend import Resend, content_of, read

Timeout = float | tuple[float | None, float | None] | None


class MontaAuth(BaseAuth, AuthBase):
    """Send a valid Monta token with each request: set it as ``session.auth`` or ``auth=``.

    Args:
        client_id: default: the environment variable ``MONTA_CLIENT_ID``.
        client_secret: a string, or a callable that returns it and is called for each fetch
            (``/auth/token``). Default: ``MONTA_CLIENT_SECRET``.
        base_url: URL of the API with ``/api/v1``. Default: ``MONTA_BASE_URL``, else `PUBLIC_API`.
        allowed_origins: more origins (URLs) that are allowed to receive the token.
        token: a token pair to start from; see `TokenSet`.
        store: where processes share the token pair; see `monta_auth.stores`. Needs the extra
            ``[file]``, ``[redis]`` or ``[store]``.
        on_token: called with each new token pair, once it is in use.
        policy: when to renew and how long to try; see `RefreshPolicy`.
        source: the `TokenSource` of another object, to share its token pair. It replaces all
            arguments above except `allowed_origins`.
        session: makes the token calls, with its proxies, CA and adapters. Default: a new
            ``requests.Session`` for each of them, which reads the environment.
        timeout: limit of a token call in seconds, as in requests. The policy's deadline applies
            as well.

    Objects with equal base URL, credentials and policy share one token pair in this process. A
    pickle holds the settings, with literal credentials, but no token.

    A request that gets no token raises an error that is both a `MontaAuthError` and a
    ``requests.RequestException``. If the network fails, it raises requests' own exception.

    Raises:
        ConfigurationError: the arguments cannot work.
    """

    def __init__(
        self,
        client_id: str | None = None,
        client_secret: ClientSecret | None = None,
        *,
        base_url: str | None = None,
        allowed_origins: Iterable[str] = (),
        token: TokenSet | None = None,
        store: Store | None = None,
        on_token: OnToken | None = None,
        policy: RefreshPolicy | None = None,
        source: TokenSource | None = None,
        session: requests.Session | None = None,
        timeout: Timeout = 10.0,
    ) -> None:
        client_id, client_secret, token = hidden_arguments(client_id, client_secret, token)
        super().__init__(
            client_id,
            client_secret,
            base_url=base_url,
            allowed_origins=allowed_origins,
            token=token,
            store=store,
            on_token=on_token,
            policy=policy,
            source=source,
        )
        if not isinstance(session, requests.Session | None):
            raise wrong_argument("session=", session, "a requests.Session")
        _check_timeout(timeout)
        self._session = session
        self._timeout = timeout

    _derived = (*BaseAuth._derived, "_hook")

    def _connect(self) -> None:
        super()._connect()
        self._hook = Resend(self._source, self._origins, self._header)

    def __call__(self, r: requests.PreparedRequest, *wrong: object) -> requests.PreparedRequest:
        if wrong or not isinstance(r, requests.PreparedRequest):
            raise wrong_library(self, r)
        url = r.url or ""
        if not self._origins.allows(url):
            self._origins.warn_about(url)
            return r
        if self._plain_http:
            self._keep_here(self._session)
            self._plain_http = ()
        header, hook = self._source.fresh(), self._hook
        if header is None:
            spent = Spent()
            header = self._header(r, spent)
            hook = Resend(self._source, self._origins, self._header, spent)
        r.headers["Authorization"] = header
        hooks = r.hooks["response"]
        if hooks:
            # A request that is authorized again keeps one hook of ours.
            hooks[:] = [hook for hook in hooks if type(hook) is not Resend]
        hooks.append(hook)
        return r

    def _header(self, request: requests.PreparedRequest, spent: Spent) -> BearerHeader:
        return self._drive(self._source.acquire(spent), self._send, request)

    def token(self) -> TokenSet:
        """Return a usable token pair, renewing it if needed.

        Raises:
            MontaAuthError: there is no token. A network failure raises requests' own exception.
        """
        pair = self._source.fresh_pair()
        if pair is not None:
            return pair
        if self._session is not None:
            self._keep_here(self._session)
        return self._drive(self._source.pair(), self._send)

    def bearer_token(self) -> str:
        """Return a usable access token as a string, for other clients."""
        return str(self.token().access_token)

    def application(self, session: requests.Session | None = None) -> Application:
        """Ask the API whose credentials these are: scopes, rate limit, dates.

        Args:
            session: makes the call. Default: the ``session`` of this object, else a temporary one.
        """
        if not isinstance(session, requests.Session | None):
            raise wrong_argument("application()", session, "a requests.Session")
        by = session if session is not None else self._session
        if by is not None:
            return self._application(by)
        with self._open() as by:
            return self._application(by)

    def _application(self, by: requests.Session) -> Application:
        self._keep_here(by)
        auth = self._trusting(self._session)

        def ask(effect: Ask) -> Reply:
            response = by.get(
                effect.url,
                headers=effect.headers,
                auth=auth,
                timeout=self._timeout,
                allow_redirects=False,
            )
            return Reply(response.status_code, response.headers, response.content)

        return self._drive(find_application(self._source), ask)

    def _library_error(self, failure: Failure, request: Any) -> Exception:
        return library_error(failure, request)

    def _send(self, effect: Send) -> Reply:
        if self._session is not None:
            return self._post(self._session, effect, "given")
        with self._open() as session:
            return self._post(session, effect, "defaults")

    def _open(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = not self._origins.is_plain_http
        return session

    def _keep_here(self, session: requests.Session | None) -> None:
        """Refuse proxies of the environment. A new session stands for an unknown one."""
        hint = _SWITCH if session is None else ""
        by = requests.Session() if session is None else session
        keep_here(self._origins.plain_http, partial(session_carries_away, by), hint)

    def _post(self, session: requests.Session, effect: Send, maker: Maker) -> Reply:
        call = effect.request
        request = requests.Request("POST", call.url, call.headers, data=call.body, auth=_no_auth)
        prepared = session.prepare_request(request)
        begin = partial(AuthBody, effect, time.monotonic())
        replies: list[Reply] = []

        def receive(response: requests.Response, **kwargs: Any) -> None:
            replies.append(Reply(response.status_code, response.headers, read(response, begin)))

        # It comes first, to read the response before another hook raises for its status.
        prepared.hooks["response"].insert(0, receive)
        given = self._timeout
        connect, silent = given if isinstance(given, tuple) else (given, given)
        timeouts = effect.within(connect, connect=True), effect.within(silent)
        limits: Any = Limits(effect.timeout, *timeouts)
        try:
            settings = session.merge_environment_settings(call.url, {}, False, None, None)
            response = session.send(prepared, timeout=limits, allow_redirects=False, **settings)
            if response.history and replies:
                return replies[0]  # This session follows redirects anyway.
            return Reply(response.status_code, response.headers, response.content)
        except TransportFailure as error:
            failure = error.with_traceback(None)
        except Exception as error:
            if is_from_signal_handler(error):
                raise
            if replies:
                return replies[0]
            failure = transport_failure(error, effect, timeouts, maker)
        raise failure


_SWITCH = "; MontaAuth(session=session) turns this check off where your session uses no such proxy"


def _check_timeout(timeout: Any) -> None:
    pair = cast("tuple[object, ...]", timeout) if isinstance(timeout, tuple) else (timeout, timeout)
    is_good = [
        seconds is None
        or (isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0)
        for seconds in pair
    ]
    if is_good != [True, True]:
        raise ConfigurationError(
            "timeout= takes seconds, such as 10.0, or those for connecting and for reading, such "
            "as (3.0, 10.0); None is no limit"
        )


def _no_auth(r: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep the session's own auth, netrc and Authorization header out of a token call."""
    r.headers.pop("Authorization", None)
    return r


def retry_after(response: requests.Response) -> float | None:
    """Return how many seconds to wait before you retry this request, or None.

    For requests that got a 429 or a 503. `monta_auth.retry_after` explains what it reads.
    A body that was not read (``stream=True``) is not read now; only the headers count.

    Raises:
        TypeError: the response is from another library.
    """
    check_response(response, requests.Response)
    return _retry_after(response.status_code, response.headers, content_of(response))
