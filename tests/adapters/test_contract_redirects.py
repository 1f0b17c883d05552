"""The contract of every adapter: redirects lead neither the token nor a body to foreign hosts."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.types import Send

import monta_auth
from monta_auth.emulator import Fault

from .contract import Harness
from .site import Host, Monta, Seen, echo, redirects, respond, says

REDIRECTS = [302, 303, 307, 308]


@pytest.mark.parametrize("status", [301, *REDIRECTS])
def test_a_redirect_to_a_foreign_host_gets_no_token(
    h: Harness, monta: Monta, foreign: Host, status: int
) -> None:
    client = h.open(h.auth(monta))
    url = monta.page("/from", redirects(status, foreign.origin + "/to"), guarded=True)
    for _ in range(2):
        assert client.get(url, follow=True).content == b"foreign"
    assert [seen.token for seen in foreign.seen] == [None, None]
    assert not any(secret in repr(foreign.seen) for secret in monta.secrets)


@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_a_401_from_a_foreign_host_is_returned_and_renews_nothing(
    h: Harness, monta: Monta, foreign: Host, status: int, warm: bool
) -> None:
    """The server has executed the POST. A retry would execute it twice."""
    client = h.open(h.auth(monta))
    if warm:
        client.get(monta.url("/charge-points"))
    foreign.pages["/to"] = says(401, b"who are you?")
    url = monta.page("/from", redirects(status, foreign.origin + "/to"), guarded=True)
    response = client.post(url, json={"pay": 1}, follow=True)
    assert (response.status_code, response.content) == (401, b"who are you?")
    assert len(monta.asked("/api/v1/from")) == 1
    assert len(foreign.seen) == 1
    assert (monta.mints, monta.refreshes) == (1, 0)
    client.get(monta.url("/charge-points"))
    assert (monta.mints, monta.refreshes) == (1, 0)


@pytest.mark.parametrize("status", REDIRECTS)
def test_after_a_redirect_only_the_refused_request_is_retried(
    h: Harness, monta: Monta, status: int
) -> None:
    client = h.open(h.auth(monta))
    client.get(monta.url("/charge-points"))
    target = monta.page("/to", echo, guarded=True)

    async def revoke(seen: Seen, send: Send) -> None:
        monta.emulator.revoke_access_tokens()
        await respond(send, status, b"", {"location": target})

    url = monta.page("/from", revoke, guarded=True)
    response = client.post(url, json={"pay": 1}, follow=True)
    assert response.status_code == 200
    assert len(monta.asked("/api/v1/from")) == 1
    refused, again = monta.asked("/api/v1/to")
    assert (again.method, again.body) == (refused.method, refused.body)
    if status in (307, 308):
        assert (again.method, again.body.replace(b" ", b"")) == ("POST", b'{"pay":1}')
    else:
        assert (again.method, again.body) == ("GET", b"")
    assert (monta.mints, monta.refreshes) == (1, 1)


@pytest.mark.parametrize("status", REDIRECTS)
def test_a_redirect_after_a_retried_401_gets_the_new_token(
    h: Harness, monta: Monta, status: int
) -> None:
    client = h.open(h.auth(monta))
    client.get(monta.url("/charge-points"))
    target = monta.page("/to", echo, guarded=True)
    url = monta.page("/from", redirects(status, target), guarded=True)
    monta.emulator.revoke_access_tokens()
    assert client.get(url, follow=True).status_code == 200
    assert len(monta.asked("/api/v1/from")) == 2
    (arrived,) = monta.asked("/api/v1/to")
    assert arrived.token == monta.asked("/api/v1/from")[1].token
    assert (monta.mints, monta.refreshes) == (1, 1)


def test_a_foreign_redirect_after_a_retried_401_gets_no_token(
    h: Harness, monta: Monta, foreign: Host
) -> None:
    client = h.open(h.auth(monta))
    client.get(monta.url("/charge-points"))
    url = monta.page("/from", redirects(307, foreign.origin + "/to"), guarded=True)
    monta.emulator.revoke_access_tokens()
    assert client.post(url, follow=True, **h.content(b"x")).status_code == 200
    (arrived,) = foreign.seen
    assert (arrived.token, arrived.body) == (None, b"x")


@pytest.mark.parametrize("status", [301, *REDIRECTS])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_foreign_redirect_cannot_send_the_token_anywhere(
    h: Harness, monta: Monta, foreign: Host, status: int, method: str
) -> None:
    """Not even to an allowed origin: the foreign host would choose what is done there."""
    client = h.open(h.auth(monta))
    onward = monta.page("/onward", redirects(status, monta.page("/stop", echo)))
    foreign.pages["/callback"] = redirects(status, onward)
    for begin in (foreign.origin + "/callback", "/from"):
        if begin == "/from":
            begin = monta.page(begin, redirects(status, foreign.origin + "/callback"))
        response = client.request(method, begin, follow=True, **h.content(b"x"))
        assert response.status_code == 200
    aimed = monta.asked("/api/v1/onward") + monta.asked("/api/v1/stop")
    assert [seen.token for seen in aimed] == [None] * 4
    (begun,) = monta.asked("/api/v1/from")
    assert begun.token
    # The next request is independent of that one.
    assert client.get(monta.url("/charge-points")).status_code == 200
    assert monta.mints == 1


def test_a_401_after_a_foreign_redirect_is_returned_and_renews_nothing(
    h: Harness, monta: Monta, foreign: Host
) -> None:
    client = h.open(h.auth(monta))
    client.get(monta.url("/charge-points"))
    foreign.pages["/callback"] = redirects(302, monta.url("/charge-points"))
    assert client.get(foreign.origin + "/callback", follow=True).status_code == 401
    assert (monta.mints, monta.refreshes) == (1, 0)


def test_all_hops_of_a_request_have_one_deadline(
    h: Harness, monta: Monta, acquired: list[Any]
) -> None:
    source = monta.source()
    client = h.open(h.auth(source=source))
    revoked: list[str] = []

    async def revoke(seen: Seen, send: Send) -> None:
        """Refuse each token once."""
        if seen.path not in revoked:
            revoked.append(seen.path)
            monta.emulator.revoke_access_tokens()
            await respond(send, 401)
        elif seen.path == "/api/v1/last":
            await respond(send, 200)
        else:
            await respond(send, 302, b"", {"location": monta.url("/last")})

    monta.page("/last", revoke)
    url = monta.page("/first", revoke)
    last = client.get(url, follow=True).status_code
    # A flow of httpx retries once in all. For the other libraries, each hop is a request.
    flows = {200: 3, 401: 2}[last]
    assert len(acquired) == flows
    assert len({id(call.args[0]) for call in acquired}) == 1
    # The next request has its own budget.
    source.invalidate()
    client.get(monta.url("/charge-points"))
    assert len(acquired) == flows + 1
    assert acquired[-1].args[0] is not acquired[0].args[0]


def test_a_redirect_is_only_followed_if_the_user_asked_for_it(h: Harness, monta: Monta) -> None:
    client = h.open(h.auth(monta))
    url = monta.page("/from", redirects(302, monta.url("/charges")), guarded=True)
    assert client.get(url).status_code == 302
    assert monta.asked("/api/v1/charges") == []


@pytest.mark.parametrize("status", [301, *REDIRECTS])
@pytest.mark.parametrize("follow", [False, True], ids=["stays", "follows"])
def test_token_calls_never_follow_a_redirect(
    h: Harness, monta: Monta, foreign: Host, status: int, follow: bool
) -> None:
    """This includes requests without a body: the target gets no request at all."""
    headers = {"location": foreign.origin + "/auth/token", "request-id": "5f0c"}
    client = h.open(h.auth(monta))
    monta.emulator.inject(Fault(status=status, headers=headers), times=5)
    with pytest.raises(monta_auth.TokenEndpointError, match="redirect") as caught:
        client.get(monta.url("/charge-points"), follow=follow)
    assert isinstance(caught.value, h.error)
    assert (caught.value.status, caught.value.request_id) == (status, "5f0c")
    assert foreign.seen == []
    assert monta.mints == 1
    assert monta.asked("/api/v1/charge-points") == []


@pytest.mark.parametrize("location", ["http://[::1/", "http://host:port/", "//", "", "ftp://x/"])
@pytest.mark.parametrize("follow", [False, True], ids=["stays", "follows"])
def test_a_token_call_redirected_to_an_invalid_url_raises_the_same_error(
    h: Harness, monta: Monta, follow: bool, location: str
) -> None:
    client = h.open(h.auth(monta))
    monta.emulator.inject(Fault(status=302, headers={"location": location}), times=5)
    with pytest.raises(monta_auth.TokenEndpointError, match="redirect") as caught:
        client.get(monta.url("/charge-points"), follow=follow)
    assert caught.value.status == 302
    assert monta.mints == 1


@pytest.mark.parametrize("status", [303, 307])
def test_a_refresh_never_follows_a_redirect(
    h: Harness, monta: Monta, foreign: Host, status: int
) -> None:
    source = monta.source()
    client = h.open(h.auth(source=source))
    client.get(monta.url("/charge-points"))
    assert source._source.fresh()
    monta.now.advance(3600)
    location = {"location": foreign.origin + "/auth/refresh"}
    monta.emulator.inject(Fault(status=status, headers=location), path="/auth/refresh")
    with pytest.raises(monta_auth.TokenEndpointError, match="redirect"):
        client.get(monta.url("/charge-points"), follow=True)
    assert foreign.seen == []
    assert monta.mints == 1


def test_a_401_after_a_redirect_to_an_allowed_origin_is_retried(
    h: Harness, monta: Monta, foreign: Host
) -> None:
    """If the library removes Authorization for another host, a 401 from there is not ours."""
    client = h.open(h.auth(monta, allowed_origins=[foreign.origin]))
    url = monta.page("/from", redirects(302, foreign.origin + "/to"), guarded=True)
    foreign.pages["/to"] = says(401)
    assert client.get(url, follow=True).status_code == 401
    assert len(foreign.seen) == (2 if h.authorizes_each_hop else 1)
    assert len(monta.asked("/api/v1/from")) == 1
    assert (monta.mints, monta.refreshes) == (1, int(h.authorizes_each_hop))
