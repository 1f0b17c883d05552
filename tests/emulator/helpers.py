"""Calls that most tests make, with requests."""

from typing import Any

import requests

from monta_auth.emulator import Emulator


def token_body(monta: Emulator) -> dict[str, str]:
    return {"clientId": monta.client_id, "clientSecret": monta.client_secret}


def mint(monta: Emulator) -> requests.Response:
    return requests.post(monta.base_url + "/auth/token", json=token_body(monta), timeout=5)


def pair(monta: Emulator) -> dict[str, Any]:
    reply = mint(monta)
    assert reply.status_code == 200
    body: dict[str, Any] = reply.json()
    return body


def renew(monta: Emulator, token: str) -> requests.Response:
    return requests.post(monta.base_url + "/auth/refresh", json={"refreshToken": token}, timeout=5)


def get(monta: Emulator, path: str, token: str) -> requests.Response:
    return requests.get(
        monta.base_url + path, headers={"Authorization": f"Bearer {token}"}, timeout=5
    )


def envelope(reply: requests.Response) -> tuple[int, str, str]:
    """Return status, its name and the error code. The body must have the five keys, no spaces."""
    body = reply.json()
    assert list(body) == ["status", "message", "readableMessage", "errorCode", "context"]
    assert b'": ' not in reply.content
    return reply.status_code, body["status"], body["errorCode"]


class Api:
    """A client with a token, for calls that read data."""

    def __init__(self, monta: Emulator) -> None:
        self.monta = monta
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {pair(monta)['accessToken']}"

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        return self.session.request(method, self.monta.base_url + path, timeout=5, **more)

    def get(self, path: str, **query: object) -> Any:
        """Return the body of a response, which must be a 200."""
        reply = self.call("GET", path, params=query)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def rows(self, path: str, **query: object) -> list[dict[str, Any]]:
        """Return all rows of a list."""
        body = self.get(path, perPage=100, **query)
        assert body["meta"]["totalItemCount"] == len(body["data"])
        rows: list[dict[str, Any]] = body["data"]
        return rows

    def start(self, point: int = 101, **more: object) -> Any:
        reply = self.call("POST", "/charges", json={"chargePointId": point, **more})
        assert reply.status_code == 200, reply.text
        return reply.json()
