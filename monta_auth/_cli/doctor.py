"""`monta-auth doctor`: small checks, each after those that it depends on.

A check returns a result or raises. Checks that depend on a failed one are skipped.
"""

from __future__ import annotations

import platform
import re
import socket
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from requests.utils import get_environ_proxies, select_proxy

from requests_monta import MontaAuth

from .. import (
    Application,
    ConfigurationError,
    MontaAuthError,
    RateLimitError,
    TokenStoreError,
    __version__,
)
from .._core.application import application_urls
from .._core.origins import clean_base_url
from .._core.replies import http_date
from ..stores import FileStore, RedisStore
from .account import Account, find_account
from .calls import TIMEOUT, Session, leave
from .failures import LOGIN_PAGE, as_failure, at_a_shell
from .live import Live, Patience, Report, examine
from .output import duration, echo, show_json, sign, wrapped

_INDENT = 15
#: A clock that is wrong by more than this gets a warning, in seconds.
_CLOCK_LIMIT = 30.0
_LIBRARIES = ("requests", "httpx", "httpx2", "aiohttp", "keyring", "filelock", "click")


class Result(NamedTuple):
    """What a check found, and what to do."""

    state: Literal["ok", "warning", "failed", "skipped"]
    text: str
    advice: str = ""


@dataclass
class Case:
    """What to check, and what earlier checks found.

    Args:
        profile, base_url, redis, allow_plaintext: the options of the command.
        patience: waits when the API asks for it; without it, checks fail instead.
    """

    profile: str | None
    base_url: str | None
    redis: str | None = None
    allow_plaintext: bool = False
    patience: Patience | None = None
    session: Session = field(default_factory=Session)
    address: str = ""
    account: Account | None = None
    proxy: str | None = None
    ahead: float | None = None
    auth: MontaAuth | None = None
    application: Application | None = None

    @property
    def host(self) -> str:
        return urlsplit(self.address).hostname or ""


class Check(NamedTuple):
    """A check, and the names of the checks that it depends on."""

    name: str
    run: Callable[[Case], Result]
    needs: tuple[str, ...] = ()


def _versions(case: Case) -> Result:
    """Compare with the extras: a library that was installed without them can be too old."""
    found = {"monta-auth": __version__, "Python": platform.python_version()}
    old: list[str] = []
    lowest = _lowest()
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        bound = lowest.get(name, "0")
        if _numbers(found[name]) < _numbers(bound):
            old.append(f"{name}>={bound}")
    text = ", ".join(f"{name} {version}" for name, version in found.items())
    if old:
        wanted = " ".join(f"'{bound}'" for bound in old)
        return Result("failed", f"a library is too old: {text}", f"pip install --upgrade {wanted}")
    return Result("ok", text)


def _lowest() -> dict[str, str]:
    try:
        lines = metadata.requires("monta-auth") or []
    except metadata.PackageNotFoundError:
        return {}  # not installed, but run from a folder
    return {m[1]: m[2] for line in lines if (m := re.match(r"([\w-]+)>=([\d.]+)", line))}


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


def _base_url(case: Case) -> Result:
    case.address = clean_base_url(case.base_url)
    return Result("ok", case.address)


def _environment(case: Case) -> Result:
    case.account = account = find_account(case.profile, case.base_url)
    text = f"client id {account.credentials.client_id}, from the {account.origin}"
    if account.base_url != case.address:
        text += f", for {account.base_url}"
        case.address = account.base_url
    return Result("ok", text)


def _store(case: Case) -> Result:
    assert case.account is not None
    try:
        FileStore().check()
        stored = "no token" if case.account.stored_pair() is None else "a token"
    except TokenStoreError as error:
        # The text has three parts: the operation, what is wrong, what to do.
        operation, failed, rest = at_a_shell(str(error)).rpartition(" failed: ")
        what, _, advice = rest.rpartition(": ")
        return Result("failed", operation + failed + (what or advice), advice if what else "")
    return Result("ok", f"{case.account.store_path} has {stored} for these credentials")


