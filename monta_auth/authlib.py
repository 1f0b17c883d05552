"""Use Authlib's clients with Monta: `speak_monta`, and conversions of its ``OAuth2Token``.

For example::

    client = speak_monta(OAuth2Session("client-id", "client-secret"))
    client.fetch_token()
    client.get("https://public-api.monta.com/api/v1/charge-points")

It uses only public interfaces of Authlib, requests and httpx: a client auth method writes the
bodies, compliance hooks read the responses. Authlib decides when to renew; `MontaAuth` does more
(see docs/libraries/authlib.rst).
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial, wraps
from typing import Any, TypeVar
from urllib.parse import parse_qs

import monta_auth

from ._adapters.errors import LibraryErrors
from ._adapters.proxies import client_carries_away, session_carries_away
from ._core.credentials import find_credentials
from ._core.errors import ConfigurationError
from ._core.origins import Origins, clean_base_url
from ._core.proxies import keep_here
from ._core.replies import Reply, safe_text
from ._core.secret import causes_since, empty_frames, hidden, in_clear
from ._core.token_calls import (
    Kind,
    TokenRequest,
    mint_request,
    read_error,
    read_pair,
    read_refusal,
    refresh_request,
)
from ._core.tokens import TokenSet, whole_number

try:
    _base_client: Any = importlib.import_module("authlib.integrations.base_client")
    _rfc6749: Any = importlib.import_module("authlib.oauth2.rfc6749")
except ImportError as _error:
    raise ImportError(
        "monta_auth.authlib needs authlib: pip install 'monta-auth[authlib]'"
    ) from _error

__all__ = ["from_oauth2_token", "speak_monta", "to_oauth2_token"]

T = TypeVar("T")

#: The name of Monta's method among Authlib's client auth methods.
_METHOD = "monta"


def speak_monta(client: T, base_url: str | None = None) -> T:
    """Set up an Authlib client for Monta, once, and return it.

    ``fetch_token()`` then needs no arguments. Renewals use ``/auth/refresh``, or the credentials if
    there is no refresh token. Dates in the token are converted to this machine's clock. Only the
    origin of `base_url` receives the token. A redirect of a token call is an error.

    Token calls raise errors that are both a `MontaAuthError` and Authlib's ``OAuthError``. If the
    network fails, they raise the HTTP library's own exception.

    Args:
        client: an ``OAuth2Session`` (requests), ``OAuth2Client`` or ``AsyncOAuth2Client`` (httpx or
            httpx2, as Authlib uses). Default credentials: ``MONTA_CLIENT_ID`` and
            ``MONTA_CLIENT_SECRET``.
        base_url: URL of the API with ``/api/v1``. Default: ``MONTA_BASE_URL``, else `PUBLIC_API`.

    Raises:
        ConfigurationError: this is not an Authlib client, it is already set up, its
            ``token_placement`` is not the header, or `base_url` is unusable.
    """
    them: Any = client
    if not hasattr(client, "register_compliance_hook") or not hasattr(client, "headers"):
        raise ConfigurationError("speak_monta() takes a client of Authlib, such as OAuth2Session")
    if them.token_endpoint_auth_method == _METHOD:
        raise ConfigurationError("this client speaks Monta already")
    if them.token_auth.token_placement != "header":  # noqa: S105 - a place, not a password
        raise ConfigurationError("leave token_placement= out: Monta reads the token in the header")
    dialect = _Dialect(them, clean_base_url(base_url))
    them.register_client_auth_method((_METHOD, dialect.write))
    them.token_endpoint_auth_method = _METHOD
    them.metadata.update(
        token_endpoint=dialect.base_url + "/auth/token", grant_type="client_credentials"
    )
    them.register_compliance_hook("refresh_token_request", dialect.choose)
    them.register_compliance_hook("access_token_response", dialect.read)
    them.register_compliance_hook("refresh_token_response", dialect.read)
    them.register_compliance_hook("protected_request", dialect.guard)
    if hasattr(client, "event_hooks"):
        check = dialect.acheck if hasattr(client, "aclose") else dialect.check
        hooks = them.event_hooks
        them.event_hooks = {**hooks, "response": [*hooks["response"], check]}
    else:
        them.hooks["response"].append(dialect.check_session)
    wrap = _adiscreet if hasattr(client, "aclose") else _discreet
    for name in ("ensure_active_token", "fetch_token", "refresh_token"):
        setattr(client, name, wrap(getattr(client, name), dialect))
    return client


def _discreet(call: Callable[..., T], dialect: _Dialect) -> Callable[..., T]:
    """Keep secrets out of the frames and texts of whatever the call raises."""

    @wraps(call)
    def called(*args: Any, **kwargs: Any) -> T:
        args, kwargs = tuple(map(_hidden, args)), {k: _hidden(v) for k, v in kwargs.items()}
        with dialect.discreet():
            return call(*args, **kwargs)

    return called


def _adiscreet(call: Callable[..., Awaitable[T]], dialect: _Dialect) -> Callable[..., Awaitable[T]]:
    """Do what `_discreet` does, for coroutine functions."""

    @wraps(call)
    async def called(*args: Any, **kwargs: Any) -> T:
        args, kwargs = tuple(map(_hidden, args)), {k: _hidden(v) for k, v in kwargs.items()}
        with dialect.discreet():
            return await call(*args, **kwargs)

    return called


def _hidden(value: Any) -> Any:
    """Return a string, or the strings in a token, hidden; any other value unchanged."""
    if isinstance(value, _rfc6749.OAuth2Token):
        return _rfc6749.OAuth2Token({name: hidden(entry) for name, entry in value.items()})
    return hidden(value)


def to_oauth2_token(pair: TokenSet, *, refresh_token: bool = False) -> dict[str, Any]:
    """Return a token pair as Authlib's ``OAuth2Token``, with dates in whole Unix seconds.

    Args:
        pair: a token pair such as ``auth.token()``. Its dates are the server's, but Authlib
            compares them with the local clock. Only `speak_monta` can convert them.
        refresh_token: include the refresh token. It is single-use, so do not use it here as well.
    """
    token = _fields(pair, 0.0)
    if not refresh_token:
        del token["refresh_token"], token["refresh_expires_at"]
    oauth2_token: dict[str, Any] = _rfc6749.OAuth2Token(token)
    return oauth2_token


def from_oauth2_token(token: Mapping[str, Any], *, refresh_token: bool = False) -> TokenSet:
    """Return the token pair in an Authlib token, for example for ``MontaAuth(token=...)``.

    Args:
        token: an Authlib token such as ``client.token``. Keys that `speak_monta` or
            `to_oauth2_token` added (``issued_at``, ``refresh_expires_at``, ids) are used too.
        refresh_token: include the refresh token; see `to_oauth2_token`.

    Raises:
        ConfigurationError: ``access_token`` or ``expires_at`` is missing or unusable.
    """
    expires = _date(token.get("expires_at"))
    if expires is None:
        raise ConfigurationError("from_oauth2_token: expires_at must be a number, in Unix seconds")
    return TokenSet(
        access_token=token.get("access_token"),  # type: ignore[arg-type]  # checked there
        refresh_token=token.get("refresh_token") if refresh_token else None,
        access_expires_at=expires,
        refresh_expires_at=_date(token.get("refresh_expires_at")) if refresh_token else None,
        issued_at=_date(token.get("issued_at")),
        application_id=whole_number(token.get("application_id")),
        user_id=whole_number(token.get("user_id")),
    )


class _Dialect:
    """The hooks of one client: `write`, `choose`, `read`, `guard` and `check`."""

    def __init__(self, client: Any, base_url: str) -> None:
        self.base_url = base_url
        self._client = client
        self._earlier: deque[str] = deque(maxlen=16)
        self._origins = Origins(base_url)
        self._plain_http = self._origins.plain_http

    def secrets(self) -> tuple[str, ...]:
        """Return the secrets that no text may show."""
        token: Mapping[str, Any] = self._client.token or {}
        now = (self._client.client_secret, token.get("access_token"), token.get("refresh_token"))
        return (*(text for text in now if isinstance(text, str)), *self._earlier)

    @contextmanager
    def discreet(self) -> Generator[None]:
        """Remove secrets from the frames and texts of errors.

        HTTP libraries quote what a server echoes.
        """
        before = sys.exception()
        try:
            yield
        except BaseException as error:
            empty_frames(error, before)
            for cause in causes_since(error, before):
                text = safe_text(str(cause), self.secrets()) or ""
                if "[redacted]" in text:
                    cause.args = (text,)
            raise

    def choose(self, url: str, headers: Any, body: str) -> tuple[str, Any, str]:
        """Return the URL for a renewal: an expired refresh token is not worth a call."""
        over = _date(self._client.token.get("refresh_expires_at"))
        is_over = over is not None and over.timestamp() <= time.time()
        return self.base_url + ("/auth/token" if is_over else "/auth/refresh"), headers, body

    def write(
        self, auth: Any, method: str, uri: str, headers: Any, body: Any
    ) -> tuple[str, Any, bytes]:
        """Replace OAuth's body with Monta's."""
        self._keep_here()
        endpoint = self._origins.auth_endpoint(uri)
        if endpoint == "refresh":
            form = parse_qs(body.decode() if isinstance(body, bytes) else body)
            request = refresh_request(self.base_url, form["refresh_token"][0])
        elif endpoint == "token":
            credentials = find_credentials(auth.client_id, auth.client_secret)
            secret = None if credentials is None else credentials.literal_secret
            if credentials is None or secret is None:
                raise ConfigurationError(
                    "no credentials: give the client a client_id and a client_secret, or set "
                    "MONTA_CLIENT_ID and MONTA_CLIENT_SECRET"
                )
            request = mint_request(self.base_url, credentials.client_id, secret)
        else:
            raise ConfigurationError("this is no auth endpoint of base_url: leave the URL out")
        headers.update(request.headers)
        return uri, headers, request.body

    def read(self, response: Any) -> _Answer:
        """Turn Monta's response into an OAuth response, or raise its error."""
        request, wall = self._request_of(response), time.time()
        reply = Reply(response.status_code, response.headers, response.content)
        try:
            if not reply.is_good:
                raise self._error(reply, request, wall)
            pair = read_pair(reply, request, wall)
        except monta_auth.MontaAuthError as error:
            failure = error
        else:
            # Convert the server's dates to our clock; the token's life counts from sending.
            assert pair.issued_at is not None
            tokens = (pair.access_token, pair.refresh_token)
            self._earlier.extend(text for text in tokens if text)
            sent = wall - response.elapsed.total_seconds()
            return _Answer(_fields(pair, sent - pair.issued_at.timestamp()))
        raise _library_error(failure, request.kind)

    def guard(self, uri: str, headers: Any, body: Any) -> tuple[str, Any, Any]:
        """Keep the token from other origins, to which Authlib would send it."""
        if not self._origins.allows(uri):
            self._origins.warn_about(uri)
            headers.pop("Authorization", None)
        else:
            self._keep_here()
        return uri, headers, body

    def _keep_here(self) -> None:
        """Refuse, once, a proxy of the environment through which plain http leaves this machine."""
        is_httpx = hasattr(self._client, "event_hooks")
        carries = client_carries_away if is_httpx else session_carries_away
        keep_here(self._plain_http, partial(carries, self._client))
        self._plain_http = ()

    def check(self, response: Any) -> None:
        """Refuse a redirect of a token call before the client follows it."""
        url = str(response.request.url)
        if 300 <= response.status_code < 400 and self._origins.auth_endpoint(url):
            reply = Reply(response.status_code, response.headers, b"")
            request = self._request_of(response)
            raise _library_error(read_error(reply, request, time.time()), request.kind)

    async def acheck(self, response: Any) -> None:
        self.check(response)

    def check_session(self, response: Any, **kwargs: Any) -> None:
        try:
            self.check(response)
        except monta_auth.MontaAuthError:
            response.close()  # httpx does this itself
            raise

    def _error(self, reply: Reply, request: TokenRequest, wall: float) -> monta_auth.MontaAuthError:
        if request.kind == "mint" and reply.status == 401:
            return read_refusal(reply, request, self._client.client_id)
        error = read_error(reply, request, wall)
        token = self._client.token
        if token and not error.retryable and token.get("refresh_token") == request.secrets[0]:
            # It would be refused again. (A different one comes from a faster renewal.)
            token["refresh_token"] = None
        return error

    def _request_of(self, response: Any) -> TokenRequest:
        """Return the token call that belongs to this response."""
        sent = response.request
        try:
            body = json.loads(sent.content if hasattr(sent, "content") else sent.body)
            if "refreshToken" in body:
                return refresh_request(self.base_url, body["refreshToken"], self.secrets())
            return mint_request(
                self.base_url, body["clientId"], body["clientSecret"], self.secrets()
            )
        except (ValueError, TypeError, KeyError):
            pass
        raise ConfigurationError(
            "this was no token call of Monta's: call fetch_token() and refresh_token() without "
            "auth= and method="
        )


