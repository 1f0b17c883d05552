"""The errors of an adapter, which are also errors of its HTTP library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, cast

from .._core.errors import (
    FailureKind,
    InvalidCredentialsError,
    InvalidTokenResponseError,
    MontaAuthError,
    RateLimitError,
    TokenEndpointError,
    TransportFailure,
    recast,
)

E = TypeVar("E", bound=MontaAuthError)
X = TypeVar("X", bound=Exception)
R = TypeVar("R")


class LibraryErrors:
    """The errors of one adapter; each also derives from `base`.

    Args:
        package: the package that offers them as ``errors``, where pickle finds them.
        base: the base class of its library's errors.
    """

    def __init__(self, package: str, base: type[Exception]) -> None:
        # Pickle looks for the name there.
        self.__module__ = package
        self._by_ours: dict[type[MontaAuthError], type[MontaAuthError]] = {}

        def both(ours: type[E], theirs: type[Exception]) -> type[E]:
            names = {
                "__module__": package,
                "__qualname__": f"errors.{ours.__name__}",
                "__doc__": ours.__doc__,
            }
            made = cast("type[E]", type(ours.__name__, (ours, theirs), names))
            self._by_ours[ours] = made
            return made

        self.MontaAuthError: type[MontaAuthError] = both(MontaAuthError, base)
        self.InvalidCredentialsError: type[InvalidCredentialsError] = both(
            InvalidCredentialsError, base
        )
        self.TokenEndpointError: type[TokenEndpointError] = both(TokenEndpointError, base)
        self.RateLimitError: type[RateLimitError] = both(RateLimitError, self.TokenEndpointError)
        self.InvalidTokenResponseError: type[InvalidTokenResponseError] = both(
            InvalidTokenResponseError, self.TokenEndpointError
        )

    def __reduce__(self) -> str:
        return "errors"

    def recast(self, error: MontaAuthError) -> MontaAuthError:
        """Return the error as one of this adapter, if it has a class for it."""
        return recast(error, self._by_ours.get(type(error), type(error)))


def response_in(error: BaseException | None, kind: type[R]) -> R | None:
    """Return the response in a library's error, for example from ``raise_for_status()``."""
    response = getattr(error, "response", None)
    return response if isinstance(response, kind) else None


def transport_error(
    failure: TransportFailure, base: type[X], by_kind: Mapping[FailureKind, type[X]]
) -> X:
    """Return a library's exception for a failure, of its original class if possible.

    Args:
        base: the base class of the library's errors; a failure may come from another library.
        by_kind: the classes to use otherwise.
    """
    kind = failure.library_class
    if kind is None or not issubclass(kind, base):
        return by_kind[failure.kind](failure.text)
    return kind(str(failure))
