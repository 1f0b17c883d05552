"""Change a stored record outside a renewal: forget it, or invalidate its token."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

from .credentials import returned_secret
from .drivers import detach, is_async
from .effects import Call, Sleep, Steps
from .errors import ConfigurationError, TokenStoreError
from .policy import STORE_LEASE, store_pause
from .sealing import Seal
from .secret import bearer
from .state import State
from .store_errors import KEPT_TOO_LONG, checked, words
from .store_protocol import Lease, Store
from .terms import Terms
from .tokens import TokenSet, mark_refused, without_refresh_token


def find_async(terms: Terms, on_token: object = None) -> object | None:
    """Return a function of the user or the store that only async clients can call, or None."""
    secret = terms.credentials.secret if terms.credentials is not None else None
    called = [on_token, secret if terms.seal is None else None]
    if terms.store is not None:
        called += [terms.store.load, terms.store.try_lock, terms.store.save]
    return next((each for each in called if is_async(each)), None)


def check_sync(terms: Terms, verb: str) -> None:
    """Raise a ConfigurationError if only the async method `verb` can reach the store."""
    if terms.store is not None and find_async(terms) is not None:
        raise ConfigurationError(f"the store is asynchronous: await {verb}() instead")


def forgetting(state: State, terms: Terms) -> Steps[None]:
    """Drop the token pair, here and in the store, and remembered failures.

    Raises:
        TokenStoreError: the pair may still be stored. Until it is deleted, this source does not
            use it.
    """
    state.forget()
    if terms.store is None:
        return
    terms.clear_store = True
    until = terms.clock.monotonic() + terms.policy.deadline
    try:
        name = (yield from _seal(terms, until)).name
        while not (yield from _delete(terms, terms.store, name, until)):
            pause = store_pause(terms.clock.random())
            if terms.clock.monotonic() + pause >= until:
                raise TokenStoreError(KEPT_TOO_LONG)
            yield Sleep(pause)
    except TokenStoreError as error:
        why = str(error)
    else:
        terms.clear_store = False
        terms.report_store(None)
        return
    terms.report_store(why, logging.INFO)
    raise TokenStoreError(
        f"the token pair may still be in the store: {why}. Try again once that is over",
        retryable=True,
    )


def invalidating(state: State, terms: Terms) -> Steps[None]:
    """Drop the access token, here and in the store."""
    held = state.invalidate()
    if terms.store is None:
        return
    try:
        yield from _drop(terms, terms.store, held.header if held is not None else None)
    except TokenStoreError as error:
        terms.report_store(str(error))
    else:
        terms.report_store(None)


def _drop(terms: Terms, store: Store, header: str | None) -> Steps[None]:
    """Stop all processes from using the stored access token; with `header`, only that one."""
    until = terms.clock.monotonic() + terms.policy.deadline
    seal = yield from _seal(terms, until)
    name = seal.name

    def look() -> Steps[TokenSet | None]:
        """Return the stored pair if it has this token."""
        pair = seal.open((yield from _do(terms, until, "load", lambda: store.load, name)))
        is_other = pair is not None and header not in (None, bearer(pair.access_token))
        return None if is_other else pair

    if (yield from look()) is None:
        return
    lease: Lease | None = yield from _do(
        terms, until, "try_lock", lambda: store.try_lock, name, STORE_LEASE
    )
    if lease is None:
        return  # The process that holds it replaces the token.
    with _given_back(lease):
        pair = yield from look()  # It may have been renewed just before we got the lease.
        if pair is not None:
            pair = mark_refused(pair)
            if lease.doubt or pair.refresh_token in terms.refusals.spent_refresh_tokens:
                pair = without_refresh_token(pair)
            sealed = seal.seal(pair)
            try:
                yield from _do(terms, until, "save", lambda: store.save, name, sealed, lease)
            except TokenStoreError:
                yield from _do(terms, until, "save", lambda: store.save, name, None, lease)
                raise
        elif lease.doubt:
            return  # A release would hide the doubt, so the lease has to expire.
        yield from _do(terms, until, "release", lambda: lease.release)


def _delete(terms: Terms, store: Store, name: str, until: float) -> Steps[bool]:
    """Try to delete the record; return whether it is certainly gone."""
    leased = terms.leased
    lease: Lease | None
    if leased is not None and terms.clock.monotonic() < leased.until:
        # It belongs to a renewal that is no longer needed, unless that is saving right now.
        if leased.is_saving:
            return False
        terms.leased, lease = None, leased.lease
    else:
        lease = yield from _do(terms, until, "try_lock", lambda: store.try_lock, name, STORE_LEASE)
    if lease is None:
        return False
    held = lease  # for the lambdas: this one is never None
    with _given_back(held):
        if not (yield from _do(terms, until, "extend", lambda: held.extend, STORE_LEASE)):
            return False
        yield from _do(terms, until, "save", lambda: store.save, name, None, lease)
        is_gone = (yield from _do(terms, until, "load", lambda: store.load, name)) is None
        with suppress(TokenStoreError):  # If that fails, the lease expires.
            yield from _do(terms, until, "release", lambda: held.release)
        return is_gone


@contextmanager
def _given_back(lease: Lease) -> Generator[None, None, None]:
    """Release the lease if the caller is cancelled, so others need not wait until it expires."""
    try:
        yield
    except GeneratorExit:
        detach(lease.release)
        raise


def _seal(terms: Terms, until: float) -> Steps[Seal]:
    seal: Any = terms.seal
    if seal is None:
        credentials = terms.credentials
        assert credentials is not None  # a store needs them
        secret = credentials.secret
        if callable(secret):
            given = yield from _do(terms, until, "client_secret", lambda: secret)
            secret = returned_secret(given)
        arguments = (terms.base_url, credentials.client_id, secret)
        terms.seal = seal = yield from _do(terms, until, "seal", lambda: Seal, *arguments)
    found: Seal = seal
    return found


def _do(
    terms: Terms, until: float, operation: str, find: Callable[[], Any], *args: object
) -> Steps[Any]:
    """Call the function that `find` returns, such as a method of the store.

    Raises:
        TokenStoreError: the call failed. The text is safe to log.
    """
    left = max(0.0, until - terms.clock.monotonic())
    function: object = None
    try:
        function = method = find()
        return checked(operation, (yield Call(method, *args, seconds=left)))
    except Exception as error:
        text = words(operation, function, error)
    raise TokenStoreError(text)