def _redis(case: Case) -> Result:
    assert case.redis is not None
    try:
        store = RedisStore(case.redis, allow_plaintext=case.allow_plaintext)
        store.check()
    except ImportError:
        return Result("failed", "redis-py is not installed", "pip install 'monta-auth[redis]'")
    except (ConfigurationError, TokenStoreError) as error:
        text, _, advice = at_a_shell(str(error)).partition(". ")
        return Result("failed", text, advice)
    return Result("ok", f"{store._place} keeps records and grants leases")


def _proxy(case: Case) -> Result:
    found: dict[str, str] = get_environ_proxies(case.address)
    case.proxy = proxy = select_proxy(case.address, found)
    if proxy is None:
        return Result("ok", f"none is set for {case.host}")
    # The scheme is optional. Host and port are shown, and a password is not.
    split = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    port = split.port or {"http": 80, "https": 443}.get(split.scheme, 1080)
    name = f"{split.hostname}:{port}"
    try:
        socket.create_connection((split.hostname or "", port), TIMEOUT).close()
    except OSError as error:
        return Result(
            "failed",
            f"the proxy {name} cannot be reached ({_reason(error)})",
            f"correct HTTPS_PROXY, or name {case.host} in NO_PROXY",
        )
    if case.address.startswith("http:"):
        return Result(
            "failed",
            f"the proxy {name} would carry calls to this machine, and could read the client secret",
            f"name {case.host} in NO_PROXY",
        )
    return Result("ok", f"{name} accepts connections")


