"""State of a request across its redirects."""

from __future__ import annotations

from weakref import WeakKeyDictionary, WeakValueDictionary

from aiohttp import ClientRequest, ClientResponse

from monta_auth._core.policy import Spent


class Hops:
    """One request, from its first hop to its last.

    Attributes:
        was_foreign: whether it reached an origin that is not allowed to receive the token. That
            origin then decides where the request goes.
        spent: what all hops together have spent on the token.
    """

    __slots__ = ("__weakref__", "spent", "timer", "was_foreign")

    def __init__(self, timer: object) -> None:
        self.timer = timer
        self.was_foreign = False
        self.spent = Spent()


class Requests:
    """The requests in progress, each for as long as aiohttp holds its redirect responses."""

    def __init__(self) -> None:
        self._by_timer: WeakValueDictionary[int, Hops] = WeakValueDictionary()
        self._by_response: WeakKeyDictionary[ClientResponse, Hops] = WeakKeyDictionary()

    def hops_of(self, request: ClientRequest) -> Hops:
        """Return the state of the request that this hop belongs to.

        aiohttp calls a middleware for each hop, without a public way to know its request. But all
        hops of a request share a timer that no other request has.
        """
        # Since Python 3.13 it cannot be weakly referenced. `Hops` holds it, so that its id stays
        # unique.
        timer = getattr(request, "_timer", request)
        hops = self._by_timer.get(id(timer))
        if hops is None:
            hops = self._by_timer[id(timer)] = Hops(timer)
        return hops

    def keep(self, hops: Hops, response: ClientResponse) -> None:
        """Keep the state until the next hop; aiohttp holds this response until then."""
        if 300 <= response.status < 400:
            self._by_response[response] = hops
