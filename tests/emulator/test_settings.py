"""Which values the attributes of an emulator may have."""

from typing import Any

import pytest

from monta_auth.emulator import Emulator

WRONG: list[dict[str, Any]] = [
    *({"quota": -1}, {"quota": "10"}, {"quota": 1.5}, {"quota": True}, {"port": -1}),
    *({"partner": 1}, {"reissue": None}, {"latency": -0.1}, {"latency": float("nan")}),
    *({"access_lifetime": float("inf")}, {"refresh_lifetime": "1 h"}, {"clock_offset": None}),
    *({"client_id": 5}, {"credentials": ["a"]}, {"routes": 5}, {"time": 0.0}, {"host": None}),
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_an_impossible_value_is_a_clear_error(wrong: dict[str, Any]) -> None:
    [(name, value)] = wrong.items()
    with pytest.raises(ValueError, match=f"^{name} must be "):
        Emulator(**wrong)
    monta = Emulator()
    with pytest.raises(ValueError, match=f"^{name} must be "):
        setattr(monta, name, value)


def test_possible_values_are_accepted() -> None:
    monta = Emulator(clock_offset=-5, latency=0, refresh_lifetime=7, quota=0)
    assert (monta.clock_offset, monta.latency, monta.refresh_lifetime) == (-5, 0, 7)
    monta.quota = monta.refresh_lifetime = None


def test_a_misspelled_setting_is_an_error() -> None:
    monta: Any = Emulator()
    with pytest.raises(AttributeError, match="qouta"):
        monta.qouta = 5


def test_credentials_of_none_are_random() -> None:
    """`os.environ.get` may return None."""
    monta: Any = Emulator
    assert monta(client_id=None, client_secret="").client_id
    assert monta(client_id=None).client_id != monta(client_id=None).client_id
