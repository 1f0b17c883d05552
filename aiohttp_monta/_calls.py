"""The calls that this package makes: token calls, and the one for `application`."""

from __future__ import annotations

from typing import Any

from aiohttp import (
    ClientHandlerType,
    ClientMiddlewareType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    Payload,
)
from yarl import URL

from monta_auth._adapters.bodies import Body
from monta_auth._adapters.reasons import Maker
from monta_auth._core.application import Ask
from monta_auth._core.effects import Send
from monta_auth._core.errors import is_from_signal_handler
from monta_auth._core.policy import AUTH_RESPONSE_LIMIT
from monta_auth._core.proxies import (
    carried_away,
    environment_carries,
    environment_proxy,
)
from monta_auth._core.replies import Reply

from ._errors import transport_failure


class TokenBody(Payload):
    """The body of a token call.

    Attributes:
        is_sent: whether sending it has begun.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(None, content_type="application/json")
        self.content = content
        self.is_sent = False

    @property
    def size(self) -> int:
        return len(self.content)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Hide the content. aiohttp itself does not decode bodies."""
        return "[redacted]"

    async def write(self, writer: Any) -> None:
        self.is_sent = True
        await writer.write(self.content)


async def make_token_call(
    session: ClientSession, effect: Send, lent: dict[str, Any], maker: Maker
) -> Reply:
    """Make a token call without the session's middlewares and auth, and without redirects.

    Args:
        lent: further arguments; see `lent_by`.
        maker: where the session comes from.

    Raises:
        TransportFailure: there was no response.
    """
    call = effect.request
    body = TokenBody(call.body)
    timeout = _within(session.timeout, effect)
    received = Body(AUTH_RESPONSE_LIMIT, float("inf"))  # The timeout limits the whole call.
    try:
        async with session.post(
            call.url,
            data=body,
            headers=call.headers,
            timeout=timeout,
            allow_redirects=False,
            raise_for_status=False,
            auto_decompress=False,
            middlewares=(_no_auth,),
            **lent,
        ) as response:
            async for chunk in response.content.iter_any():
                if not received.add(chunk):
                    response.close()
                    break
            return Reply(response.status, response.headers, received.decoded(response.headers))
    except Exception as error:
        if is_from_signal_handler(error):
            raise
        failure = transport_failure(error, effect, timeout, session.closed, body.is_sent, maker)
    raise failure


async def make_call(session: ClientSession, effect: Ask, auth: ClientMiddlewareType) -> Reply:
    """Make a call with the token, without other middlewares and without redirects."""
    async with session.get(
        effect.url,
        headers=effect.headers,
        allow_redirects=False,
        raise_for_status=False,
        auto_decompress=True,
        middlewares=(auth,),
    ) as response:
        return Reply(response.status, response.headers, await response.read())


async def _no_auth(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Keep the session's own auth, netrc and Authorization header out of a token call."""
    request.headers.popall("Authorization", None)
    return await handler(request)


def lent_by(request: ClientRequest, base_url: URL) -> dict[str, Any]:
    """Return the arguments that a token call adopts from the request that caused it.

    They are specific to a host, so a request to another host provides none.
    """
    if request.url.origin() != base_url.origin():
        return {}
    lent: dict[str, Any] = {"ssl": request.ssl, "server_hostname": request.server_hostname}
    proxy = request.proxy
    auth: Any = request.proxy_auth
    if proxy is not None:
        # In the URL, because the argument `proxy_auth` is deprecated by now.
        if auth is not None:
            proxy = proxy.with_user(auth.login).with_password(auth.password)
        lent |= {"proxy": proxy, "proxy_headers": request.proxy_headers}
    return lent


def check_proxy(session: ClientSession, url: str, proxy: URL | None = None) -> None:
    """Raise if calls to this URL, or to URLs below it, would use a proxy of the environment.

    Args:
        url: a URL of an allowed origin; plain http ones are on this machine.
        proxy: the proxy of the request, if there is a request.
    """
    goes_by_environment = session.trust_env and getattr(session, "_default_proxy", None) is None
    if not goes_by_environment or not url.startswith("http:"):
        return
    if (
        environment_carries(url)
        if proxy is None
        else environment_proxy() == (proxy.host, proxy.port)
    ):
        raise carried_away(str(URL(url).origin()))


def _within(given: ClientTimeout, effect: Send) -> ClientTimeout:
    """Return the session's timeout within the time that is left; 0 and None mean no limit."""
    return ClientTimeout(
        total=effect.within(given.total or None),
        connect=given.connect,
        sock_connect=effect.within(given.sock_connect or None, connect=True),
        sock_read=effect.within(given.sock_read or None),
    )
