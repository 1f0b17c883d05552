"""What all renewals of one source share."""

from __future__ import annotations

import logging
from threading import Event

from .credentials import Credentials
from .flight import Flight
from .policy import Clock, RefreshPolicy
from .refusals import Failures, Refusals
from .replies import safe_text
from .sealing import Seal
from .store_protocol import Lease, Store

logger = logging.getLogger("monta_auth")


class Leased:
    """The store's lease. It belongs to the source, so the next leader continues with it.

    Args:
        until: when it expires, on the monotonic clock.
        flight: the flight of the leader that uses it now.

    Attributes:
        is_doubted: whether the stored refresh token may be spent and still has to be removed.
        is_saving: whether a record is being saved under it.
        is_kept: whether it has to expire, because the stored refresh token may be spent. A release
            would hide that from the next holder.
    """

    def __init__(self, lease: Lease, until: float, flight: Flight) -> None:
        self.lease = lease
        self.until = until
        self.flight = flight
        self.is_doubted = self.is_kept = bool(lease.doubt)
        self.is_saving = False


class Terms:
    """What every renewal of one source needs.

    Args:
        base_url: without a trailing slash.
        credentials: None if there is only a token pair.
        store: where processes share token pairs, if anywhere.
        refusals, failures: what renewals remember for later ones.

    Attributes:
        jitter: 0 to 1, this source's share of random spreads.
        seal: encrypts the record in the store; None until the secret is known.
        leased: the store's lease, if the source holds it.
        clear_store: whether to delete the record before anything is read from the store.
        store_failure: why the store does not work, as text; None if it works.
        left_behind: one event for each plain function of the store that an async caller stopped
            waiting for; set when the function ends.
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
        self.seal: Seal | None = None
        self.leased: Leased | None = None
        self.clear_store = False
        self.store_failure: str | None = None
        self.left_behind: list[Event] = []

    def report_store(self, failure: str | None, level: int = logging.WARNING) -> None:
        """Remember whether the store works, and log each change once.

        Args:
            level: the log level of a failure; lower if a caller gets the error.
        """
        # The limit is high, because our own texts contain paths and end with what to do.
        failure = safe_text(failure, self.refusals.secrets, 1000)
        if failure is not None and self.store_failure is None:
            logger.log(
                level,
                "the token store failed: %s. Until it works again, new tokens are kept in memory",
                failure,
            )
        elif failure is None and self.store_failure is not None:
            logger.info("the token store works again")
        self.store_failure = failure
