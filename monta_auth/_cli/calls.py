"""The calls that `doctor` makes, and what their replies say about the rate limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from .._core.replies import Reply, rate_limit

TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was answered.

    Args:
        at: when the reply came, as a Unix time.
        is_auth: whether it was a token call.
        reply: it may contain tokens, so it is never shown.
    """

    at: float
    is_auth: bool
    reply: Reply

    @property
    def remaining(self) -> int | None:
        """How many calls are left; only the Partner API says so, in its headers."""
        value = self.reply.headers.get("ratelimit-remaining", "")
        return int(value) if value.isdecimal() else None

    @property
    def limit(self) -> dict[str, Any]:
        """What a 429 says about the limit."""
        return rate_limit(self.reply)


class Session(requests.Session):
    """A session that remembers token calls, and calls with a token: these may count."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self._clock = clock
        self.hooks["response"].append(self._note)

    def _note(self, response: requests.Response, **_: Any) -> None:
        request = response.request
        path = urlsplit(request.url or "").path
        is_auth = str(path).endswith(("/auth/token", "/auth/refresh"))
        if is_auth or "Authorization" in request.headers:
            reply = Reply(response.status_code, response.headers, response.content)
            self.calls.append(Call(self._clock(), is_auth, reply))


def leave(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Use this as ``auth=``, so that requests adds no password from ``.netrc``."""
    return request
