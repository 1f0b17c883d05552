"""Errors for arguments of the wrong type."""

from __future__ import annotations

from .errors import ConfigurationError
from .policy import RefreshPolicy
from .tokens import TokenSet


def wrong_argument(name: str, value: object, takes: str) -> ConfigurationError:
    """Return the error for a value of the wrong type. The value itself is not quoted.

    Args:
        name: the argument or method, as in ``policy=`` or ``token()``.
        takes: what it takes, as it follows "takes" in the text.
    """
    if isinstance(value, type):
        kind = value.__name__
        return ConfigurationError(f"{name} got the class {kind}, not an object: write {kind}(...)")
    return ConfigurationError(f"{name} takes {takes}, not {type(value).__name__}")


def check_arguments(token: object, on_token: object, policy: object, *, has_store: bool) -> None:
    """Check these arguments of a source; None stands for an argument that was left out.

    Raises:
        ConfigurationError: the arguments cannot work.
    """
    if token is not None and has_store:
        raise ConfigurationError("token= and store= exclude each other: give one of them")
    if not isinstance(token, TokenSet | None):
        raise wrong_argument("token=", token, "a TokenSet (a dict: TokenSet.from_dict)")
    if on_token is not None and (isinstance(on_token, type) or not callable(on_token)):
        raise wrong_argument("on_token=", on_token, "a function of a TokenSet")
    if not isinstance(policy, RefreshPolicy | None):
        raise wrong_argument("policy=", policy, "a RefreshPolicy, as in RefreshPolicy(deadline=5)")
