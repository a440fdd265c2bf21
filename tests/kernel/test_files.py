"""Files go out in pieces to every kind of server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from django.http import StreamingHttpResponse
from django.test import AsyncRequestFactory, RequestFactory

from haihe.kernel.files import PIECE_BYTES, stream_file

# Closing a response lets Django look after its database connections.
pytestmark = pytest.mark.django_db
CONTENT = b"0123456789abcdef" * (PIECE_BYTES // 8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


def pieces_for_a_server_of_threads(response: StreamingHttpResponse) -> list[bytes]:
    return list(response)


def pieces_for_an_event_loop(response: StreamingHttpResponse) -> list[bytes]:
    async def read() -> list[bytes]:
        return [piece async for piece in response]

    return asyncio.run(read())


@pytest.mark.parametrize(
    ("request_factory", "read"),
    [
        (RequestFactory, pieces_for_a_server_of_threads),
        (AsyncRequestFactory, pieces_for_an_event_loop),
    ],
)
def test_a_file_goes_out_in_pieces_and_is_closed(
    request_factory: type, read: Callable[[StreamingHttpResponse], list[bytes]], path: Path
) -> None:
    file = path.open("rb")
    response = stream_file(request_factory().get("/"), file, name="病例.csv")
    pieces = read(response)
    assert b"".join(pieces) == CONTENT
    assert max(map(len, pieces)) <= PIECE_BYTES
    assert response["Content-Length"] == str(len(CONTENT))
    assert response["Content-Disposition"].startswith("attachment; filename*=utf-8''%E7%97%85")
    response.close()
    assert file.closed


def test_a_file_that_grows_goes_out_as_it_was(path: Path) -> None:
    response = stream_file(RequestFactory().get("/"), path.open("rb"), name="log.txt")
    with path.open("ab") as more:
        more.write(b"more")
    assert b"".join(response) == CONTENT
    response.close()


def test_a_name_with_line_breaks_breaks_no_header(path: Path) -> None:
    response = stream_file(RequestFactory().get("/"), path.open("rb"), name='a"\r\nX-Evil: 1')
    assert response["Content-Disposition"] == 'attachment; filename="a\\"X-Evil: 1"'
    response.close()
