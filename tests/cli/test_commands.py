"""me, token and status: what scripts and people get from them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import requests_monta
from monta_auth import TokenSet
from monta_auth._core.sealing import Seal
from monta_auth.emulator import Emulator, Fault
from monta_auth.stores import FileStore

from .harness import Done

pytestmark = pytest.mark.usefixtures("credentials")
Run = Callable[..., Done]


def test_token_prints_a_usable_token_and_nothing_else(
    monta: Emulator, run: Run, tokens: list[str]
) -> None:
    assert run("token", shows_token=True) == (0, f"{tokens[0]}\n", "")
    assert [call.path for call in monta.calls] == ["/auth/token"]


def test_many_runs_of_token_cost_one_token_call(monta: Emulator, start: Run) -> None:
    printed = {start("token", shows_token=True) for _ in range(3)}
    assert len(printed) == 1
    assert monta.count("/auth/token") == monta.count() == 1


def test_a_header_can_be_piped_to_curl(run: Run, tokens: list[str]) -> None:
    done = run("token", "--header", shows_token=True)
    assert done == (0, f"Authorization: Bearer {tokens[0]}\n", "")


def test_a_program_of_the_user_shares_the_token(monta: Emulator, run: Run) -> None:
    run("token", shows_token=True)
    auth = requests_monta.MontaAuth(store=FileStore())
    assert run("token", shows_token=True).out == auth.bearer_token() + "\n"
    assert monta.count() == 1


def test_me_shows_whose_credentials_are_used(monta: Emulator, run: Run, state_home: Path) -> None:
    done = run("me")
    assert done == (
        0,
        (
            "name         Emulated application\n"
            "application  1\n"
            "user         1\n"
            "client id    my-client\n"
            "scopes       all\n"
            "rate limit   the API does not say\n"
            f"base URL     {monta.base_url}\n"
            f"token        fetched just now, stored in {state_home / 'monta-auth'}; expires in 60 "
            "minutes\n"
        ),
        "",
    )


def test_me_shows_which_token_it_used_and_when_it_expires(
    monta: Emulator, run: Run, state_home: Path
) -> None:
    place = state_home / "monta-auth"
    fetched, stored = (run("me").out.splitlines()[-1] for _ in range(2))
    assert fetched == f"token        fetched just now, stored in {place}; expires in 60 minutes"
    assert stored == f"token        from {place}; expires in 60 minutes"
    monta.revoke_access_tokens()
    refreshed = run("me").out.splitlines()[-1]
    assert refreshed == f"token        refreshed just now, stored in {place}; expires in 60 minutes"
    shutil.rmtree(place)
    place.touch()
    done = run("me")
    assert done.out.splitlines()[-1] == (
        "token        fetched just now, not stored; expires in 60 minutes"
    )
    assert "the token store failed: " in done.err


@pytest.mark.parametrize("offset", [-7200.0, 7200.0])
def test_me_shows_how_long_the_token_is_valid_although_a_clock_is_wrong(
    monta: Emulator, run: Run, offset: float
) -> None:
    monta.clock_offset = offset
    fetched, stored = (run("me").out.splitlines()[-1] for _ in range(2))
    assert fetched.endswith("; expires in 60 minutes")
    assert stored.endswith("; expires in 60 minutes")


def test_me_shows_the_token_and_its_expiry_in_json(
    monta: Emulator, run: Run, state_home: Path
) -> None:
    tokens = [json.loads(run("me", "--json").out)["token"] for _ in range(2)]
    assert [token["origin"] for token in tokens] == ["fetched", "stored"]
    assert {token["store"] for token in tokens} == {str(state_home / "monta-auth")}
    for token in tokens:
        left = datetime.fromisoformat(token["access_expires_at"]) - datetime.now(UTC)
        assert timedelta(minutes=59) < left <= timedelta(minutes=60)


def test_me_shows_the_fields_of_the_partner_api(monta: Emulator, run: Run) -> None:
    monta.partner = True
    lines = run("me").out.splitlines()
    assert "rate limit  1000 calls in 600 s" in lines
    assert "teams       all" in lines
    assert "operator    1" in lines


def test_me_names_missing_fields(monta: Emulator, run: Run) -> None:
    body = '{"name": "A", "scopes": [], "teamIds": [7, 8]}'
    monta.inject(Fault(body=body), path="/auth/me")
    lines = run("me").out.splitlines()
    assert lines[:2] == ["name        A", "scopes      none"]
    assert "teams       7, 8" in lines


def test_me_prints_no_control_characters_of_the_api(monta: Emulator, run: Run) -> None:
    """A terminal would execute control characters in it."""
    monta.inject(Fault(body='{"name": "a\\u001b[2Jb\\nc"}'), path="/auth/me")
    assert run("me").out.splitlines()[0] == "name        a [2Jb c"


def test_me_for_scripts(run: Run) -> None:
    told = json.loads(run("me", "--json").out)
    assert told["scopes"] == ["all"]
    assert told["created_at"] == "2023-05-04T14:29:06Z"
    assert told["operator_id"] is None


def test_status_makes_no_call(monta: Emulator, run: Run, state_home: Path) -> None:
    done = run("status")
    assert done == (
        0,
        (
            "credentials  environment\n"
            "client id    my-client\n"
            f"base URL     {monta.base_url}\n"
            f"store        {state_home / 'monta-auth'}\n"
            "token        none is stored; the next command that needs one fetches it\n"
        ),
        "",
    )
    assert monta.calls == ()


def test_status_describes_the_expiry_in_words(monta: Emulator, run: Run) -> None:
    run("token", shows_token=True)
    lines = run("status").out.splitlines()[-2:]
    assert lines == ["access token   expires in 60 minutes", "refresh token  expires in 30 days"]
    assert monta.count() == 1


def _store(monta: Emulator, pair: TokenSet) -> None:
    store, seal = FileStore(), Seal(monta.base_url, monta.client_id, monta.client_secret)
    lease = store.try_lock(seal.name, 5.0)
    assert lease is not None
    store.save(seal.name, seal.seal(pair), lease)
    lease.release()


NOW = datetime.now(UTC)
LONG_AGO = datetime.fromtimestamp(0, UTC)


@pytest.mark.parametrize(
    ("pair", "access", "refresh"),
    [
        pytest.param(
            TokenSet("a", "r", NOW - timedelta(hours=3, minutes=5), NOW + timedelta(days=3)),
            "expired 3 hours ago",
            "expires in 3 days",
            id="expired",
        ),
        pytest.param(
            TokenSet("a", "r", LONG_AGO),
            "refused by the API; the next command renews it",
            "its expiry is unknown",
            id="refused",
        ),
        pytest.param(
            TokenSet("a", None, NOW + timedelta(hours=5, minutes=5)),
            "expires in 5 hours",
            "none",
            id="no refresh token",
        ),
    ],
)
def test_status_describes_every_state_of_the_tokens(
    monta: Emulator, run: Run, pair: TokenSet, access: str, refresh: str
) -> None:
    _store(monta, pair)
    lines = run("status").out.splitlines()[-2:]
    assert lines == [f"access token   {access}", f"refresh token  {refresh}"]


def test_status_for_scripts(monta: Emulator, run: Run, state_home: Path) -> None:
    told = json.loads(run("status", "--json").out)
    assert told == {
        "credentials": "environment",
        "client_id": "my-client",
        "base_url": monta.base_url,
        "store": str(state_home / "monta-auth"),
        "access_expires_at": None,
        "refresh_expires_at": None,
    }
    run("token", shows_token=True)
    told = json.loads(run("status", "--json").out)
    left = datetime.fromisoformat(told["access_expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left < timedelta(minutes=61)


# --- what goes wrong


def test_refused_credentials_are_status_3(
    monta: Emulator, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONTA_CLIENT_SECRET", "wrong")
    done = run("token")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith(
        f"monta-auth: {monta.base_url[7:-7]} does not accept client id '{monta.client_id}' with "
    )
    assert done.err.endswith(
        "compare them with Monta's portal, and check that the base URL is for the same API\n"
    )
    assert len(done.err.splitlines()) == 1  # without the library's warning


def test_the_rate_limit_is_status_4(monta: Emulator, run: Run) -> None:
    monta.quota = 1
    run("token", shows_token=True)
    done = run("me")
    assert (done.code, done.out) == (4, "")
    assert done.err.startswith("monta-auth: the rate limit of these credentials is used up")
    assert "; wait 60 s before the next try (HTTP 429, " in done.err
    assert "try again" not in done.err


def test_a_rate_limit_without_retry_after_is_explained(monta: Emulator, run: Run) -> None:
    monta.inject(Fault(status=429), path="/auth/me")
    assert run("me").err.endswith("try again in a minute\n")


def test_the_error_for_an_outage_with_retry_after_names_the_seconds_once(
    monta: Emulator, run: Run
) -> None:
    fault = Fault(status=503, headers={"Retry-After": "30"})
    monta.inject(fault, path="/auth/me")
    done = run("me")
    assert done.code == 1
    assert "; wait 30 s before the next try (HTTP 503" in done.err
    assert "try again" not in done.err


def test_no_connection_is_status_5(monta: Emulator, run: Run, no_sleep: None) -> None:
    monta.stop()
    assert run("token") == (
        5,
        "",
        (
            "monta-auth: the connection to the API failed ([Errno 111] Connection refused): check "
            "the base URL, the network, the firewall and the proxy; `monta-auth doctor` finds out "
            "more\n"
        ),
    )


def test_an_invalid_base_url_is_status_2(run: Run) -> None:
    done = run("token", "--base-url", "http://example.com/api/v1")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("monta-auth: base_url must be https")


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        pytest.param(503, "try again later", id="of the moment"),
        pytest.param(404, "check the base URL", id="for good"),
    ],
)
def test_other_answers_are_status_1(monta: Emulator, run: Run, status: int, advice: str) -> None:
    monta.inject(Fault(status=status), times=2, path="/auth/me")
    monta.inject(Fault(status=status), path="/consumers/me")
    done = run("me")
    assert (done.code, done.out) == (1, "")
    assert done.err.endswith(f"{advice}\n")


def test_a_store_that_others_can_write_to_is_not_used_and_causes_a_warning(
    run: Run, state_home: Path
) -> None:
    (state_home / "monta-auth").mkdir(parents=True)
    (state_home / "monta-auth").chmod(0o777)
    done = run("token", shows_token=True)
    assert done.code == 0
    assert "monta-auth: the token store failed" in done.err
    assert "other users can write" in done.err
    assert "chmod" in done.err
    assert list((state_home / "monta-auth").iterdir()) == []


def test_an_invalid_record_in_the_store_causes_a_warning(
    monta: Emulator, run: Run, state_home: Path
) -> None:
    run("token", shows_token=True)
    (record,) = (state_home / "monta-auth").glob("*.record")
    record.write_text("rubbish")
    done = run("token", shows_token=True)
    assert done.code == 0
    assert done.err == (
        f"monta-auth: the record {record.stem} in the token store cannot be decrypted: it is "
        "treated as missing, and replaced by the next token pair\n"
    )
    assert monta.count("/auth/token") == 2


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        ("MONTA_CLIENT_ID", "MONTA_CLIENT_SECRET"),
        ("MONTA_CLIENT_SECRET", "MONTA_CLIENT_ID"),
    ],
)
def test_incomplete_credentials_are_an_error(
    run: Run, monkeypatch: pytest.MonkeyPatch, there: str, missing: str
) -> None:
    monkeypatch.delenv(missing)
    assert run("token") == (
        3,
        "",
        f"monta-auth: {there} is set, and {missing} is not: set both\n",
    )


def test_an_unknown_error_is_not_hidden(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug must be visible as a bug."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("monta_auth._cli.group.find_account", broken)
    with pytest.raises(ZeroDivisionError):
        run("status")


def test_the_error_for_a_missing_library_names_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "filelock", None)
    done = run("status")
    assert done.code == 1
    assert done.err == (
        "monta-auth needs filelock, which is not installed: pip install 'monta-auth[cli]'\n"
    )
