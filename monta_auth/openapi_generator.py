"""Use SDKs from openapi-generator (``-g python``, default library urllib3) with Monta.

For example::

    api_client = speak_monta(ApiClient(Configuration(host=PUBLIC_API)), MontaAuth())
    ChargePointsApi(api_client).get_charge_points()

Such an SDK takes a token from its ``Configuration`` before each call, if its description names a
security scheme. It makes each call through ``rest_client.request``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar
from urllib.parse import urljoin, urlsplit

from ._adapters.auth import BaseAuth
from ._adapters.token_source import TokenSource
from ._core.drivers import is_async
from ._core.errors import ConfigurationError
from ._core.origins import Origins
from ._core.secret import BearerHeader, bearer
from ._core.source import Source
from ._core.tokens import TokenSet

__all__ = ["speak_monta"]

T = TypeVar("T")


class Auth(Protocol):
    """A ``MontaAuth`` with a synchronous ``token()``."""

    source: TokenSource
    _source: Source
    _origins: Origins

    def token(self) -> TokenSet: ...


def speak_monta(api_client: T, auth: Auth) -> T:
    """Set up the ``ApiClient`` of a generated SDK for Monta and return it.

    Each call has a valid token, even if the description names no security scheme, and is retried
    once after a 401. Calls that set ``Authorization`` themselves stay unchanged. Calls raise the
    errors of `auth`.

    Args:
        api_client: the client of a synchronous SDK. Its ``Configuration`` gets a new
            ``access_token``.
        auth: makes the token calls; for example a ``requests_monta.MontaAuth``.

    Raises:
        ConfigurationError: an argument has the wrong type, the client is already set up, or its
            ``Configuration`` uses another auth object.
    """
    if not isinstance(auth, BaseAuth) or is_async(auth.token):
        raise ConfigurationError(
            "speak_monta() takes a MontaAuth of requests_monta, httpx_monta or httpx2_monta"
        )
    them: Any = api_client
    send = getattr(getattr(them, "rest_client", None), "request", None)
    if send is None or not hasattr(them, "configuration"):
        raise ConfigurationError("speak_monta() takes the ApiClient of a generated SDK")
    if is_async(send):
        raise ConfigurationError("this SDK is async: give a MontaAuth to the HTTP client in it")
    if isinstance(send, _Request):
        raise ConfigurationError("this client speaks Monta already")
    present = them.configuration.access_token
    if isinstance(present, _AccessToken) and present.auth._source is not auth._source:
        raise ConfigurationError("this Configuration has another auth: make one for each ApiClient")
    them.configuration.access_token = _AccessToken(auth, them.configuration)
    them.rest_client.request = _Request(auth, send)
    return api_client


class _AccessToken:
    """The token in a ``Configuration``; the SDK evaluates ``"Bearer " + access_token``."""

    def __init__(self, auth: Auth, configuration: Any) -> None:
        self.auth = auth
        self._configuration = configuration

    def __radd__(self, prefix: str) -> str:
        """Return the current header; for another host an empty one, without a token call."""
        is_ours = self.auth._origins.allows(self._configuration.host)
        return _header(self.auth) if is_ours else ""

    def __repr__(self) -> str:
        return f"<access token of {self.auth!r}>"


class _Request:
    """Replace ``rest_client.request``: set the token, and retry once after a 401."""

    def __init__(self, auth: Auth, send: Callable[..., Any]) -> None:
        self._auth = auth
        self._send = send

    def __call__(
        self, method: str, url: str, headers: Mapping[str, Any] | None = None, **settings: Any
    ) -> Any:
        source, origins = self._auth._source, self._auth._origins
        rest = {**(headers or {})}
        header = rest.get("Authorization")
        if header == "" or isinstance(header, BearerHeader):
            del rest["Authorization"]
        elif any(name.lower() == "authorization" for name in rest):
            return self._send(method, url, rest, **settings)
        if not origins.allows(url):
            origins.warn_about(url)
            return self._send(method, url, rest, **settings)
        header = header or _header(self._auth)
        # A new dict each time, because the SDK removes the Content-Type of a form from it.
        reply = self._send(method, url, {**rest, "Authorization": header}, **settings)
        method, url = _end(method, url, reply.response)
        if not source.refuse(reply.status, url, header, header, origins):
            return reply
        again = _header(self._auth)
        if again == header:
            return reply  # no other token is available
        reply.response.drain_conn()
        return self._send(method, url, {**rest, "Authorization": again}, **settings)


def _header(auth: Auth) -> BearerHeader:
    return bearer(auth.token().access_token)


def _end(method: str, url: str, response: Any) -> tuple[str, str]:
    """Return the last method and URL after redirects; no URL if urllib3 dropped our header."""
    for step in response.retries.history:
        onward = urljoin(url, step.redirect_location or "")
        if urlsplit(onward)[:2] != urlsplit(url)[:2]:
            return method, ""
        # A redirect with 303 continues with GET, so that the call is not carried out twice.
        method, url = "GET" if step.status == 303 else method, onward
    return method, url
