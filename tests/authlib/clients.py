"""The parts of Authlib that these tests use. Authlib has no types."""

from __future__ import annotations

import importlib
from typing import Any

_httpx: Any = importlib.import_module("authlib.integrations.httpx_client")
_requests: Any = importlib.import_module("authlib.integrations.requests_client")
_rfc6749: Any = importlib.import_module("authlib.oauth2.rfc6749")

OAuth2Session = _requests.OAuth2Session
OAuthError = _requests.OAuthError
OAuth2Token = _rfc6749.OAuth2Token

CLIENTS: dict[str, Any] = {
    "requests": OAuth2Session,
    "httpx": _httpx.OAuth2Client,
    "httpx async": _httpx.AsyncOAuth2Client,
}
