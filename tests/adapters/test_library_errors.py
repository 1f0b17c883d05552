"""The errors of an adapter: each is also one of the library, and can be imported by its name."""

import importlib
import pickle

import aiohttp
import httpx
import httpx2
import pytest
import requests

import monta_auth
from monta_auth._adapters.errors import LibraryErrors

BASES = {
    "requests_monta": requests.RequestException,
    "httpx_monta": httpx.RequestError,
    "httpx2_monta": httpx2.RequestError,
    "aiohttp_monta": aiohttp.ClientError,
    "monta_auth.authlib": importlib.import_module("authlib.integrations.base_client").OAuthError,
}
NAMES = [
    "MontaAuthError",
    "InvalidCredentialsError",
    "TokenEndpointError",
    "RateLimitError",
    "InvalidTokenResponseError",
]
PAIRS = [(package, name) for package in BASES for name in NAMES]


def errors_of(package: str) -> LibraryErrors:
    errors: LibraryErrors = importlib.import_module(package).errors
    return errors


@pytest.mark.parametrize(("package", "name"), PAIRS)
def test_each_error_is_one_of_ours_and_one_of_the_library(package: str, name: str) -> None:
    kind = getattr(errors_of(package), name)
    assert issubclass(kind, getattr(monta_auth, name))
    assert issubclass(kind, BASES[package])
    assert kind.__doc__ == getattr(monta_auth, name).__doc__


@pytest.mark.parametrize("package", BASES)
def test_subclasses_of_the_endpoint_error_are_subclasses_in_adapters_too(package: str) -> None:
    errors = errors_of(package)
    assert issubclass(errors.RateLimitError, errors.TokenEndpointError)
    assert issubclass(errors.InvalidTokenResponseError, errors.TokenEndpointError)


@pytest.mark.parametrize(("package", "name"), PAIRS)
def test_an_error_can_be_imported_and_pickled_by_its_name(package: str, name: str) -> None:
    kind = getattr(errors_of(package), name)
    assert (kind.__module__, kind.__name__) == (package, name)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(kind, protocol)) is kind
    again = pickle.loads(pickle.dumps(kind("what happened", status=429)))
    assert (type(again), str(again), again.status) == (kind, "what happened", 429)


@pytest.mark.parametrize("package", BASES)
def test_each_package_returns_the_same_errors_object(package: str) -> None:
    """Older Pythons use this when they pickle with an old protocol."""
    assert pickle.loads(pickle.dumps(errors_of(package))) is errors_of(package)


@pytest.mark.parametrize("package", BASES)
def test_an_error_that_is_only_ours_is_not_converted(package: str) -> None:
    error = monta_auth.ConfigurationError("what to do")
    assert type(errors_of(package).recast(error)) is monta_auth.ConfigurationError


def test_an_error_of_another_adapter_is_not_converted() -> None:
    """A callable secret may use the auth of another library."""
    error = errors_of("requests_monta").RateLimitError("wait", retry_after=3.0)
    again = errors_of("httpx_monta").recast(error)
    assert type(again) is errors_of("requests_monta").RateLimitError
    assert again.retry_after == 3.0
