"""`speak` makes each of Authlib's clients, one after the other."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from monta_auth.authlib import speak_monta
from monta_auth.emulator import Emulator

from .clients import CLIENTS


class Speaker:
    """A client of Authlib with `speak_monta`, used the same way for each kind."""

    def __init__(self, kind: str, base_url: str | None, *args: Any, **kwargs: Any) -> None:
        self.kind = kind
        self.client = CLIENTS[kind](*args, **kwargs)
        self._runner = asyncio.Runner()
        assert speak_monta(self.client, base_url) is self.client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            async def in_a_loop() -> Any:
                result = getattr(self.client, name)(*args, **kwargs)
                return await result if inspect.isawaitable(result) else result

            return self._runner.run(in_a_loop())

        return call

    def follow_redirects(self) -> None:
        """requests always follows redirects."""
        if self.kind != "requests":
            self.client.follow_redirects = True

    def expire(self) -> None:
        self.client.token["expires_at"] = 1

    def shut(self) -> None:
        self.aclose() if self.kind == "httpx async" else self.close()
        self._runner.close()


Speak = Callable[..., Speaker]


@pytest.fixture
def foreign() -> Iterator[Emulator]:
    """Another host, which must receive nothing."""
    with Emulator() as emulator:
        yield emulator


@pytest.fixture(params=CLIENTS)
def speak(request: pytest.FixtureRequest, site: Emulator) -> Iterator[Speak]:
    with ExitStack() as stack:

        def made(
            client_id: str | None = None, client_secret: str | None = None, **kwargs: Any
        ) -> Speaker:
            client_id = site.client_id if client_id is None else client_id
            client_secret = site.client_secret if client_secret is None else client_secret
            kwargs.setdefault("base_url", site.base_url)
            speaker = Speaker(
                request.param, kwargs.pop("base_url"), client_id, client_secret, **kwargs
            )
            stack.callback(speaker.shut)
            return speaker

        yield made
