"""What is known of a request over all hops of its redirects."""

from __future__ import annotations

from weakref import WeakKeyDictionary, WeakValueDictionary

from aiohttp import ClientRequest, ClientResponse

from monta_auth._core.policy import Spent


class Hops:
    """One request, from its first hop to its last.

    Attributes:
        was_foreign: whether it has been to an origin that is not allowed to receive the token. From
            there on, that origin decides where the request goes.
        spent: on the token, by all hops together.
    """

    __slots__ = ("__weakref__", "spent", "timer", "was_foreign")

    def __init__(self, timer: object) -> None:
        self.timer = timer
        self.was_foreign = False
        self.spent = Spent()


class Requests:
    """The requests under way. One is known for as long as aiohttp holds its redirect responses."""

    def __init__(self) -> None:
        self._by_timer: WeakValueDictionary[int, Hops] = WeakValueDictionary()
        self._by_response: WeakKeyDictionary[ClientResponse, Hops] = WeakKeyDictionary()

    def hops_of(self, request: ClientRequest) -> Hops:
        """Return the hops that this one belongs to.

        aiohttp calls a middleware anew for each hop. Nothing public says which request a hop
        belongs to. But all hops of a request have one timer, and no other request has it.
        """
        # From Python 3.13 on it cannot be weakly referenced. The hops hold it, so that no other
        # object can have its id meanwhile.
        timer = getattr(request, "_timer", request)
        hops = self._by_timer.get(id(timer))
        if hops is None:
            hops = self._by_timer[id(timer)] = Hops(timer)
        return hops

    def keep(self, hops: Hops, response: ClientResponse) -> None:
        """Keep the hops until the next one comes: until then, aiohttp holds this response."""
        if 300 <= response.status < 400:
            self._by_response[response] = hops