def _name(case: Case) -> Result:
    if case.proxy is not None:
        return Result("ok", "the proxy looks it up")
    try:
        found = socket.getaddrinfo(case.host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        return Result(
            "failed",
            f"the name {case.host} is not known ({_reason(error)})",
            "check the spelling of the base URL, and the name server of this machine",
        )
    addresses = sorted({str(address[4][0]) for address in found})
    return Result("ok", f"{case.host} is {', '.join(addresses)}")


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _connection(case: Case) -> Result:
    """Make a call without a token, because the API answers it with 401."""
    began = time.time()
    url = application_urls(case.address)[0]
    answer = case.session.get(url, auth=leave, timeout=TIMEOUT, allow_redirects=False)
    middle = (began + time.time()) / 2
    date = http_date(answer.headers.get("Date"))
    if date is not None:
        case.ahead = date.timestamp() + 0.5 - middle  # the date has whole seconds
    status = answer.status_code
    if status in (401, 403, 429):
        tls = ", its certificate is trusted" if case.address.startswith("https:") else ""
        return Result("ok", f"{case.host} answers{tls}")
    what = f"{case.host} answers HTTP {status} to a call without a token, where 401 is expected"
    if status >= 500:
        return Result("failed", what, "the problem is in the API: try again later")
    if status == 404:
        return Result("failed", what, "is /api/v1 missing at the end of the base URL?")
    return Result("failed", what, f"check that the base URL is for the API, {LOGIN_PAGE}")


def _clock(case: Case) -> Result:
    if case.ahead is None:
        return Result("ok", "the API sends no date")
    off = abs(case.ahead)
    if off < _CLOCK_LIMIT:
        return Result("ok", "this machine and the API agree")
    direction = "behind" if case.ahead > 0 else "ahead of"
    return Result(
        "warning",
        f"the clock of this machine is {duration(off)} {direction} that of the API",
        "set it with NTP; tokens work anyway, but certificates and logs may not",
    )


def _credentials(case: Case) -> Result:
    assert case.account is not None
    case.auth = case.account.fresh_auth(case.session)
    pair = case.auth.token()
    assert pair.issued_at is not None  # the pair was just received
    lasts = duration((pair.access_expires_at - pair.issued_at).total_seconds())
    return Result("ok", f"accepted; an access token is valid for {lasts}")


def _scopes(case: Case) -> Result:
    assert case.auth is not None
    case.application = case.auth.application()
    scopes = case.application.scopes
    if not scopes:
        return Result("failed", "the credentials have no scopes", "add them in Monta's portal")
    return Result("ok", ", ".join(scopes))


def _quota(case: Case) -> Result:
    assert case.application is not None
    limit, interval = case.application.rate_limit, case.application.rate_limit_interval
    left = case.session.calls[-1].remaining
    if limit is None or interval is None:
        return Result("ok", "the API does not say; users of the Public API report 10 calls in 60 s")
    text = f"{limit} calls in {interval} s"
    if left is None:
        return Result("ok", text)
    if left < limit / 10:
        return Result(
            "warning",
            f"{text}, {left} of them left",
            "let all processes share a token (store=), and call less often",
        )
    return Result("ok", f"{text}, {left} of them left")


CHECKS = (
    Check("versions", _versions),
    Check("base URL", _base_url),
    Check("environment", _environment, ("base URL",)),
    Check("store", _store, ("environment",)),
    Check("proxy", _proxy, ("base URL",)),
    Check("host name", _name, ("base URL",)),
    Check("connection", _connection, ("proxy", "host name")),
    Check("clock", _clock, ("connection",)),
    Check("credentials", _credentials, ("environment", "connection")),
    Check("scopes", _scopes, ("credentials",)),
    Check("rate limit", _quota, ("scopes",)),
)
#: Runs after the store check, if `Case.redis` is set.
REDIS = Check("Redis", _redis)


def results(case: Case) -> Generator[tuple[str, Result], None, None]:
    """Run one check per iteration; yield its name and result."""
    without: set[str] = set()
    checks = [*CHECKS]
    if case.redis is not None:
        checks.insert(1 + [check.name for check in CHECKS].index("store"), REDIS)
    for check in checks:
        reason = next((name for name in check.needs if name in without), None)
        if reason is not None:
            result = Result("skipped", f"not tried, because of: {reason}")
        else:
            result = _tried(check, case)
        if result.state in ("failed", "skipped"):
            without.add(check.name)
        yield check.name, result


def _tried(check: Check, case: Case) -> Result:
    while True:
        try:
            return check.run(case)
        except Exception as error:
            hint = error.retry_after if isinstance(error, MontaAuthError) else None
            is_limit, failed = isinstance(error, RateLimitError), _failed(error)
        why = "for the rate limit" if is_limit else "as the API asks"
        if hint is None or case.patience is None or not case.patience.pause(hint, why):
            return failed


def _failed(error: Exception) -> Result:
    failure = as_failure(error)
    if failure is None:
        text = f"the check itself broke ({type(error).__name__})"
        return Result("failed", text, "please report it as a bug of monta-auth")
    return Result("failed", failure.text, failure.advice)


def run(case: Case, *, as_json: bool, live: Live | None) -> bool:
    """Run the checks and print their results; return whether no check failed."""
    found: dict[str, Result] = {}
    for name, result in results(case):
        found[name] = result
        if not as_json:
            _print(name, result)
    report: Report | None = None
    if live is not None and case.account is not None and found["credentials"].state == "ok":
        report = examine(case.account, case.session, live)
        if not as_json:
            report.show()
    good = all(result.state in ("ok", "warning") for result in found.values())
    if as_json:
        data: dict[str, Any] = {"ok": good}
        data["checks"] = [{"check": name, **r._asdict()} for name, r in found.items()]
        if live is not None:
            data["live"] = None if report is None else report.answers
        show_json(data)
    return good


_SIGNS = {
    "ok": ("✓", "ok", "green"),
    "warning": ("!", "!", "yellow"),
    "failed": ("✗", "XX", "red"),
    "skipped": ("-", "-", "bright_black"),
}


def _print(name: str, result: Result) -> None:
    between = f"\n{' ' * (_INDENT + 3)}"
    lines = wrapped(result.text, _INDENT + 3)
    if result.advice:
        lines += wrapped(f"{result.advice}.", _INDENT + 3)
    wanted, plain, color = _SIGNS[result.state]
    echo(f"{sign(wanted, plain)} {name:<{_INDENT}}{between.join(lines)}", style=color)
