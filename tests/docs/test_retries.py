"""docs/guides/retries.rst: the examples wait as long as they should."""

from __future__ import annotations

import pytest
import requests

import requests_monta
from monta_auth.emulator import Emulator, Fault

from .pages import example

PAGE = "guides/retries.rst"


def test_tenacity_waits_as_long_as_the_endpoint_asks(monta: Emulator) -> None:
    pytest.importorskip("tenacity", reason="tenacity is not installed")
    names = example(PAGE, "tenacity").run()
    assert (monta.count("/auth/token"), monta.count("/charge-points")) == (1, 1)
    requests_monta.MontaAuth().forget()
    monta.inject(Fault(status=429, headers={"Retry-After": "2.5"}))
    slept: list[float] = []
    points = names["charge_points"].retry_with(sleep=slept.append)
    with pytest.raises(requests_monta.RateLimitError):
        points()  # until the failure is forgotten, each try gets the remembered one
    assert len(slept) == 3
    assert all(0 < seconds <= 2.5 for seconds in slept)


class AskedAgain(Exception):
    """Replaces Celery's own `Retry`, which needs a broker."""


def test_a_celery_task_waits_as_long_as_the_endpoint_asks(monta: Emulator) -> None:
    pytest.importorskip("celery", reason="celery is not installed")
    task = example(PAGE, "celery").run()["count_charges"]
    assert task() > 0
    assert task.autoretry_for == (requests.ConnectionError, requests.Timeout)

    def retry(*, exc: Exception, countdown: float) -> Exception:
        assert isinstance(exc, requests_monta.RateLimitError)
        return AskedAgain(countdown)

    task.retry = retry
    requests_monta.MontaAuth().forget()
    monta.inject(Fault(status=429, headers={"Retry-After": "45"}))
    with pytest.raises(AskedAgain, match="45"):
        task()
