"""The commands and their options. Commands import late, so that `token` starts fast."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click

from .. import Application, Status, TokenSet, __version__
from .._core.credentials import Credentials
from .._core.origins import clean_base_url
from .._core.secret import hidden
from . import keyring, plain
from .account import DEFAULT, Account, find_account
from .failures import NETWORK, USAGE, Failed, as_failure, at_a_shell
from .output import duration, echo, show, show_json

F = TypeVar("F", bound=Callable[..., Any])


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        logger, handler = logging.getLogger("monta_auth"), _Warnings()
        logger.addHandler(handler)
        try:
            return super().invoke(ctx)
        except ImportError as error:
            ctx.exit(plain.missing("monta-auth", "cli", error))
        except Exception as error:
            failure = as_failure(error)
            if failure is None:
                raise
            more = "; `monta-auth doctor` finds out more" if failure.exit_code == NETWORK else ""
            echo(f"monta-auth: {failure}{more}", err=True)
            ctx.exit(failure.exit_code)
        finally:
            logger.removeHandler(handler)


class _Warnings(logging.Handler):
    """Shows the library's warnings on standard error, such as those about the store."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        echo(f"monta-auth: {at_a_shell(record.getMessage())}", err=True)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},  # for each command, too
    epilog="Exit status: 0 done, 1 failed, 2 wrong usage or settings, 3 no credentials or refused "
    "ones, 4 rate limit, 5 network.",
)
@click.version_option(__version__, message="monta-auth %(version)s")
def cli() -> None:
    """Access tokens for the Monta EV-charging API, at the command line.

    Credentials come from MONTA_CLIENT_ID and MONTA_CLIENT_SECRET, or from the system keyring (see
    `monta-auth login`).
    """


def _account_options(command: F) -> F:
    profile = click.option(
        "--profile",
        metavar="NAME",
        help="Use this login, even if the environment has credentials.",
    )
    return profile(_base_url_option(command))


def _base_url_option(command: F) -> F:
    return click.option(
        "--base-url",
        metavar="URL",
        help="URL of the API, with /api/v1. Default: the URL of the login, else MONTA_BASE_URL, "
        "else the Public API.",
    )(command)


_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


@cli.command()
@_account_options
@_json_option
def me(profile: str | None, base_url: str | None, as_json: bool) -> None:
    """Show whose credentials these are: application, scopes, rate limit, and the token used.

    The token itself is not shown.
    """
    account = find_account(profile, base_url)
    auth = account.auth()
    application = auth.application()
    used = _used(auth.status(), account)
    if as_json:
        told = {name: getattr(application, name) for name in Application._fields}
        show_json({**told, "token": used})
    else:
        pair, now = auth.token(), time.time()
        if used["origin"] != "stored" and pair.issued_at is not None:
            now = pair.issued_at.timestamp()  # The pair has the server's dates.
        show([*_described(application, account), ("token", _in_words(used, now))])


def _used(status: Status, account: Account) -> dict[str, Any]:
    """Return the origin, the store and the expiry of the token that was used."""
    origin = "fetched" if status.fetches else "refreshed" if status.refreshes else "stored"
    store = None if status.store_failure else account.store_path
    return {"origin": origin, "store": store, "access_expires_at": status.access_expires_at}


def _in_words(used: dict[str, Any], now: float) -> str:
    store = used["store"]
    if used["origin"] == "stored":
        text = f"from {store}"
    else:
        text = f"{used['origin']} just now, " + (f"stored in {store}" if store else "not stored")
    return f"{text}; {_expiry(used['access_expires_at'], now)}"


def _described(application: Application, account: Account) -> list[tuple[str, str]]:
    limit, interval = application.rate_limit, application.rate_limit_interval
    told = {
        "name": application.name,
        "application": application.id,
        "user": application.user_id,
        "operator": application.operator_id,
        "client id": application.client_id,
        "scopes": ", ".join(application.scopes) or "none",
        "rate limit": (
            f"{limit} calls in {interval} s" if limit and interval else "the API does not say"
        ),
        "base URL": account.base_url,
    }
    if application.team_ids is not None:
        told["teams"] = ", ".join(map(str, application.team_ids)) or "all"
    return [(name, str(value)) for name, value in told.items() if value is not None]


@cli.command()
@_account_options
@click.option("--header", is_flag=True, help="Print a header, for `curl -H @-`.")
def token(profile: str | None, base_url: str | None, header: bool) -> None:
    """Print a usable access token, and nothing else.

    The token is stored in a file that only you can read, so a loop makes one token call per hour.

    As a header, the token does not appear in the list of processes:

        monta-auth token --header | curl -H @- URL
    """
    value = find_account(profile, base_url).auth().bearer_token()
    click.echo(f"Authorization: Bearer {value}" if header else value)


@cli.command()
@_account_options
@_json_option
def status(profile: str | None, base_url: str | None, as_json: bool) -> None:
    """Show which credentials are used, what is stored, and when it expires.

    Makes no call, and shows no secret and no token.
    """
    account = find_account(profile, base_url)
    pair = account.stored_pair()
    now = time.time()
    told = {
        "credentials": account.origin,
        "client id": account.credentials.client_id,
        "base URL": account.base_url,
        "store": account.store_path,
    }
    if as_json:
        data: dict[str, object] = {key.replace(" ", "_").lower(): told[key] for key in told}
        for name in ("access_expires_at", "refresh_expires_at"):
            data[name] = None if pair is None else getattr(pair, name)
        show_json(data)
    else:
        show([*told.items(), *_lives(pair, now)])