class _Answer:
    """A successful response with an OAuth token, for Authlib to parse."""

    status_code = 200

    def __init__(self, token: dict[str, Any]) -> None:
        self._token = token

    def json(self) -> dict[str, Any]:
        return self._token


def _fields(pair: TokenSet, ahead: float) -> dict[str, Any]:
    """Return a token pair with OAuth's names, for a clock `ahead` of the server's (seconds)."""

    def seconds(date: datetime | None) -> int | None:
        return None if date is None else int(date.timestamp() + ahead)

    return {
        "token_type": "Bearer",
        "access_token": str(pair.access_token),
        "expires_at": seconds(pair.access_expires_at),
        # Also if it is None: Authlib replaces a missing one with the old one, which is spent.
        "refresh_token": in_clear(pair.refresh_token),
        "refresh_expires_at": seconds(pair.refresh_expires_at),
        "issued_at": seconds(pair.issued_at),
        "application_id": pair.application_id,
        "user_id": pair.user_id,
    }


def _date(seconds: object) -> datetime | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


class _OAuthError(_base_client.OAuthError):  # type: ignore[misc]  # Any: it is imported late
    """Authlib's error with our text."""

    def __init__(self, text: str) -> None:
        Exception.__init__(self, text)
        self.description = text


errors: LibraryErrors = LibraryErrors("monta_auth.authlib", _OAuthError)


def _library_error(error: monta_auth.MontaAuthError, kind: Kind) -> Exception:
    """Return Authlib's error, with the error code of RFC 6749 (5.2)."""
    new: Any = errors.recast(error.with_traceback(None))
    if error.retryable:
        new.error = "temporarily_unavailable"
    elif isinstance(error, monta_auth.InvalidCredentialsError):
        new.error = "invalid_client"
    elif kind == "refresh":
        new.error = "invalid_grant"
    else:
        new.error = "server_error"
    raised: Exception = new
    return raised
