"""The contract of every adapter: no frame of an error and no text shows a secret."""

from __future__ import annotations

import json
import logging
import pickle
import pprint
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import anyio
import pytest

from monta_auth import (
    ConfigurationError,
    InvalidTokenResponseError,
    TokenEndpointError,
    TokenSet,
    TokenSource,
)
from monta_auth._core.source import Source
from monta_auth.emulator import Fault

from .contract import Harness
from .frames import shown
from .libraries import needs
from .site import Monta, Raw

GOOD = "/charge-points"
SECRET = "the-client-secret-9f8e"
TOKENS = {"accessToken": "the-access-token-111", "refreshToken": "the-refresh-token-222"}
SECRETS = {SECRET, *TOKENS.values()}


#: Files with Python code that releases locks: in the standard library and in httpcore. After an
#: interrupt there, a lock would never be released.
LOCKS = ("threading.py", "queue.py", "weakref.py", "_synchronization.py")


class Struck(BaseException):
    """Like SystemExit and KeyboardInterrupt, which an event loop treats specially."""


def struck(call: Callable[[], object], after: float) -> Struck | None:
    """Interrupt a call after this many seconds.

    Return the interrupt, or None if the call was over.
    """

    over = False

    def strike(number: int, frame: FrameType | None) -> None:
        assert frame is not None
        if over:
            return
        if frame.f_code.co_filename.endswith((*LOCKS, __file__)):
            signal.setitimer(signal.ITIMER_REAL, 1e-4)
        else:
            raise Struck

    before = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, max(after, 1e-6))
    try:
        call()
    except Struck as error:
        return error
    finally:
        # If a signal is pending, it still runs strike(). strike() must not start the timer again,
        # or the next signal would reach the handler of the test run's own time limit and end the
        # run.
        over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return None


@needs("runs_in_this_thread")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # open sockets
def test_no_frame_shows_a_secret_wherever_an_interrupt_strikes_in_a_token_call(
    h: Harness, monta: Monta
) -> None:
    def token() -> Callable[[], object]:
        auth, client = h.auth(source=monta.source()), h.open()
        return lambda: auth.token(*([client.raw] if h.caller == "client" else []))

    def lasts() -> float:
        call, began = token(), time.perf_counter()
        call()
        return time.perf_counter() - began

    usual = min(lasts() for _ in range(4))  # the first call imports; any may be slow
    found: list[str] = []
    for part in range(40):
        error = struck(token(), usual * part / 40)
        if error is not None:
            found += shown(error, monta.secrets)
    assert found == []


def half(line: socket.socket, request: bytes) -> None:
    """Send a response with the whole body but not its end."""
    body = json.dumps(TOKENS).encode()
    line.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    line.sendall(b"%x\r\n%s\r\n" % (len(body), body))
    none(line, request)


def none(line: socket.socket, request: bytes) -> None:
    """Send no response."""
    while line.recv(65536):
        pass


@pytest.mark.parametrize("serve", [half, none])
def test_no_frame_shows_a_secret_when_a_request_ends_during_a_token_call(
    h: Harness, raw: Raw, serve: Callable[[socket.socket, bytes], None]
) -> None:
    base_url = raw(serve)
    auth = h.auth(source=TokenSource("id", SECRET, base_url=base_url))
    client = h.open(auth)
    found: list[str] = []
    if h.is_async:

        async def get() -> None:
            with anyio.move_on_after(0.1) as scope:
                try:
                    await client.raw.get(base_url + GOOD)
                except BaseException as error:
                    found.extend(shown(error, SECRETS))
                    raise
            assert scope.cancelled_caught

        h.run(get)
    else:
        error = struck(lambda: client.get(base_url + GOOD), 0.1)
        assert error is not None
        found += shown(error, SECRETS)
    assert found == []


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"client_secret": SECRET + "\n"}, id="invisible character"),
        pytest.param({"base_url": "http://api.example/api/v1"}, id="plain http"),
        pytest.param({"base_url": "nowhere"}, id="no URL"),
        pytest.param({"client_id": ""}, id="no client id"),
        pytest.param({"client_id": ("id", SECRET)}, id="pair as client id"),
        pytest.param({"client_id": ["id", SECRET], "client_secret": None}, id="only a pair"),
        pytest.param({"policy": 3}, id="policy"),
        pytest.param({"token": 3}, id="token"),
        pytest.param({"token": {"access_token": TOKENS["accessToken"]}}, id="token as a dict"),
        pytest.param({"client_secret": [SECRET]}, id="secret in a list"),
        pytest.param({"source": 3}, id="source"),
        pytest.param({"allowed_origins": [3]}, id="origins"),
        pytest.param({"caller": 3}, id="client or session"),
    ],
)
def test_no_frame_shows_a_secret_when_a_constructor_raises(
    h: Harness, settings: dict[str, Any]
) -> None:
    settings = {"client_id": "id", "client_secret": SECRET, **settings}
    if "caller" in settings:
        settings[h.caller] = settings.pop("caller")
    with pytest.raises(ConfigurationError) as caught:
        h.adapter.MontaAuth(**settings)
    assert shown(caught.value, SECRETS) == []
    with pytest.raises((ConfigurationError, TypeError)) as again:
        TokenSource(**settings)
    assert shown(again.value, SECRETS) == []


