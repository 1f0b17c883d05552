"""docs/guides/retries.rst: the examples retry what the page says, and wait as they should."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

import requests_monta
from monta_auth.emulator import Emulator, Fault

from .pages import example

PAGE = "guides/retries.rst"


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def charge_points(monta: Emulator, slept: list[float]) -> Callable[[], Any]:
    """The function of the page, which writes down how long it would sleep."""
    pytest.importorskip("tenacity", reason="tenacity is not installed")
    function = example(PAGE, "tenacity").run()["charge_points"]
    assert (monta.count("/auth/token"), monta.count("/charge-points")) == (1, 1)
    monta.clear()
    points: Callable[[], Any] = function.retry_with(sleep=slept.append)
    return points


def test_tenacity_waits_as_long_as_the_token_endpoint_asks(
    monta: Emulator, charge_points: Callable[[], Any], slept: list[float]
) -> None:
    requests_monta.MontaAuth().forget()
    monta.inject(Fault(status=429, headers={"Retry-After": "2.5"}))
    with pytest.raises(requests_monta.RateLimitError):
        charge_points()  # our memory of the failure answers each try until it is over
    assert len(slept) == 3
    assert all(0 < seconds <= 2.5 for seconds in slept)


@pytest.mark.parametrize("status", [429, 503])
def test_tenacity_retries_a_request_that_the_api_puts_off(
    monta: Emulator, charge_points: Callable[[], Any], slept: list[float], status: int
) -> None:
    monta.inject(Fault(status=status, headers={"Retry-After": "45"}), path="/charge-points")
    monta.inject(Fault(status=status), path="/charge-points")
    assert len(charge_points()) == 10
    assert slept == [45.0, 15.0]


def test_tenacity_raises_any_other_error_response_at_once(
    monta: Emulator, charge_points: Callable[[], Any], slept: list[float]
) -> None:
    monta.inject(Fault(status=404), path="/charge-points")
    with pytest.raises(requests.HTTPError, match="404"):
        charge_points()
    assert slept == []


def test_tenacity_ends_with_the_last_error(
    monta: Emulator, charge_points: Callable[[], Any], slept: list[float]
) -> None:
    monta.inject(Fault(status=503), times=4, path="/charge-points")
    with pytest.raises(requests.HTTPError, match="503"):
        charge_points()
    monta.inject(Fault(close=True), times=4, path="/charge-points")
    with pytest.raises(requests.ConnectionError):
        charge_points()
    assert slept == [15.0] * 3 + [2.0] * 3


@pytest.fixture
def task(monta: Emulator) -> Any:
    """The task of the page. Run with ``apply``, it retries at once."""
    pytest.importorskip("celery", reason="celery is not installed")
    task = example(PAGE, "celery").run()["count_charges"]
    assert task.apply().get() == 10
    monta.clear()
    return task


@pytest.fixture
def countdowns(task: Any, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the task asks Celery to wait before each retry."""
    asked: list[float] = []
    retry = task.retry

    def spy(**settings: Any) -> Any:
        asked.append(settings["countdown"])
        return retry(**settings)

    monkeypatch.setattr(task, "retry", spy)
    return asked


@pytest.mark.parametrize("status", [429, 503])
def test_celery_waits_as_long_as_the_token_endpoint_asks(
    monta: Emulator, task: Any, countdowns: list[float], status: int
) -> None:
    requests_monta.MontaAuth().forget()
    monta.inject(Fault(status=status, headers={"Retry-After": "45"}))
    with pytest.raises(requests_monta.TokenEndpointError):
        task.apply().get()  # our memory of the failure answers each try until it is over
    assert len(countdowns) == 5 + 1  # Celery refuses the sixth
    assert all(44 < seconds <= 45 for seconds in countdowns)


@pytest.mark.parametrize("status", [429, 503])
def test_celery_retries_a_request_that_the_api_puts_off(
    monta: Emulator, task: Any, countdowns: list[float], status: int
) -> None:
    monta.inject(Fault(status=status, headers={"Retry-After": "45"}), path="/charges")
    monta.inject(Fault(status=status), path="/charges")
    assert task.apply().get() == 10
    assert countdowns == [45, 30]


def test_celery_gives_up_after_five_retries(
    monta: Emulator, task: Any, countdowns: list[float]
) -> None:
    monta.inject(Fault(status=503), times=6, path="/charges")
    with pytest.raises(task.MaxRetriesExceededError):
        task.apply().get()
    assert monta.count("/charges") == 6
    assert countdowns == [30] * 6


def test_celery_waits_longer_after_each_network_failure(
    monta: Emulator, task: Any, countdowns: list[float]
) -> None:
    monta.inject(Fault(close=True), times=6, path="/charges")
    with pytest.raises(requests.ConnectionError):
        task.apply().get()
    assert all(0 <= asked <= 5 * 2**n for n, asked in enumerate(countdowns))
    assert len(countdowns) == 6


@pytest.mark.parametrize("fault", ["credentials", "request"])
def test_celery_retries_nothing_that_stays_wrong(
    monta: Emulator,
    task: Any,
    countdowns: list[float],
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    error: type[Exception] = requests.HTTPError
    if fault == "credentials":
        monkeypatch.setenv("MONTA_CLIENT_SECRET", "wrong")
        error = requests_monta.InvalidCredentialsError
    else:
        monta.inject(Fault(status=404), path="/charges")
    with pytest.raises(error):
        task.apply().get()
    assert countdowns == []
