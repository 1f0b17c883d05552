"""What all renewals of one source have in common."""

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
    """The store's lease, which the source owns: whoever leads next goes on with it.

    Args:
        until: when it expires, on the monotonic clock.
        flight: of the leader that uses it now.

    Attributes:
        is_doubted: whether the stored refresh token may be spent, and is still to be taken out.
        is_saving: whether a record is being saved with it.
        is_kept: whether it has to expire by itself, since the stored refresh token may be spent:
            to give it back would settle that.
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
        base_url: without a slash at its end.
        credentials: None if a token pair is all there is.
        store: where token pairs are shared, if anywhere.
        refusals, failures: what renewals remember among themselves.

    Attributes:
        jitter: 0 to 1, this source's own share of random spreads.
        seal: of the record in the store, once a secret was asked for.
        leased: the store's lease, if the source has it.
        clear_store: whether the record is to be deleted before anything is read from there.
        store_failure: why the store does not work, in words; None while it does.
        left_behind: for each plain function of the store that an async caller did not wait for any
            longer; set when it has ended after all.
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
        """Keep how the store is doing; one record for each change.

        Args:
            level: of a failure: less where a caller gets the error.
        """
        # Mostly our own words, with paths: what to do stands at the end.
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
