"""`MontaAuth` for requests. Translates and drives; every decision is the core's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar

import requests
from requests.auth import AuthBase
from requests.cookies import extract_cookies_to_jar
from requests.exceptions import UnrewindableBodyError
from requests.utils import rewind_body

from monta_auth import MontaAuthError, RefreshPolicy, TokenSet, TokenSource
from monta_auth._auth import BaseAuth
from monta_auth._credentials import ClientSecret
from monta_auth._drive import Flow, drive
from monta_auth._effects import Send
from monta_auth._errors import TransportFailure
from monta_auth._held import NOTHING, Held, Nothing
from monta_auth._source import OnToken
from monta_auth._wire import Reply
from monta_auth.stores import Bindable, Store

from ._errors import library_error, transport_failure

T = TypeVar("T")
Timeout = float | tuple[float | None, float | None] | None


class MontaAuth(BaseAuth, AuthBase):
    """Monta auth for requests: pass it as ``auth=`` or set it as ``session.auth``.

    Args:
        client_id: default: the environment variable ``MONTA_CLIENT_ID``.
        client_secret: default: ``MONTA_CLIENT_SECRET``. A callable is asked at every mint.
        base_url: of the API, with ``/api/v1``; default: ``MONTA_BASE_URL``, else `PUBLIC_API`.
        allowed_origins: further origins (URLs) that may get the token.
        token: a pair to start from; see `TokenSet`.
        store: where to keep the pair beside memory; see `monta_auth.stores`.
        on_token: called with each new pair, once it is in use.
        policy: how early to renew and how long to try; see `RefreshPolicy`.
        source: share the `TokenSource` of another object, in place of all the above but
            `allowed_origins`.
        session: makes the token calls, with its proxies, CA and adapters; default: a fresh
            ``requests.Session`` for each of them, which honours the environment.
        timeout: of a token call, in seconds, as in requests; never more than is left of the
            policy's deadline.

    Objects with equal base URL, credentials and policy share one token in this process. A pickle
    holds the settings, literal credentials included, and no token.

    Raises:
        ConfigurationError: the arguments cannot work. Requests raise errors that are both a
            `MontaAuthError` and a ``requests.RequestException``; a network failure of a token
            call raises requests' own exception.
    """

    def __init__(
        self,
        client_id: str | None = None,
        client_secret: ClientSecret | None = None,
        *,
        base_url: str | None = None,
        allowed_origins: Iterable[str] = (),
        token: TokenSet | None = None,
        store: Store | Bindable | None = None,
        on_token: OnToken | None = None,
        policy: RefreshPolicy | None = None,
        source: TokenSource | None = None,
        session: requests.Session | None = None,
        timeout: Timeout = 10.0,
    ) -> None:
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
        self._session = session
        self._timeout = timeout

    _derived = (*BaseAuth._derived, "_low", "_high", "_hook")

    def _connect(self) -> None:
        super()._connect()
        self._low, self._high = self._origins.low, self._origins.high
        self._hook = _Resend(self, NOTHING)

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        hook = self._hook
        url = r.url or ""
        # The hot path: a URL as `Origins.allows` tells it first, a token as `fresh` does.
        if not self._low <= url < self._high or self._monotonic() >= hook.held.advisory_at:
            if not self._origins.allows(url):
                self._origins.warn_about(url)
                return r
            hook = self._hook = _Resend(self, self._run(self.source.obtain(), r))
        r.headers["Authorization"] = hook.held.header
        hooks = r.hooks["response"]
        if hooks:
            # A request that is authorised anew keeps one hook of ours.
            hooks[:] = [other for other in hooks if type(other) is not _Resend]
        hooks.append(hook)
        return r

    def token(self) -> TokenSet:
        """Return a usable token pair; fetch or renew it if that is due."""
        return self._run(self.source.obtain()).pair

    def bearer_token(self) -> str:
        """Return a usable access token, for clients that want it as a string."""
        return self.token().access_token

    def _run(self, flow: Flow[T], request: requests.PreparedRequest | None = None) -> T:
        try:
            return drive(flow, self._send)
        except (MontaAuthError, TransportFailure) as error:
            failure = error
        # Raised afresh and outside of the handler: no frame of the token call hangs on to it.
        raise library_error(failure.with_traceback(None), request)

    def _send(self, effect: Send) -> Reply:
        if self._session is not None:
            return self._post(self._session, effect)
        with requests.Session() as session:
            return self._post(session, effect)

    def _post(self, session: requests.Session, effect: Send) -> Reply:
        call = effect.request
        request = requests.Request(
            "POST", call.url, headers=call.headers, data=call.body, auth=_no_auth
        )
        prepared = session.prepare_request(request)
        request.data = b""
        try:
            settings = session.merge_environment_settings(call.url, {}, False, None, None)
            response = session.send(
                prepared,
                timeout=_within(self._timeout, effect.timeout),
                allow_redirects=False,
                **settings,
            )
            return Reply(response.status_code, response.headers, response.content)
        except Exception as error:
            answer = getattr(error, "response", None)
            if isinstance(answer, requests.Response):
                # A hook of the session that raises for the status.
                return Reply(answer.status_code, answer.headers, answer.content)
            hint = "" if self._session is not None else _HINT
            failure = transport_failure(error, call.secrets, hint)
        finally:
            prepared.body = b""
        raise failure


#: Marks the second sending of a request, whose 401 is handed over (requests-cache calls hooks
#: twice); copies of the request, as for a redirect, do not have it.
_RESENT = "_monta_auth_resent"
_HINT = "; MontaAuth(session=...) makes the token calls with your session's proxies and CA"


def _no_auth(r: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep the session's own auth, netrc and Authorization header out of a token call."""
    r.headers.pop("Authorization", None)
    return r


