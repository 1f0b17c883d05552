"""The source of access tokens: three verbs for adapters, and a few for users through them."""

from __future__ import annotations

import copy
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from typing import Any

from .credentials import ClientSecret, find_credentials
from .drivers import advance, is_async, needs_async
from .effects import Call, Effect, Wait
from .errors import ConfigurationError, Failure, MontaAuthError, TransportFailure
from .flight import Flight, Superseded
from .held_pair import Held, Nothing, hold_old
from .origins import Origins, clean_base_url
from .policy import SYSTEM_CLOCK, Clock, RefreshPolicy
from .renewal import Renewal
from .secret import BearerHeader
from .state import State
from .status import Status
from .store_protocol import Bindable, Store
from .store_visit import delete_stored_pair, drop_stored_token
from .tokens import TokenSet, fingerprint

logger = logging.getLogger("monta_auth")

OnToken = Callable[[TokenSet], object]


class TokenSource:
    """Holds one pair for one client at one base URL, and renews it for everybody who asks.

    Safe for threads, asyncio tasks of any number of loops and trio tasks at the same time.
    Adapters make one for themselves; make one yourself to hand the same to several of them.

    Args:
        client_id, client_secret: default: ``MONTA_CLIENT_ID``, ``MONTA_CLIENT_SECRET``. The
            secret may be a callable, asked at every mint.
        base_url: default: ``MONTA_BASE_URL``, else `PUBLIC_API`.
        token: a pair to start from. With its refresh token alone, no credentials are needed.
        store: where to keep the pair beside memory. Not together with `token`.
        on_token: called once with each pair that this process obtained, after it is in use.
        policy: when to renew and how long to try.
        clock: time and chance, for tests.

    Raises:
        ConfigurationError: the settings cannot work.
    """

    def __init__(
        self,
        client_id: str | None = None,
        client_secret: ClientSecret | None = None,
        *,
        base_url: str | None = None,
        token: TokenSet | None = None,
        store: Store | Bindable | None = None,
        on_token: OnToken | None = None,
        policy: RefreshPolicy | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if token is not None and store is not None:
            raise ConfigurationError(
                "token= and store= exclude each other: save the pair in the store instead"
            )
        if token is not None and not isinstance(token, TokenSet):
            raise ConfigurationError("token= takes a TokenSet; see TokenSet.from_dict")
        if policy is not None and not isinstance(policy, RefreshPolicy):
            raise ConfigurationError("policy= takes a RefreshPolicy")
        self._settings: dict[str, Any] = {
            "client_id": client_id,
            "client_secret": client_secret,
            "base_url": base_url,
            "store": store,
            "on_token": on_token,
            "policy": policy,
        }
        self.base_url = clean_base_url(base_url)
        self.origins = Origins(self.base_url)
        self.credentials = find_credentials(client_id, client_secret)
        if self.credentials is None and token is None and store is None:
            raise ConfigurationError(
                "no credentials: pass client_id= and client_secret=, or set the environment "
                "variables MONTA_CLIENT_ID and MONTA_CLIENT_SECRET"
            )
        self.policy = policy if policy is not None else RefreshPolicy()
        self._store: Store | None
        if isinstance(store, Bindable):
            client = self.credentials.client_id if self.credentials is not None else None
            self._store = store.bind(self.base_url, client)
        else:
            self._store = store
        self._on_token = on_token
        self._clock = clock
        self.monotonic = clock.monotonic
        self._jitter = clock.random()
        self._only_async = self._find_async()
        self._state = State(self.policy, clock)
        self._store_is_down = False
        # Pairs that on_token was not called with yet: a leader may be cancelled before it is.
        self._unannounced: deque[TokenSet] = deque()
        if token is not None:
            self._state.hold(
                hold_old(
                    token,
                    self.policy,
                    now=clock.monotonic(),
                    wall=clock.wall(),
                    jitter=self._jitter,
                )
            )
        _every_source.add(self)

    # --- the three verbs

    @property
    def ready(self) -> Held | Nothing:
        """The pair behind `fresh`; adapters keep it, and look at its `advisory_at` themselves."""
        return self._state.ready

    def fresh(self) -> BearerHeader | None:
        """Return the ready ``Authorization`` header, or None if `acquire` has to decide."""
        ready = self._state.ready
        return ready.header if self.monotonic() < ready.advisory_at else None

    def acquire(self, *, blocking: bool = True) -> Generator[Effect, Any, BearerHeader]:
        """A flow that returns an ``Authorization`` header; `drive` or `adrive` runs it.

        Args:
            blocking: whether the driver blocks its thread while it performs an effect.

        Raises:
            MontaAuthError: no token can be had; TransportFailure if the network is why.
        """
        held = yield from self.obtain(blocking=blocking)
        return held.header

    def refuse(
        self,
        status: int,
        url: str,
        sent: str | None,
        ours: str | None,
        origins: Origins | None = None,
    ) -> bool:
        """Hear about a response; return whether its request should be sent again.

        Args:
            status: of the response.
            url: that the response came from, which a redirect may have changed.
            sent: the ``Authorization`` header that the answered request carried.
            ours: the header that the caller had from `fresh` or `acquire`.
            origins: where this caller's token may go; default: the origin of the base URL.
        """
        if status != 401 or sent is None or sent != ours:
            return False
        if not (self.origins if origins is None else origins).allows(url):
            return False
        again, cooldown = self._state.refuse(sent)
        if cooldown:
            logger.warning(
                "the API refuses every new token with 401; no renewal for %.0f s. Does the "
                "credential have access to %s?",
                cooldown,
                url.partition("?")[0],
            )
        return again

    # --- for users, through the adapters

    def obtain(self, *, blocking: bool = True) -> Generator[Effect, Any, Held]:
        """The flow behind `acquire`; returns the held pair."""
        if blocking and self._only_async is not None:
            raise ConfigurationError(needs_async(self._only_async))
        deadline = self.monotonic() + self.policy.deadline
        joined: Flight | None = None
        while True:
            now = self.monotonic()
            mine = Flight(threading.get_ident(), now)
            try:
                if joined is not None and now >= deadline:
                    return self._usable_or_late(joined)
                verdict = self._state.decide(now, mine, joined, blocking)
                if isinstance(verdict, Held):
                    return verdict
                if not isinstance(verdict, Flight):
                    raise copy.copy(verdict)
                joined = verdict
                if verdict is mine:
                    installed = yield from self._lead(mine, deadline)
                    # Looked at again: on_token may have taken its time.
                    if installed is self._state.held and installed and not installed.refused_by:
                        return installed
                else:
                    yield Wait(verdict, deadline - now)
            finally:
                # An interrupt may strike anywhere, also just after the flight began.
                if not mine.over:
                    self._state.abandon(mine)

    def _usable_or_late(self, joined: Flight) -> Held:
        """The end of a caller whose time is up: the token if it lives, else why there is none."""
        held = self._state.usable(self.monotonic())
        if held is not None:
            return held
        if joined.failure is not None:
            raise copy.copy(joined.failure)
        raise TransportFailure(
            f"no token within {self.policy.deadline:g} s: a renewal is under way, but it did not "
            "end in time",
            "timeout",
            sent=False,
        )

    def invalidate(self) -> None:
        """Drop the access token: the next request renews. What is remembered of failures stays."""
        held = self._state.invalidate()
        if self._store is not None:
            header = held.header if held is not None else None
            self._change_store(drop_stored_token(self._store, header, self._state.memory))

    def forget(self) -> None:
        """Drop the pair and all that is remembered of failures; the next request mints."""
        self._state.forget()
        if self._store is not None:
            self._state.memory.clear_store = True
            self._change_store(delete_stored_pair(self._store, self._state.memory))

    def status(self) -> Status:
        """Tell how the source is doing."""
        now, wall = self.monotonic(), self._clock.wall()
        state = self._state
        pair = state.held.pair if state.held is not None else None
        renewed, failure, next_try = state.last_renewal, state.failure, state.next_try(now)
        return Status(
            access_expires_at=pair.access_expires_at if pair else None,
            refresh_expires_at=pair.refresh_expires_at if pair else None,
            last_renewal=None if renewed is None else datetime.fromtimestamp(renewed, UTC),
            last_failure=None if failure is None else _in_words(failure),
            next_try=(
                datetime.fromtimestamp(wall + next_try - now, UTC) if next_try > now else None
            ),
            mints=state.counts["mint"],
            refreshes=state.counts["refresh"],
            failures=state.counts["failure"],
            refusals=state.counts["refusal"],
        )

    def __repr__(self) -> str:
        who = self.credentials.client_id if self.credentials is not None else "no credentials"
        return f"TokenSource({who!r}, base_url={self.base_url!r})"

    def __copy__(self) -> TokenSource:
        return self

    def __deepcopy__(self, memo: object) -> TokenSource:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings, with literal credentials, and no pair."""
        settings = self._settings
        if self.credentials is None and settings["store"] is None:
            raise TypeError("a TokenSource that has nothing but a token pair cannot be pickled")
        return _rebuild, (settings,)

    # --- one flight, from its leader's side

    def _lead(self, flight: Flight, deadline: float) -> Generator[Effect, Any, Held | None]:
        """Renew; return what was installed, or None if that failed or was taken from us."""
        state = self._state
        started = self.monotonic()
        was_down = state.failures_in_a_row > 0
        renewal = Renewal(
            flight,
            state.held,
            base_url=self.base_url,
            credentials=self.credentials,
            policy=self.policy,
            clock=self._clock,
            store=self._store,
            memory=state.memory,
            jitter=self._jitter,
            deadline=deadline,
        )
        installed: Held | None = None
        failure: Failure | None = None
        try:
            new = yield from renewal.run()
            try:
                if renewal.obtained:
                    yield from renewal.visit.save(new.pair)
            finally:
                # Also when we are cancelled here: the pair is in our hands.
                if new is not None and state.install(flight, new, renewal.kind):
                    installed = new
                    if renewal.obtained and self._on_token is not None:
                        self._unannounced.append(new.pair)
        except Superseded:
            pass
        except (MontaAuthError, TransportFailure) as error:
            failure = copy.copy(error)
        finally:
            if failure is not None:
                state.fail(flight, failure, renewal.visit.held)
            elif installed is None:
                state.abandon(flight)
            self._record(renewal, started, installed, failure, was_down)
        yield from renewal.visit.release()
        yield from self._announce()
        return installed

    def _announce(self) -> Generator[Effect, Any, None]:
        while self._unannounced and self._on_token is not None:
            try:
                pair = self._unannounced.popleft()
            except IndexError:  # pragma: no cover - another thread was faster by a hair
                return
            try:
                yield Call(self._on_token, pair)
            except Exception as error:
                logger.warning("on_token raised %s; the pair is in use", type(error).__qualname__)

    def _record(
        self,
        renewal: Renewal,
        started: float,
        held: Held | None,
        failure: Failure | None,
        was_down: bool,
    ) -> None:
        """Log one record for this renewal, and the first failure of a store."""
        level = logging.DEBUG
        outcome = "abandoned"
        if held is not None:
            outcome = "renewed"
            level = logging.INFO if was_down else logging.DEBUG
        elif failure is not None:
            outcome = _in_words(failure)
            level = logging.DEBUG if was_down else logging.WARNING
        if renewal.visit.error is not None and not self._store_is_down:
            logger.warning(
                "the token store raised %s; the pair lives in memory until it works again",
                renewal.visit.error,
            )
        self._store_is_down = renewal.visit.error is not None
        if not logger.isEnabledFor(level):
            return
        logger.log(
            level,
            "renewal reason=%s kind=%s outcome=%s status=%s errorCode=%s request-id=%s "
            "duration=%.3fs token=%s",
            renewal.flight.reason,
            renewal.kind,
            outcome,
            renewal.status,
            failure.error_code if isinstance(failure, MontaAuthError) else None,
            renewal.request_id,
            self.monotonic() - started,
            fingerprint(held.pair.access_token) if held is not None else None,
        )

    # --- the rest

    def _find_async(self) -> object | None:
        """Something of the user's that only async clients can call, or None."""
        called: list[object] = [self._on_token] if self._on_token is not None else []
        if self.credentials is not None:
            called += [self.credentials.secret] if callable(self.credentials.secret) else []
        if self._store is not None:
            called += [self._store.load, self._store.try_lock, self._store.save]
        return next((function for function in called if is_async(function)), None)

    def _change_store(self, change: Generator[Effect, Any, None]) -> None:
        """Run a change of the store, where it does not need an event loop."""
        if self._only_async is None:
            try:
                advance(change)
            except Exception as error:
                logger.warning("the token store raised %s", type(error).__qualname__)


def _in_words(failure: Failure) -> str:
    kind: type = type(failure)
    if isinstance(failure, TransportFailure):
        otherwise = TimeoutError if failure.kind == "timeout" else ConnectionError
        kind = failure.library_class or otherwise
    return f"{kind.__name__}: {failure}"


def _rebuild(settings: dict[str, Any]) -> TokenSource:
    return TokenSource(**settings)


_every_source: weakref.WeakSet[TokenSource] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for source in list(_every_source):
        source._state.start_over_in_child()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
