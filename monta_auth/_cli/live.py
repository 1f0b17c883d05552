"""`monta-auth doctor --live`: find out what Monta has not published, with a few calls.

They use fresh tokens. The report has no secret, no token and no client id, because people paste it
into issues.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .. import TokenSet, __version__
from .._core.application import application_urls
from .._core.effects import Send
from .._core.replies import Reply, error_code, safe_text, wait_hint
from .._core.secret import bearer
from .._core.token_calls import (
    TokenRequest,
    mint_request,
    read_pair,
    refresh_request,
)
from .._core.tokens import whole_number
from .calls import TIMEOUT, Call, Session, leave
from .failures import Failed, as_failure
from .output import duration, echo, show

if TYPE_CHECKING:
    from .account import Account

#: The most calls that the experiments make, and that `--spend-quota` adds.
CALLS, SPENDING = 7, 12
#: How long all pauses of `--wait` may take together, in seconds: one window of the Partner API.
LONGEST_WAIT = 600.0
_OPEN = "not settled"

ONCE = "refresh token works once"
REFUSAL = "reply to a refused refresh"
ROTATION = "old access token after refresh"
REUSE = "new one after a second refresh"
MINT = "old access token after a fetch"
COUNTED = "token calls count as calls"
LIVES = "lifetimes (access, refresh)"
HEADERS = "rate limit headers"
LIMIT = "reply to too many calls"


class Patience:
    """Waits for `--wait`, until `LONGEST_WAIT` seconds after the first pause began."""

    def __init__(self) -> None:
        self._end: float | None = None
        self._shortest = 1

    def pause(self, hint: float, why: str) -> bool:
        """Announce a pause of this many seconds and make it; return False if it is too long.

        The first pause is at least 1 s, the next 2 s, then 4 s and so on. So a server that always
        asks for 0 s gets a few calls within `LONGEST_WAIT`, not hundreds.
        """
        now = time.monotonic()
        if self._end is None:
            self._end = now + LONGEST_WAIT
        seconds = max(self._shortest, math.ceil(hint))
        if now + seconds > self._end:
            return False
        self._shortest *= 2
        echo(f"Waiting {seconds} s {why}.", err=True)
        time.sleep(seconds)
        return True


@dataclass(frozen=True, slots=True)
class Live:
    """How far the experiments go.

    Args:
        patience: waits at the rate limit; without it, the experiments stop there.
        spend_quota: whether to call until the rate limit is reached.
    """

    patience: Patience | None = None
    spend_quota: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """The answers, by their names (the constants above)."""

    answers: dict[str, str]

    def show(self) -> None:
        echo("")
        show(self.answers.items())


def examine(account: Account, session: Session, live: Live) -> Report:
    """Announce how many calls this makes, make them, and return what they show."""
    limit = f", then at most {SPENDING} until the rate limit is reached" if live.spend_quota else ""
    echo(
        f"Making at most {CALLS} calls with these credentials{limit}. Other programs that use "
        "them meanwhile may reach the rate limit.",
        err=True,
    )
    answers = {
        "report": f"monta-auth {__version__}, {datetime.now(UTC):%Y-%m-%d}, "
        f"{urlsplit(account.base_url).hostname}",
        **dict.fromkeys((ONCE, REFUSAL, ROTATION, REUSE, MINT, COUNTED, LIVES, HEADERS), _OPEN),
    }
    experiments = _Experiments(account, session, live)
    try:
        experiments.run(answers)
    except Exception as error:
        failure = as_failure(error)
        if failure is None:
            raise
        answers["stopped"] = str(failure)
    answers |= _of_the_limit(session.calls)
    # The API may quote the client id in any text.
    private = (account.credentials.client_id,)
    answers = {name: safe_text(answer, private) or "" for name, answer in answers.items()}
    if answers[COUNTED] == _OPEN and not live.spend_quota:
        answers[COUNTED] = f"{_OPEN}; --spend-quota finds out"
    return Report(answers)


class _Experiments:
    def __init__(self, account: Account, session: Session, live: Live) -> None:
        self._account = account
        self._session = session
        self._live = live
        self._auth = account.fresh_auth(session)

    def run(self, answers: dict[str, str]) -> None:
        first = self._mint()
        answers[LIVES] = _lives(first)
        second = self._mint()
        is_alive, answers[MINT] = self._try(first)
        # If a new token pair revokes older ones, only the second pair works.
        base = first if is_alive else second
        reply, request = self._refresh(base.refresh_token)
        if not reply.is_good:
            raise Failed(f"a fresh refresh token was refused: {_words(reply, request)}")
        new = read_pair(reply, request, time.time())
        answers[ROTATION] = self._try(base)[1]
        reply, request = self._refresh(base.refresh_token)
        if reply.is_good:
            answers[ONCE] = "no, it worked twice"
            reply, request = self._refresh(str(uuid.uuid4()))
            answers[REFUSAL] = _words(reply, request)
        else:
            answers[ONCE] = "yes"
            answers[REFUSAL] = _words(reply, request)
            answers[REUSE] = self._try(new)[1]
        if self._live.spend_quota:
            self._spend(new)

    def _spend(self, pair: TokenSet) -> None:
        for _ in range(SPENDING):
            if self._ask(pair).status == 429:
                return

    def _mint(self) -> TokenSet:
        credentials = self._account.credentials
        secret = credentials.literal_secret
        assert secret is not None
        reply, request = self._send(
            lambda: mint_request(self._account.base_url, credentials.client_id, secret)
        )
        if not reply.is_good:
            raise Failed(f"no token was fetched: {_words(reply, request)}")
        return read_pair(reply, request, time.time())

    def _refresh(self, token: str | None) -> tuple[Reply, TokenRequest]:
        if token is None:
            raise Failed("the API sent no refresh token")
        return self._send(lambda: refresh_request(self._account.base_url, token))

    def _send(self, make: Callable[[], TokenRequest]) -> tuple[Reply, TokenRequest]:
        """Make a token call as the auth object does; return the reply, even of a failed call."""
        while True:
            request = make()
            reply = self._auth._send(Send(request, TIMEOUT))
            if reply.status != 429:
                return reply, request
            self._wait(reply)

    def _try(self, pair: TokenSet) -> tuple[bool, str]:
        """Return whether an access token works, and the answer for the report."""
        while True:
            reply = self._ask(pair)
            if reply.status != 429:
                break
            self._wait(reply)
        verdict = {200: "works", 401: "is refused"}.get(reply.status, _OPEN)
        return reply.status == 200, f"{verdict} (HTTP {reply.status})"

    def _ask(self, pair: TokenSet) -> Reply:
        url = application_urls(self._account.base_url)[0]
        headers = {"Authorization": bearer(pair.access_token)}
        response = self._session.get(
            url, headers=headers, auth=leave, timeout=TIMEOUT, allow_redirects=False
        )
        return Reply(response.status_code, response.headers, response.content)

    def _wait(self, reply: Reply) -> None:
        hint = wait_hint(reply, time.time())
        if hint is None:
            raise Failed("the rate limit is reached, and the API does not say how long to wait")
        patience = self._live.patience
        if patience is None or not patience.pause(hint, "for the rate limit"):
            most = f"; --wait waits for {duration(LONGEST_WAIT)} at most"
            advice = f"try again in {max(1, math.ceil(hint))} s"
            raise Failed(
                "the rate limit is reached", advice + (most if patience else ", or --wait")
            )


def _words(reply: Reply, request: TokenRequest) -> str:
    code = error_code(reply, request.secrets)
    return f"HTTP {reply.status}, errorCode {code}"


def _lives(pair: TokenSet) -> str:
    born = pair.issued_at
    assert born is not None  # the pair was just received
    dates = (pair.access_expires_at, pair.refresh_expires_at)
    lives = ("unknown" if d is None else duration((d - born).total_seconds()) for d in dates)
    return ", ".join(lives)


def _of_the_limit(calls: Sequence[Call]) -> dict[str, str]:
    """Return what the calls show about the rate limit."""
    names = {name for call in calls for name in call.reply.headers}
    told = sorted(name for name in names if "ratelimit" in name or name == "retry-after")
    answers = {COUNTED: _by_headers(calls) or _by_the_limit(calls), HEADERS: ", ".join(told)}
    answers[HEADERS] = answers[HEADERS] or "none"
    over = [call for call in calls if call.reply.status == 429]
    if over:
        headers = over[-1].reply.headers
        places = ["the body"] if "resetsIn" in over[-1].limit else []
        places += [name for name in ("ratelimit-resetsin", "retry-after") if name in headers]
        answers[LIMIT] = f"HTTP 429; how long to wait is in: {', '.join(places) or 'nothing'}"
    return answers


def _by_headers(calls: Sequence[Call]) -> str | None:
    """Find out whether token calls count: compare how many calls are left after two API calls.

    The number falls by one, and by one more for each token call that counts.
    """
    before: int | None = None
    auth_calls = 0
    for call in calls:
        if call.is_auth:
            auth_calls += call.reply.is_good
        elif call.remaining is not None:
            if before is not None and auth_calls:
                fall = before - call.remaining
                if fall in (1, 1 + auth_calls):
                    return "no" if fall == 1 else "yes"
            before, auth_calls = call.remaining, 0
    return None


def _by_the_limit(calls: Sequence[Call]) -> str:
    """Find out whether token calls count, from the quota and the window that a 429 reports."""
    for over in calls:
        names = ("quota", "timeWindow", "resetsIn")
        quota, window, left = (whole_number(over.limit.get(name)) for name in names)
        if quota is None or window is None or left is None:
            continue
        began = over.at + left - window - 1.0  # `left` is in whole seconds
        inside = [c for c in calls if began <= c.at <= over.at and c.reply.status != 429]
        auth_calls = [call for call in inside if call.is_auth]
        others = len(inside) - len(auth_calls)
        good = sum(call.reply.is_good for call in auth_calls)
        if good and others == quota:
            return "no"
        if good and quota in (others + good, others + len(auth_calls)):
            return "yes"
        return f"{_OPEN}: other programs seem to use these credentials, too"
    return _OPEN
