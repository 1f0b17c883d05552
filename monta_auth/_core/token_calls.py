"""Build calls to the two auth endpoints, and read the token pair in the response.

Every response gives a token pair or a `MontaAuthError`, nothing else. The facts come from the API
reference ("Authentication") and from responses in public logs of 2024 and 2025.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, cast
from urllib.parse import urlsplit

from .credentials import shortened
from .errors import (
    InvalidCredentialsError,
    InvalidTokenResponseError,
    RateLimitError,
    TokenEndpointError,
)
from .policy import LONGEST_LIFE, UNKNOWN_LIFE
from .replies import (
    Reply,
    answered_at,
    error_of,
    is_error_envelope,
    is_html,
    is_worth_a_retry,
    json_object,
    wait_hint,
)
from .secret import Secret, SecretBytes, empty_frames
from .tokens import TokenSet, is_token, parse_date, whole_number

Kind = Literal["mint", "refresh"]

TRY_LATER = "; try again later"


class TokenRequest:
    """A call to ``/auth/token`` ("mint") or ``/auth/refresh`` ("refresh"). Its repr hides the body.

    It is always a POST of JSON without an ``Authorization`` header. The body is bytes.

    Args:
        secrets: values that no text about this call may contain.
    """

    __slots__ = ("body", "headers", "kind", "secrets", "url")

    def __init__(
        self, kind: Kind, url: str, body: Mapping[str, str], secrets: tuple[str, ...]
    ) -> None:
        self.kind: Kind = kind
        self.url = url
        self.headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            # We decode these two with a size limit. The client may know others.
            "Accept-Encoding": "gzip, deflate",
            # A cache that also stores POSTs (requests-cache can) must neither store nor replay it.
            "Cache-Control": "no-store",
        }
        before = sys.exception()
        try:
            self.body: bytes = SecretBytes(json.dumps(body, separators=(",", ":")).encode())
        except BaseException as error:
            empty_frames(error, before)
            raise
        self.secrets = secrets

    @property
    def host(self) -> str:
        """Return the host of the URL, with its port unless that is the default."""
        return urlsplit(self.url).netloc

    def __repr__(self) -> str:
        return f"TokenRequest({self.kind!r}, {self.url!r})"


def mint_request(
    base_url: str, client_id: str, secret: str, known: tuple[str, ...] = ()
) -> TokenRequest:
    body = {"clientId": client_id, "clientSecret": Secret(secret)}
    return TokenRequest("mint", base_url + "/auth/token", body, (body["clientSecret"], *known))


def refresh_request(base_url: str, refresh_token: str, known: tuple[str, ...] = ()) -> TokenRequest:
    body = {"refreshToken": Secret(refresh_token)}
    url = base_url + "/auth/refresh"
    return TokenRequest("refresh", url, body, (body["refreshToken"], *known))


def read_pair(reply: Reply, request: TokenRequest, wall: float) -> TokenSet:
    """Return the token pair in a response with a success status.

    Args:
        wall: local time of arrival, in seconds since 1970.

    Raises:
        InvalidTokenResponseError: the response has no usable access token. It can be an error
            envelope with status 200 (observed in 2024).
    """
    data, born = json_object(reply), answered_at(reply, wall)
    access = data.get("accessToken")
    if not is_token(access):
        if data.get("errorCode") is not None:
            what = "an error with a success status"
        elif access is None:
            what = "a reply without an access token (is base_url the API, and not a web page?)"
        else:
            what = "an access token that is not valid in a header"
        what = f"the token endpoint of {request.host} sent {what}"
        found = (text for text in (access, data.get("refreshToken")) if isinstance(text, str))
        secrets = (*request.secrets, *found)
        raise error_of(reply, InvalidTokenResponseError, what, secrets, retryable=True)
    refresh = data.get("refreshToken")
    expires = parse_date(data.get("accessTokenExpirationDate"))
    if expires is None or not 0.0 < (expires - born).total_seconds() <= LONGEST_LIFE:
        expires = born + timedelta(seconds=UNKNOWN_LIFE)
    refresh_expires = parse_date(data.get("refreshTokenExpirationDate"))
    if refresh_expires is not None and refresh_expires <= born:
        refresh_expires = None
    return TokenSet(
        access_token=cast(str, access),
        refresh_token=refresh if is_token(refresh) else None,
        access_expires_at=expires,
        refresh_expires_at=refresh_expires,
        issued_at=born,
        application_id=whole_number(data.get("applicationId")),
        user_id=whole_number(data.get("userId")),
    )


def read_error(reply: Reply, request: TokenRequest, wall: float) -> TokenEndpointError:
    """Return the error for any status except success and refused credentials."""
    kind: type[TokenEndpointError] = TokenEndpointError
    retryable, hint = is_worth_a_retry(reply.status), wait_hint(reply, wall)
    if reply.status == 429:
        kind = RateLimitError
        what = (
            f"the rate limit of these credentials at {request.host} is used up (by several "
            "processes or restarts? let them share a token with store=; "
            "see the guide 'Workers, fleets and cron jobs')"
        )
    elif retryable:
        what = f"the token endpoint of {request.host} failed"
        what += "" if hint else TRY_LATER
    elif 300 <= reply.status < 400:
        what = (
            f"the token endpoint of {request.host} redirects, but redirects are not followed with "
            "a secret: is base_url the API?"
        )
    elif reply.status == 404:
        what = _no_endpoint(request)
    else:
        what = f"the token endpoint of {request.host} refused the call"
    return error_of(reply, kind, what, request.secrets, retry_after=hint, retryable=retryable)


def _no_endpoint(request: TokenRequest) -> str:
    return f"{request.url} does not exist: is /api/v1 missing at the end of base_url?"


def is_refused_refresh(reply: Reply) -> bool:
    """Return whether this response refuses the refresh token, and not just the call.

    The page of a firewall refuses only the call: the refresh token still works.
    """
    if not 400 <= reply.status < 500 or is_worth_a_retry(reply.status):
        return False
    return is_error_envelope(reply) or (reply.status in (400, 401) and not is_html(reply))


def read_refused_refresh(reply: Reply, request: TokenRequest) -> TokenEndpointError:
    """Return the error for a refused refresh when there are no credentials to use instead."""
    what = f"the token endpoint of {request.host} refused the call"
    if reply.status == 404:
        what = _no_endpoint(request)
    elif is_refused_refresh(reply):
        what += ": it does not accept the refresh token"
    what += (
        "; there are no credentials to fetch another pair, so the refresh token is kept and tried "
        "again later; pass client_id= and client_secret="
    )
    return error_of(reply, TokenEndpointError, what, request.secrets, retryable=True)


def read_refusal(reply: Reply, request: TokenRequest, client_id: str) -> InvalidCredentialsError:
    """Return the error for a 401 of ``/auth/token``."""
    what = (
        f"{request.host} does not accept client id {shortened(client_id)!r} with this secret: "
        "they are wrong, were deleted, or are the credentials of another environment"
    )
    return error_of(reply, InvalidCredentialsError, what, request.secrets)
