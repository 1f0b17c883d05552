"""The part of `MontaAuthMixin` that the adapters share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from .._core.errors import ConfigurationError
from .._core.secret import with_hidden_secret
from .auth import package_of

if TYPE_CHECKING:
    from .settings import MontaAuthSettings


class Mixin:
    """Set ``auth`` after the client's own ``__init__``; see the mix-in of each adapter."""

    #: The classes that it can be mixed into.
    _clients: ClassVar[tuple[type, ...]]
    #: The `MontaAuth` class, and its argument for the client that makes the token calls. The names
    #: cannot collide with those of a client.
    _monta_auth: ClassVar[type]
    _monta_argument: ClassVar[str]
    #: Whether the client has a ``base_url``, which its `MontaAuth` then provides by default.
    _has_base_url: ClassVar[bool]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        before = cls.__mro__[: cls.__mro__.index(Mixin)]
        for client in set(before) & set(cls._clients):
            # The client's __init__ would not call ours.
            raise TypeError(
                f"MontaAuthMixin must stand before {client.__name__}: "
                f"class {cls.__name__}(MontaAuthMixin, {client.__name__})"
            )

    def __init__(
        self, *args: Any, monta_auth: MontaAuthSettings | None = None, **kwargs: Any
    ) -> None:
        has_settings = monta_auth is not None
        if not isinstance(monta_auth, Mapping | None):
            monta_auth = None  # type: ignore[unreachable]  # of any type, in fact
            raise ConfigurationError("monta_auth= takes a dict, such as {'client_id': ...}")
        monta_auth = cast("MontaAuthSettings", with_hidden_secret(monta_auth or {}))
        if not isinstance(self, self._clients):
            package = package_of(self._monta_auth)
            names = " or ".join(f"{package_of(each)}.{each.__name__}" for each in self._clients)
            raise TypeError(
                f"the MontaAuthMixin of {package} is for classes that derive from {names}; "
                f"{type(self).__name__} does not"
            )
        other = kwargs.get("auth")
        if has_settings and other is not None:
            raise ConfigurationError("auth= and monta_auth= exclude each other")
        super().__init__(*args, **kwargs)
        if other is None:
            client = cast(Any, self)
            client.auth = self._monta_auth(**{self._monta_argument: self}, **monta_auth)
            if self._has_base_url and not str(client.base_url):
                client.base_url = client.auth.base_url
