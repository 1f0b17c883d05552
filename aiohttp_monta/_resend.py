"""Sending a refused request once more: what can be, and how it is made ready for it."""

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
    """Whether a request's body can be sent (once more) as it was first.

    aiohttp itself takes a file back to where it stood. Async generators, stream readers and
    payload classes that we do not know are sent once.
    """
    if not isinstance(body, Payload):
        return body is None or body == b""
    if isinstance(body, MultipartWriter):
        return all(can_repeat(part) for part, _, _ in body)
    if isinstance(body, IOBasePayload):
        return not body.consumed and _can_go_back(body)
    return isinstance(body, BytesPayload)


def _can_go_back(body: IOBasePayload) -> bool:
    # There is no public way to the file that the user gave.
    file: Any = getattr(body, "_value", None)
    try:
        return bool(file.seekable()) and file.seek(file.tell()) >= 0
    except (AttributeError, OSError, ValueError):  # ValueError: it has been closed
        return False


def content_of(response: ClientResponse) -> bytes | None:
    """Return the body if it was read before."""
    # There is no public way to know, and `read` is a coroutine that would read it.
    return response._body


async def drain(refused: ClientResponse) -> None:
    """Read the refused response within limits, which frees its connection."""
    body = Body()
    with suppress(ClientError, OSError, ValueError, RuntimeError):
        async for chunk in refused.content.iter_any():
            if not body.add(chunk):
                refused.close()
                break
    # There is no public way to give it back: the caller may get this response after all.
    refused._body = body.decoded({})
    # If the server closes the connection, the loop may learn of it now, and not use it again.
    await asyncio.sleep(0)


def make_ready(request: ClientRequest, refused: ClientResponse) -> None:
    """Keep the cookies of the refused response, and let the request begin anew."""
    refused.release()
    request.session.cookie_jar.update_cookies(refused.cookies, refused.url)
    request.update_expect_continue()  # if it waits for a 100, it does so again
