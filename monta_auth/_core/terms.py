"""What all renewals of one source have in common."""

from __future__ import annotations

from .credentials import Credentials
from .flight import Flight
from .old_store import Lease, Store
from .policy import Clock, RefreshPolicy
from .refusals import Failures, Refusals


class Leased:
    """The store's lease, which the source owns: whoever leads next goes on with it.

    Args:
        until: when it expires, on the monotonic clock.
        flight: of the leader that uses it now.

    Attributes:
        is_saving: whether a pair is being saved with it.
    """

    def __init__(self, lease: Lease, until: float, flight: Flight) -> None:
        self.lease = lease
        self.until = until
        self.flight = flight
        self.is_saving = False


class Terms:
    """What every renewal of one source needs.

    Args:
        base_url: without a slash at its end.
        credentials: None if a token pair is all there is.
        store: where pairs are kept beside memory, if anywhere.
        refusals, failures: what renewals remember among themselves.

    Attributes:
        jitter: 0 to 1, this source's own share of random spreads.
        leased: the store's lease, if the source has it.
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
        failures: Failures,
    ) -> None:
        self.base_url = base_url
        self.credentials = credentials
        self.policy = policy
        self.clock = clock
        self.store = store
        self.refusals = refusals
        refusals.know(credentials.literal_secret if credentials is not None else None)
        self.failures = failures
        self.jitter = clock.random()
        self.leased: Leased | None = None
        self.clear_store = False
