"""What a renewal works with: the terms of its source, and the flight that it serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from .credentials import Credentials
from .effects import Call, Effect, Send, Sleep, Steps
from .flight import Flight, Superseded
from .policy import Clock, RefreshPolicy
from .refusals import Refusals
from .replies import Reply
from .store_protocol import Store
from .token_calls import TokenRequest

T = TypeVar("T")


class Terms:
    """What all renewals of one source have in common.

    Args:
        base_url: without a slash at its end.
        credentials: None if a token pair is all there is.
        store: where pairs are kept beside memory, if anywhere.
        refusals: what renewals remember among themselves.

    Attributes:
        jitter: 0 to 1, this source's own share of random spreads.
        clear_store: whether the stored pair is to be deleted before anything is read from there.
    """

    def __init__(
        self,
        base_url: str,
        credentials: Credentials | None,
        policy: RefreshPolicy,
        clock: Clock,
        store: Store | None,
        refusals: Refusals,
    ) -> None:
        self.base_url = base_url
        self.credentials = credentials
        self.policy = policy
        self.clock = clock
        self.store = store
        self.refusals = refusals
        self.jitter = clock.random()
        self.clear_store = False


class Turn:
    """The turn of one leader: it performs effects, and looks at the flight again after each.

    Args:
        deadline: until when its caller can wait, on the monotonic clock.

    Each method raises `Superseded` once the flight has ended without this leader.
    """

    def __init__(self, terms: Terms, flight: Flight, deadline: float) -> None:
        self.terms = terms
        self.flight = flight
        self.deadline = deadline

    def send(self, request: TokenRequest, timeout: float) -> Steps[Reply]:
        return self._do(Send(request, timeout))

    def sleep(self, seconds: float) -> Steps[None]:
        return self._do(Sleep(seconds))

    def call(self, function: Callable[..., T | Awaitable[T]], *args: object) -> Steps[T]:
        return self._do(Call(function, *args))

    def _do(self, effect: Effect) -> Steps[Any]:
        try:
            outcome = yield effect
        except Exception:
            if self.flight.over:
                raise Superseded from None
            raise
        self.flight.touched = self.terms.clock.monotonic()
        if self.flight.over:
            raise Superseded
        return outcome
