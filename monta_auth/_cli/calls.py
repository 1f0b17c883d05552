"""Record the calls of `doctor`, and read the rate limit from their replies."""

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
    """A call and its reply.

    Args:
        at: when the reply came, as a Unix time in seconds.
        is_auth: whether it was a token call.
        reply: never shown, because it may contain tokens.
    """

    at: float
    is_auth: bool
    reply: Reply

    @property
    def remaining(self) -> int | None:
        """How many calls are left. Only the Partner API says so, in its headers."""
        value = self.reply.headers.get("ratelimit-remaining", "")
        return int(value) if value.isdecimal() else None

    @property
    def limit(self) -> dict[str, Any]:
        """The rate limit, as a 429 describes it."""
        return rate_limit(self.reply)


class Session(requests.Session):
    """A session that records calls that may count against the rate limit.

    These are token calls, and calls with a token.
    """

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
    """Return the request unchanged. As ``auth=``, this keeps requests from reading ``.netrc``."""
    return request
