"""The tree of errors. Every error survives a pickle and a copy with all its data."""

import copy
import gc
import inspect
import pickle
import re
import signal
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType

import pytest

from monta_auth import (
    ConfigurationError,
    InvalidCredentialsError,
    InvalidTokenResponseError,
    MontaAuthError,
    RateLimitError,
    TokenEndpointError,
    TokenStoreError,
)
from monta_auth._adapters.reasons import reason
from monta_auth._core import errors
from monta_auth._core.errors import (
    Failure,
    FailureKind,
    TransportFailure,
    causes,
    is_from_signal_handler,
    note_thread,
    recast,
    thread_of,
)

CLASSES = [
    MontaAuthError,
    ConfigurationError,
    InvalidCredentialsError,
    TokenEndpointError,
    RateLimitError,
    InvalidTokenResponseError,
    TokenStoreError,
]
FIELDS = {
    "status": 429,
    "error_code": "CONSUMER_NOT_FOUND",
    "api_message": "Consumer not found",
    "request_id": "7a2c0f9e-0000-4000-8000-000000000000",
    "retry_after": 2.5,
    "retryable": True,
}


def through_pickle(error: BaseException) -> BaseException:
    restored = pickle.loads(pickle.dumps(error))
    assert isinstance(restored, BaseException)
    return restored


def raised_and_copied(error: BaseException) -> BaseException:
    """Copy it as the source does: raise it, then copy it from a template."""
    try:
        raise error from KeyError("cause")
    except type(error) as caught:
        return copy.copy(caught)


TRANSPORTS = [
    pytest.param(through_pickle, id="pickle"),
    pytest.param(copy.copy, id="copy"),
    pytest.param(copy.deepcopy, id="deepcopy"),
    pytest.param(raised_and_copied, id="copy of a raised one"),
]
Transport = Callable[[BaseException], BaseException]


def test_the_tree_drawn_in_the_module_is_the_tree_of_classes() -> None:
    drawn: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in inspect.getdoc(errors).splitlines():  # type: ignore[union-attr]
        if match := re.fullmatch(r"([ │├└─]*)(\w+Error)\b.*", line):
            depth, name = len(match[1]), match[2]
            while above and above[-1][0] >= depth:
                above.pop()
            drawn[name] = above[-1][1] if above else "Exception"
            above.append((depth, name))

    assert drawn == {cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES}


def test_the_list_in_this_file_names_every_class() -> None:
    found = [
        cls
        for cls in vars(errors).values()
        if inspect.isclass(cls) and issubclass(cls, MontaAuthError)
    ]
    assert found == CLASSES


def test_only_configuration_errors_are_value_errors() -> None:
    """`except ValueError` must not hide an outage."""
    assert [cls for cls in CLASSES if issubclass(cls, ValueError)] == [ConfigurationError]


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_error_keeps_its_text_and_every_field(
    cls: type[MontaAuthError], transport: Transport
) -> None:
    error = cls("what happened", **FIELDS)  # type: ignore[arg-type]

    other = transport(error)

    assert type(other) is cls
    assert other is not error
    assert str(other) == "what happened"
    assert vars(other) == FIELDS


@pytest.mark.parametrize("cls", CLASSES)
def test_a_field_that_is_not_given_is_none(cls: type[MontaAuthError]) -> None:
    assert vars(cls("text")) == {
        "status": None,
        "error_code": None,
        "api_message": None,
        "request_id": None,
        "retry_after": None,
        "retryable": False,
    }


def test_a_copy_has_no_traceback_and_no_cause() -> None:
    """Callers that get copies of one failure must not share its frames, which may leak data."""
    other = raised_and_copied(RateLimitError("wait", retry_after=1.0))
    assert other.__traceback__ is None
    assert other.__cause__ is None
    assert other.__context__ is None


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("kind", ["timeout", "connect", "other"])
@pytest.mark.parametrize("sent", [True, False])
def test_a_copied_transport_failure_keeps_all_its_data(
    kind: FailureKind, sent: bool, transport: Transport
) -> None:
    failure = TransportFailure("no route to host", kind, sent, ConnectionError, own=True)

    other = transport(failure)

    assert type(other) is TransportFailure
    assert other is not failure
    assert str(other) == "no route to host"
    assert (other.text, other.kind, other.sent) == ("no route to host", kind, sent)
    assert other.library_class is ConnectionError
    assert other.own
    assert other.retry_after is None


def test_a_transport_failure_counts_as_sent_by_default() -> None:
    """A refresh token that may be spent must not be sent again."""
    failure = TransportFailure("it broke")
    assert (failure.kind, failure.sent, failure.library_class) == ("other", True, None)
    assert not failure.own  # otherwise it would not be remembered