def _within(timeout: Timeout, left: float) -> Timeout:
    if isinstance(timeout, tuple):
        return tuple(left if part is None else min(part, left) for part in timeout)  # type: ignore[return-value]
    return left if timeout is None else min(timeout, left)


class _Resend:
    """The response hook of requests with one token: has a refused one sent once more.

    Redirects share it with the request that they came from. It pickles to a hook that does
    nothing, since responses are pickled (caches, process pools) and it leads to the secret.
    """

    __slots__ = ("_auth", "held")

    def __init__(self, auth: MontaAuth, held: Held | Nothing) -> None:
        self._auth = auth
        self.held = held

    def __call__(self, response: requests.Response, **kwargs: Any) -> requests.Response:
        refused = response.request
        if response.status_code != 401 or hasattr(refused, _RESENT):
            return response
        connection = getattr(response, "connection", None)
        if connection is None:
            return response  # out of a cache: it says nothing about the token of today
        auth = self._auth
        sent = refused.headers.get("Authorization")
        sent = sent if isinstance(sent, str) else None
        if not auth.source.refuse(401, refused.url or "", sent, self.held.header, auth._origins):
            return response
        again = refused.copy()
        if not _rewound(again):
            return response
        try:
            response.content  # noqa: B018 - drained, the connection can be used again
        except (requests.RequestException, RuntimeError):
            pass
        response.close()
        held = auth._run(auth.source.obtain(), _harmless(refused))
        jar = again._cookies
        if jar is not None:
            extract_cookies_to_jar(jar, refused, response.raw)
            again.prepare_cookies(jar)
        again.headers["Authorization"] = held.header
        setattr(again, _RESENT, True)
        # A redirect of the answer is built from the request that the session knows.
        refused.headers["Authorization"] = held.header
        hooks = refused.hooks["response"]
        hooks[:] = [_Resend(auth, held) if hook is self else hook for hook in hooks]
        started = time.perf_counter()
        answer: requests.Response = connection.send(again, **kwargs)
        answer.elapsed = timedelta(seconds=time.perf_counter() - started)
        answer.history.append(response)
        answer.request = again
        return answer

    def __copy__(self) -> _Resend:
        return self

    def __deepcopy__(self, memo: object) -> _Resend:
        return self

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        return _no_hook, ()


def _no_hook() -> Callable[..., None]:
    return _leave


def _leave(response: requests.Response, **kwargs: Any) -> None:
    """A hook that leaves the response as it is."""


def _rewound(request: requests.PreparedRequest) -> bool:
    """Set the body back to where it started; False if it cannot be sent a second time."""
    body: object = request.body
    if body is None or isinstance(body, bytes | str):
        return True
    try:
        rewind_body(request)
    except (UnrewindableBodyError, ValueError):  # ValueError: the file has been closed
        return False
    return True


def _harmless(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """A copy for an error to carry: without the refused token, and without hooks."""
    copy = request.copy()
    copy.headers.pop("Authorization", None)
    copy.hooks = {"response": []}
    return copy
