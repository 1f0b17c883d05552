"""Retry a refused request once: whether it can be repeated, and how to prepare it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from aiohttp import (
    BytesPayload,
    ClientError,
    ClientRequest,
    ClientResponse,
    IOBasePayload,
    MultipartWriter,
    Payload,
)

from monta_auth._adapters.bodies import Body


def can_repeat(body: object) -> bool:
    """Return whether a request's body can be sent again unchanged.

    aiohttp rewinds files itself. Async generators, stream readers and unknown payload classes can
    be sent only once.
    """
    if not isinstance(body, Payload):
        return body is None or body == b""
    if isinstance(body, MultipartWriter):
        return all(can_repeat(part) for part, _, _ in body)
    if isinstance(body, IOBasePayload):
        return not body.consumed and _can_go_back(body)
    return isinstance(body, BytesPayload)


def _can_go_back(body: IOBasePayload) -> bool:
    # There is no public way to reach the user's file.
    file: Any = getattr(body, "_value", None)
    try:
        return bool(file.seekable()) and file.seek(file.tell()) >= 0
    except (AttributeError, OSError, ValueError):  # ValueError: the file is closed
        return False


def content_of(response: ClientResponse) -> bytes | None:
    """Return the body if it was already read."""
    # There is no public way to know, and `read` would read it from the network.
    return response._body


async def drain(refused: ClientResponse) -> None:
    """Read the refused response within limits, to free its connection."""
    body = Body()
    with suppress(ClientError, OSError, ValueError, RuntimeError):
        async for chunk in refused.content.iter_any():
            if not body.add(chunk):
                refused.close()
                break
    # No public way sets the body, and the caller may still receive this response.
    refused._body = body.decoded({})
    # Let the loop notice if the server closes the connection, so that it is not reused.
    await asyncio.sleep(0)


def make_ready(request: ClientRequest, refused: ClientResponse) -> None:
    """Keep the cookies of the refused response, and prepare the request for its retry."""
    refused.release()
    request.session.cookie_jar.update_cookies(refused.cookies, refused.url)
    request.update_expect_continue()  # it may have to wait for a 100 again
