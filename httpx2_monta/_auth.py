"""`MontaAuth` for httpx2: it connects the library with the core, which decides."""

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
    """Send a valid Monta token with each request: pass it as ``auth=`` to a client or request.

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
        client: a ``Client`` or ``AsyncClient`` that makes the token calls for requests of its
            kind, without its own auth. Default: the client that sends the request makes them, and
            its event hooks see them.

    Objects with equal base URL, credentials and policy share one token pair in this process. A
    pickle holds the settings, with literal credentials, but no token.

    Async clients run plain functions and stores in a separate thread. `client_secret` and
    `on_token` may be coroutine functions if only async clients use this object.

    A request that gets no token raises an error that is both a `MontaAuthError` and a
    ``httpx2.RequestError``. If the network fails, it raises httpx2's own exception.

    Raises:
        ConfigurationError: the arguments cannot work.
    """

    _library = _library


def retry_after(response: httpx2.Response) -> float | None:
    """Return how many seconds to wait before you retry this request, or None.

    For requests that got a 429 or a 503. `monta_auth.retry_after` explains what it reads.
    A body that was not read (``client.stream``) is not read now; only the headers count.

    Raises:
        TypeError: the response is from another library.
    """
    return _library.retry_after(response)
