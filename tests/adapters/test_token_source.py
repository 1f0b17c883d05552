"""The public `TokenSource`, which wraps the core's source for users."""

from __future__ import annotations

import copy
import inspect
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

import requests_monta
from monta_auth import TokenSource
from monta_auth._adapters import token_source
from monta_auth._core.drivers import advance
from monta_auth._core.source import Source

from ..simulation.flows import API, ID, SECRET, Hands, pair, pair_reply


@pytest.fixture
def holder(hands: Hands) -> TokenSource:
    """A token source that holds a token pair."""
    source = TokenSource(ID, SECRET, base_url=API, clock=hands.clock)
    flow = source._source.acquire()
    advance(flow)
    advance(flow, pair_reply(hands, 1))
    assert source._source.fresh() == "Bearer access-1"
    return source


def test_it_accepts_the_same_arguments_as_the_cores_source() -> None:
    assert inspect.signature(TokenSource) == inspect.signature(Source)


def test_it_shows_the_state_of_the_cores_source(hands: Hands, holder: TokenSource) -> None:
    assert holder.base_url == API
    assert holder.status().fetches == 1
    holder.invalidate()
    assert holder._source.fresh() is None
    assert holder.status().access_expires_at is not None
    holder.forget()
    assert holder.status().access_expires_at is None


def test_repr_shows_neither_secret_nor_token(holder: TokenSource) -> None:
    assert repr(holder) == f"TokenSource({ID!r}, base_url={API!r})"


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_copies_share_the_source(holder: TokenSource, duplicate: Callable[[Any], Any]) -> None:
    assert duplicate(holder) is holder


def test_a_pickle_holds_the_settings_but_no_token_pair(holder: TokenSource) -> None:
    data = pickle.dumps(holder)
    assert b"access-1" not in data
    assert b"refresh-1" not in data
    twin = pickle.loads(data)
    assert twin.base_url == holder.base_url
    assert twin._source.credentials.secret == SECRET
    assert twin._source.fresh() is None


def test_a_source_with_only_a_token_pair_cannot_be_pickled(hands: Hands) -> None:
    source = TokenSource(base_url=API, token=pair(hands, 1), clock=hands.clock)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(source)


def test_auth_objects_that_share_a_source_show_the_same_object() -> None:
    one, two = (requests_monta.MontaAuth(ID, SECRET, base_url=API) for _ in range(2))
    assert one.source is two.source
    assert requests_monta.MontaAuth(ID, "another", base_url=API).source is not one.source


def test_auth_objects_made_in_threads_show_the_same_object() -> None:
    start = threading.Barrier(8)
    sources: list[TokenSource] = []

    def make() -> None:
        start.wait(10)
        sources.append(requests_monta.MontaAuth(ID, SECRET, base_url=API).source)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(sources) == 8
    assert len(set(map(id, sources))) == 1


def test_a_forked_child_gets_its_own_mutex() -> None:
    before = token_source._mutex
    token_source._after_fork_in_child()
    assert token_source._mutex is not before


def test_a_pickle_of_an_auths_source_holds_its_settings() -> None:
    auth = requests_monta.MontaAuth(ID, SECRET, base_url=API)
    twin = pickle.loads(pickle.dumps(auth.source))
    assert twin.base_url == API
    assert twin._source.credentials.secret == SECRET