def test_a_transport_failure_is_no_monta_auth_error() -> None:
    """For a network failure, users get only their library's class."""
    assert not issubclass(TransportFailure, MontaAuthError)
    assert isinstance(TransportFailure("x"), Failure)
    assert isinstance(MontaAuthError("x"), Failure)


class LibraryError(Exception):
    """Stands for `requests.RequestException` or `httpx.RequestError`."""


class TheirRateLimitError(RateLimitError, LibraryError):
    pass


def test_an_error_recast_to_an_adapters_class_keeps_text_and_fields() -> None:
    error = RateLimitError("what happened", **FIELDS)  # type: ignore[arg-type]

    other = recast(error, TheirRateLimitError)

    assert type(other) is TheirRateLimitError
    assert isinstance(other, LibraryError)
    assert str(other) == "what happened"
    assert vars(other) == FIELDS


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_adapters_error_keeps_its_fields_too(transport: Transport) -> None:
    error = TheirRateLimitError("what happened", **FIELDS)  # type: ignore[arg-type]

    other = transport(error)

    assert type(other) is TheirRateLimitError
    assert vars(other) == FIELDS


def test_an_error_with_a_note_can_be_recast() -> None:
    error = RateLimitError("wait", retry_after=3.0)
    error.add_note("seen at night")
    assert recast(error, RateLimitError).retry_after == 3.0


# --- errors that a signal handler raises


class TimeLimit(Exception):
    pass


def alarm(number: int, frame: FrameType | None) -> None:
    raise TimeLimit


class Limit:
    def method(self, number: int, frame: FrameType | None) -> None:
        raise TimeLimit

    def __call__(self, number: int, frame: FrameType | None) -> None:
        def deeper() -> None:
            raise TimeLimit

        deeper()


def with_name(name: str, number: int, frame: FrameType | None) -> None:
    raise TimeLimit


@pytest.fixture(
    params=[alarm, Limit().method, Limit(), partial(with_name, "job")],
    ids=["function", "method", "object", "partial"],
)
def strike(request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """Raise what a signal handler raises."""
    before = signal.signal(signal.SIGTERM, request.param)
    yield lambda: signal.raise_signal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, before)


def caught(function: Callable[[], object]) -> Exception:
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_an_error_of_a_signal_handler_is_recognized_by_its_traceback(
    strike: Callable[[], None],
) -> None:
    assert is_from_signal_handler(caught(strike))
    assert not is_from_signal_handler(TimeLimit())
    assert not is_from_signal_handler(caught(lambda: 1 / 0))


@pytest.mark.parametrize("with_cause", [True, False], ids=["cause", "context"])
def test_an_error_that_a_library_raised_from_it_counts_too(
    strike: Callable[[], None], with_cause: bool
) -> None:
    def library() -> None:
        try:
            strike()
        except TimeLimit as error:
            raise ConnectionError from error if with_cause else None

    assert is_from_signal_handler(caught(library))


def test_a_failure_during_the_cleanup_after_a_time_limit_is_an_ordinary_failure(
    strike: Callable[[], None],
) -> None:
    """Its context is the time limit, which ended before the failed call began."""
    try:
        strike()
    except TimeLimit:
        assert not is_from_signal_handler(caught(lambda: 1 / 0))


@pytest.mark.parametrize(
    "look", [is_from_signal_handler, partial(reason, secrets=())], ids=["signal", "reason"]
)
def test_inspecting_an_error_keeps_no_object_of_its_callers_in_memory(
    look: Callable[[Exception], object],
) -> None:
    def call() -> weakref.ref[object]:
        mine = Limit()
        try:
            raise ValueError from caught(lambda: 1 / 0)
        except ValueError as error:
            look(error)
        return weakref.ref(mine)

    gc.disable()
    try:
        assert call()() is None
    finally:
        gc.enable()


def test_an_error_that_is_its_own_cause_is_visited_once() -> None:
    error = caught(lambda: 1 / 0)
    error.__cause__ = error
    assert not is_from_signal_handler(error)


def test_a_cycle_of_causes_is_followed_once() -> None:
    class Equal(Exception):
        """Has no hash, like any class that defines only `__eq__`."""

        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    first, second = Equal(), Equal()
    first.__cause__, second.__context__ = second, first
    assert [id(cause) for cause in causes(first)] == [id(first), id(second)]
    assert not is_from_signal_handler(first)


def test_an_error_from_another_thread_says_so_after_it_was_noted() -> None:
    error = ValueError("token-1")
    assert thread_of(error) == ""
    note_thread(error)
    assert thread_of(error).endswith("(async clients call plain functions there)")
    assert "token-1" not in thread_of(error)


def test_an_error_that_cannot_be_changed_gets_no_note() -> None:
    class Frozen(Exception):
        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(name)

        def add_note(self, note: str) -> None:
            raise AttributeError(note)

    error = Frozen()
    note_thread(error)
    assert thread_of(error) == ""
