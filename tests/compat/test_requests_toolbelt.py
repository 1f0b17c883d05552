"""requests-toolbelt: a session with a base URL, and bodies that are encoded while they are sent."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable
from typing import Any

import pytest
import requests
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from monta_auth.emulator import Emulator

from .requests_library import auth_of
from .table import Combination
from .visits import PAGE, VISIT, calls

toolbelt: Any = pytest.importorskip(
    "requests_toolbelt", reason="requests-toolbelt is not installed"
)
BaseUrlSession: Any = importlib.import_module("requests_toolbelt.sessions").BaseUrlSession
dump_all: Any = importlib.import_module("requests_toolbelt.utils.dump").dump_all

COMBINATION = Combination(
    name="requests-toolbelt",
    with_="requests",
    know="A ``MultipartEncoder`` cannot be rewound: a 401 to it is handed over, and the next "
    "request renews; ``encoder.to_string()`` is sent again. A ``dump`` shows the token.",
)


CONTENT = b"0123456789" * 5000


async def _upload(request: Request) -> JSONResponse:
    form = await request.body()
    return JSONResponse({"whole": CONTENT in form, "size": len(form)})


@pytest.fixture
def site(site: Emulator) -> Emulator:
    """A Monta that accepts files."""
    site.routes = [Route("/upload", _upload, methods=["POST"])]
    return site


def _encoder() -> Any:
    return toolbelt.MultipartEncoder({"file": ("file.txt", io.BytesIO(CONTENT), "text/plain")})


@pytest.mark.parametrize("of_session", [False, True], ids=["fresh session", "session="])
def test_paths_below_a_base_url_get_the_token(site: Emulator, of_session: bool) -> None:
    with BaseUrlSession(site.base_url + "/") as session:
        session.auth = auth_of(site, **({"session": session} if of_session else {}))
        assert session.get("charge-points").status_code == 200
        session.auth.invalidate()
        assert session.get("charge-points").status_code == 200
        site.revoke_access_tokens()
        assert session.get("charge-points").status_code == 200
    assert calls(site) == VISIT


@pytest.mark.parametrize(
    "wrap", [lambda body: body, toolbelt.MultipartEncoderMonitor], ids=["encoder", "monitor"]
)
def test_an_encoded_stream_is_sent_whole_or_not_at_all(
    site: Emulator, wrap: Callable[[Any], Any]
) -> None:
    """After a 401, part of the stream has been read. The rest must not be sent."""
    with BaseUrlSession(site.base_url + "/") as session:
        session.auth = auth_of(site)
        session.get("charge-points")
        site.revoke_access_tokens()

        def upload() -> requests.Response:
            body = wrap(_encoder())
            headers = {"Content-Type": body.content_type}
            return session.post("upload", data=body, headers=headers)  # type: ignore[no-any-return]

        assert upload().status_code == 401
        assert upload().json() == {"whole": True, "size": _encoder().len}
    assert calls(site)[2:] == [("/upload", 401), ("/auth/refresh", 200), ("/upload", 200)]


def test_an_encoded_string_is_sent_again(site: Emulator) -> None:
    with BaseUrlSession(site.base_url + "/") as session:
        session.auth = auth_of(site)
        session.get("charge-points")
        site.revoke_access_tokens()
        encoder = _encoder()
        body = encoder.to_string()
        headers = {"Content-Type": encoder.content_type}
        reply = session.post("upload", data=body, headers=headers)
    assert reply.json() == {"whole": True, "size": len(body)}
    assert calls(site) == [
        ("/auth/token", 200),
        (PAGE, 200),
        ("/upload", 401),
        ("/auth/refresh", 200),
        ("/upload", 200),
    ]


def test_its_dump_shows_the_whole_traffic(site: Emulator) -> None:
    """This is why it is in the table: somebody may log it."""
    with BaseUrlSession(site.base_url + "/") as session:
        session.auth = auth_of(site)
        dump = dump_all(session.get("charge-points"))
        assert session.auth.bearer_token().encode() in dump
    assert site.client_secret.encode() not in dump