@pytest.mark.parametrize("field", ["access_token", "refresh_token"])
def test_no_frame_shows_a_token_when_a_pair_cannot_be_made(field: str) -> None:
    tokens = {"access_token": TOKENS["accessToken"], "refresh_token": TOKENS["refreshToken"]}
    tokens[field] += " "
    with pytest.raises(ConfigurationError) as caught:
        TokenSet.from_dict({**tokens, "access_expires_at": "2099-01-01T00:00:00Z"})
    assert shown(caught.value, SECRETS) == []


@pytest.mark.parametrize("data", [json.dumps({"access_token": SECRET}), [SECRET], {"a": {}}])
def test_no_frame_shows_an_invalid_token_pair(data: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        TokenSet.from_dict(data)
    assert shown(caught.value, SECRETS) == []
    with pytest.raises(ConfigurationError) as again:
        TokenSet(data, None, None)  # type: ignore[arg-type]
    assert shown(again.value, SECRETS) == []


def test_a_bearer_token_is_a_plain_string_and_pickles_as_one(h: Harness, monta: Monta) -> None:
    token = h.bearer_token(h.auth(monta))
    assert type(token) is str
    assert pickle.loads(pickle.dumps(token)) == token


def test_tokens_that_a_response_quotes_are_shown_nowhere(
    h: Harness, monta: Monta, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    good = json.dumps({**TOKENS, "accessTokenExpirationDate": "2099-01-01T00:00:00Z"})
    bad = {"refreshToken": TOKENS["refreshToken"], "message": TOKENS["refreshToken"]}
    for body in (good, json.dumps(bad)):
        header = {"request-id": TOKENS["refreshToken"]}
        monta.emulator.inject(Fault(status=200, body=body, headers=header))
    auth = h.auth(source=monta.source())
    h.token(auth)
    auth.forget()
    with pytest.raises(InvalidTokenResponseError) as caught:
        h.token(auth)
    text = f"{caught.value} {vars(caught.value)} {auth.status()!r}"
    text += "".join(r.getMessage() for r in caplog.records if r.name == "monta_auth")
    assert "request_id=[redacted]" in text
    assert not any(token in text for token in TOKENS.values())


def test_nothing_that_prints_an_auth_object_shows_its_secret(h: Harness, monta: Monta) -> None:
    auth = h.auth(monta)
    h.token(auth)
    for value in (auth, vars(auth), auth.source, vars(auth.source), vars(auth._source)):
        text = pprint.pformat(value) + repr(value)
        assert not any(secret in text for secret in monta.secrets)


def test_a_pickle_of_an_auth_object_holds_its_secret_but_shows_none(
    h: Harness, monta: Monta
) -> None:
    auth = h.adapter.MontaAuth(monta.client_id, SECRET, base_url=monta.base_url)
    assert SECRET.encode() in pickle.dumps(auth)
    again = pickle.loads(pickle.dumps(auth))
    assert again._source is auth._source
    assert SECRET not in repr(vars(again))


def test_an_unfinished_object_has_a_repr(h: Harness) -> None:
    assert repr(object.__new__(TokenSource)) == "TokenSource(unfinished)"
    assert repr(object.__new__(Source)) == "TokenSource(unfinished)"
    assert repr(object.__new__(h.adapter.MontaAuth)).endswith(".MontaAuth(unfinished)")


def echo(line: socket.socket, request: bytes) -> None:
    """Send back the body of the request as a header."""
    head, _, body = request.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    while len(body) < length:
        body += line.recv(65536)
    line.sendall(b"HTTP/1.1 200 OK\r\n\x1b[31m" + body + b"\r\n\r\n")


def test_no_text_shows_what_a_server_echoes(
    h: Harness, raw: Raw, caplog: pytest.LogCaptureFixture
) -> None:
    base_url = raw(echo)
    auth = h.auth(source=TokenSource("id", SECRET, base_url=base_url))
    with pytest.raises(h.error) as caught:
        h.open(auth).get(base_url + GOOD)
    text = f"{caught.value} {caught.value!r} {auth.status()!r}"
    text += "".join(r.getMessage() for r in caplog.records if r.name == "monta_auth")
    assert SECRET not in text
    assert shown(caught.value, {SECRET}) == []
    assert "\x1b" not in text
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("age", [0, 1, 2])
def test_no_text_shows_an_earlier_token_that_a_server_quotes(
    h: Harness, monta: Monta, age: int, caplog: pytest.LogCaptureFixture
) -> None:
    pairs: list[TokenSet] = []
    source = monta.source(on_token=pairs.append)
    client = h.open(h.auth(source=source))
    for _ in range(3):
        client.get(monta.url(GOOD))
        source.invalidate()
    quoted = pairs[-1 - age]
    words = f"{quoted.access_token} and {quoted.refresh_token}, {monta.client_secret!r}"
    body = json.dumps({"status": "400", "errorCode": words, "message": words})
    monta.emulator.inject(Fault(status=400, body=body), times=2)
    with pytest.raises(TokenEndpointError) as caught:
        client.get(monta.url(GOOD))
    assert "[redacted] and [redacted]" in str(caught.value)
    text = f"{caught.value} {vars(caught.value)} {source.status()!r}"
    text += "".join(r.getMessage() for r in caplog.records if r.name == "monta_auth")
    assert not any(secret in text for secret in monta.secrets)
