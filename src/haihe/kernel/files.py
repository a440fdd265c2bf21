"""Files to browsers and programs: in pieces, so that a large one needs no memory.

Django hands a synchronous file to an asynchronous server only after reading all of it, so the file
is given in the form that the server of this request reads.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any, BinaryIO

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.http import content_disposition_header

PIECE_BYTES = 1 << 18
# What the OpenAPI description says of a route that answers with a file.
FILE_ANSWER: dict[str, Any] = {
    "responses": {
        200: {
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
            }
        }
    }
}


def stream_file(request: HttpRequest, file: BinaryIO, *, name: str) -> StreamingHttpResponse:
    """An open file as a download called ``name``; it is closed with the response.

    Of a file that grows meanwhile, the bytes are sent that it had when this was called.
    """
    size = os.fstat(file.fileno()).st_size
    asynchronous = isinstance(request, ASGIRequest)
    response = StreamingHttpResponse(
        _pieces_later(file, size) if asynchronous else _pieces(file, size),
        content_type="application/octet-stream",
    )
    response["Content-Length"] = size
    printable = "".join(char for char in name if char.isprintable())
    response["Content-Disposition"] = content_disposition_header(True, printable) or "attachment"
    response._resource_closers.append(file.close)  # type: ignore[attr-defined]
    return response


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    while piece := file.read(min(PIECE_BYTES, size)):
        size -= len(piece)
        yield piece


async def _pieces_later(file: BinaryIO, size: int) -> AsyncIterator[bytes]:
    read = sync_to_async(file.read, thread_sensitive=False)
    while piece := await read(min(PIECE_BYTES, size)):
        size -= len(piece)
        yield piece
