"""Faults around a program: a server that says what a test wants, and a limit on files."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress


@contextmanager
def server(answer: Callable[[socket.socket], object]) -> Generator[int, None, None]:
    """Hand connections to this function, one after the other, until the end of the block.

    Gives the port. It is no fault if the client hangs up.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):  # the end of the block
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def file_size(limit: int) -> Generator[None, None, None]:
    """Let no file grow beyond this many bytes, as `ulimit -f` does."""
    import resource  # Windows has none.

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
