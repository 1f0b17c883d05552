"""SDKs that openapi-generator makes (``-g python``, with its default library urllib3), for Monta.

    api_client = speak_monta(ApiClient(Configuration(host=PUBLIC_API)), MontaAuth())
    ChargePointsApi(api_client).get_charge_points()

Such an SDK asks its ``Configuration`` for a token before each call, if its description names a
security scheme; and it makes each call by ``rest_client.request``, which knows URL and reply.
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
    """A ``MontaAuth`` whose token calls need no event loop."""

    source: TokenSource
    _source: Source
    _origins: Origins

    def token(self) -> TokenSet: ...


def speak_monta(api_client: T, auth: Auth) -> T:
    """Teach the ``ApiClient`` of a generated SDK to speak with Monta; return it.

    Its calls carry a token of now, whatever the description says of security. One that is refused
    with 401 is sent once more. One with an ``Authorization`` of its own is left alone.

    Args:
        api_client: of a synchronous SDK; its ``Configuration`` gets another ``access_token``.
        auth: such as ``requests_monta.MontaAuth``; it makes the token calls.

    Raises:
        ConfigurationError: it is no such client or auth, the client speaks Monta already, or its
            ``Configuration`` has the token of another auth. Calls raise what `auth` raises.
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
    """Stands in a ``Configuration``, where the SDK says ``"Bearer " + access_token``."""

    def __init__(self, auth: Auth, configuration: Any) -> None:
        self.auth = auth
        self._configuration = configuration

    def __radd__(self, prefix: str) -> str:
        """Return the header of now; none for a foreign host, which is not worth a token call."""
        is_ours = self.auth._origins.allows(self._configuration.host)
        return _header(self.auth) if is_ours else ""

    def __repr__(self) -> str:
        return f"<access token of {self.auth!r}>"


class _Request:
    """Stands in for ``rest_client.request``: has the last word on the token, and sends again."""

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
        # A dict for each sending: the SDK takes the Content-Type of a form out of it.
        reply = self._send(method, url, {**rest, "Authorization": header}, **settings)
        method, url = _end(method, url, reply.response)
        if not source.refuse(reply.status, url, header, header, origins):
            return reply
        again = _header(self._auth)
        if again == header:
            return reply  # there is no better token
        reply.response.drain_conn()
        return self._send(method, url, {**rest, "Authorization": again}, **settings)


def _header(auth: Auth) -> BearerHeader:
    return bearer(auth.token().access_token)


def _end(method: str, url: str, response: Any) -> tuple[str, str]:
    """Return what was asked last, after redirects; no URL if urllib3 left our header behind."""
    for step in response.retries.history:
        onward = urljoin(url, step.redirect_location or "")
        if urlsplit(onward)[:2] != urlsplit(url)[:2]:
            return method, ""
        # What a redirect has carried out already is not asked for again.
        method, url = "GET" if step.status == 303 else method, onward
    return method, url
