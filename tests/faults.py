"""Faults around a program: a server that sends what a test wants, and a limit on file sizes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress


@contextmanager
def server(answer: Callable[[socket.socket], object]) -> Generator[int, None, None]:
    """Pass each connection to this function, one after the other, until the end of the block.

    Yields the port. A client may hang up at any time.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):  # the listener was closed at the end of the block
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
    """Stop files from growing beyond this many bytes, as `ulimit -f` does."""
    import resource  # Windows does not have this module.

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
