"""`MontaAuth` for httpx2. Translates and drives; every decision is the core's."""

from __future__ import annotations

import httpx2

from monta_auth._adapters.errors import LibraryErrors
from monta_auth._adapters.httpx_auth import HttpxAuth
from monta_auth._adapters.httpx_library import Library

errors: LibraryErrors = LibraryErrors("httpx2_monta", httpx2.RequestError)
_library = Library(httpx2, errors)


class MontaAuth(
    HttpxAuth[httpx2.Client, httpx2.AsyncClient, httpx2.Request, httpx2.Response], httpx2.Auth
):
    """Monta auth for httpx2: pass it as ``auth=`` to a client or to a request.

    Args:
        client_id: default: the environment variable ``MONTA_CLIENT_ID``.
        client_secret: default: ``MONTA_CLIENT_SECRET``. A callable is asked at every mint; it
            may be a coroutine function where only async clients use it, as may `on_token`.
        base_url: of the API, with ``/api/v1``; default: ``MONTA_BASE_URL``, else `PUBLIC_API`.
        allowed_origins: further origins (URLs) that may get the token.
        token: a pair to start from; see `TokenSet`.
        store: where processes share the token pair; see `monta_auth.stores`. Needs the extra
            ``[file]``, ``[redis]`` or ``[store]``.
        on_token: called with each new token pair, once it is in use. Async clients run a plain
            function in a thread of its own, and a coroutine function in the event loop; so they
            do with a callable secret and with the store.
        policy: how early to renew and how long to try; see `RefreshPolicy`.
        source: share the `TokenSource` of another object, in place of all the above but
            `allowed_origins`.
        client: a ``Client`` or ``AsyncClient`` that makes the token calls of requests of its
            kind, without its own auth; default: they go through the client that carries the
            request, where its event hooks see them.

    Objects with equal base URL, credentials and policy share one token in this process. A pickle
    holds the settings, literal credentials included, and no token.

    Raises:
        ConfigurationError: the arguments cannot work. Requests raise errors that are both a
            `MontaAuthError` and a ``httpx2.RequestError``; a network failure of a token call
            raises httpx2's own exception.
    """

    _library = _library


def retry_after(response: httpx2.Response) -> float | None:
    """Return how many seconds to wait before this request has a chance again, or None.

    For your own requests that got a 429 or a 503. See `monta_auth.retry_after` for what it reads.
    A body that was not read (``client.stream``) is left alone, and only the headers are used.

    Raises:
        TypeError: this is a response of another library.
    """
    return _library.retry_after(response)