def _lives(pair: TokenSet | None, now: float) -> list[tuple[str, str]]:
    if pair is None:
        return [("token", "none is stored; the next command that needs one fetches it")]
    refresh = "none" if pair.refresh_token is None else _expiry(pair.refresh_expires_at, now)
    return [("access token", _expiry(pair.access_expires_at, now)), ("refresh token", refresh)]


def _expiry(date: datetime | None, now: float) -> str:
    if date is None:
        return "its expiry is unknown"
    if date.timestamp() <= 0:
        return "refused by the API; the next command renews it"
    left = date.timestamp() - now
    return f"expires in {duration(left)}" if left > 0 else f"expired {duration(-left)} ago"


@cli.command()
@click.option("--profile", metavar="NAME", default=DEFAULT, show_default=True)
@click.option("--client-id", metavar="ID", help="Default: prompt for it.")
@_base_url_option
@click.option("--no-check", is_flag=True, help="Do not check the credentials with the API.")
@click.option("--allow-plaintext", is_flag=True, help="Allow a keyring that does not encrypt.")
def login(
    profile: str,
    client_id: str | None,
    base_url: str | None,
    no_check: bool,
    allow_plaintext: bool,
) -> None:
    """Store credentials in the system keyring.

    First checks them with the API, which costs one call. Type the secret, which is not shown, or
    pipe it to standard input. It is never an argument, because others could see it in the list of
    processes.

    A keyring that stores plain text is refused unless you allow it.
    """
    url = clean_base_url(base_url)
    backends = keyring.backends(profile, allow_plaintext=allow_plaintext)
    if sys.stdin.isatty():
        if client_id is None:
            client_id = click.prompt("Client id", err=True)
        secret = click.prompt("Client secret (is not shown)", hide_input=True, err=True)
    else:
        if client_id is None:
            raise click.UsageError("--client-id is needed if the secret comes from a pipe")
        secret = sys.stdin.read().rstrip("\r\n")
    account = Account(Credentials(client_id, secret), url, profile)
    if not no_check:
        account.fresh_auth().token()
    fields = {"client_id": client_id, "client_secret": secret, "base_url": url}
    used = keyring.save(profile, backends, **fields)
    echo(f"Profile {profile} is in the keyring ({used}), for {url}.")


@cli.command()
@click.option("--profile", metavar="NAME", default=DEFAULT, show_default=True)
def logout(profile: str) -> None:
    """Delete credentials from the system keyring, and their token from the store.

    Monta has no call that revokes a token: a copy works until it expires.
    """
    keyring.backends(profile, allow_plaintext=True)
    find_account(profile, None).auth().forget()
    keyring.delete(profile)
    echo(f"Profile {profile} is no longer in the keyring, and its token is deleted.")


@cli.command()
@_account_options
@_json_option
@click.option(
    "--redis",
    metavar="URL",
    help="Also check the Redis of a RedisStore. Use - to read the URL from standard input, because "
    "others can see arguments, and the password in them.",
)
@click.option(
    "--allow-plaintext",
    is_flag=True,
    help="With --redis: accept a server without TLS, or with TLS that verifies nothing.",
)
@click.option("--live", is_flag=True, help="Also find out what Monta has not published.")
@click.option("--wait", is_flag=True, help="With --live: wait when the API asks for it.")
@click.option(
    "--spend-quota", is_flag=True, help="With --live: call until the rate limit is reached."
)
def doctor(
    profile: str | None,
    base_url: str | None,
    as_json: bool,
    redis: str | None,
    allow_plaintext: bool,
    live: bool,
    wait: bool,
    spend_quota: bool,
) -> None:
    """Find out what is wrong, and say what to do.

    Makes three calls, two of which count against the rate limit. The exit status is 1 if something
    is wrong.

    --live makes a few more calls, with fresh tokens. It first says how many, and prints a report
    without secrets.
    """
    if (wait or spend_quota) and not live:
        raise click.UsageError("--wait and --spend-quota need --live")
    if allow_plaintext and redis is None:
        raise click.UsageError("--allow-plaintext needs --redis")
    from .doctor import Case, run
    from .live import Live, Patience

    redis = hidden(sys.stdin.readline().strip() if redis == "-" else redis)
    if redis == "":
        raise Failed("--redis has no URL", "is the variable with the URL set?", USAGE)
    patience = Patience() if wait else None
    good = run(
        Case(profile, base_url, redis, allow_plaintext, patience),
        as_json=as_json,
        live=Live(patience, spend_quota) if live else None,
    )
    click.get_current_context().exit(0 if good else 1)


@cli.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def emulator(options: tuple[str, ...]) -> None:
    """Serve a local Monta, and show the requests as they arrive."""
    click.get_current_context().exit(plain.emulator(options))


@cli.command()
def demo() -> None:
    """Watch the clients work against a local Monta, in seconds."""
    click.get_current_context().exit(plain.demo())
