"""One HTTP conversation: keys, retries, pages, and problems as exceptions."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any, BinaryIO, cast
from uuid import uuid4

import httpx

API = "/api/v1"
TRIES = 4
PAUSE_S = 0.25
PAGE = 200
PAGES_LIMIT = 100_000
PIECE_BYTES = 1 << 18

OnBytes = Callable[[int, int], object]


class Record(dict[str, Any]):
    """A thing as it was read, and its ETag, with which an edit is refused if it was changed."""

    etag: str | None = None


class ApiError(Exception):
    """The platform refused; ``code`` says which error it was, ``params`` its particulars."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        self.code = str(problem.get("code", "http.error"))
        self.status = int(problem.get("status", 0))
        self.detail = str(problem.get("detail", ""))
        self.params: Mapping[str, Any] = problem.get("params", {})
        self.fields: list[Mapping[str, str]] = list(problem.get("fields", []))
        super().__init__(f"{self.code} ({self.status}): {self.detail}")


class ConnectionFailed(Exception):
    """The platform did not answer, though it was asked several times."""


class _Watched(io.BufferedIOBase):
    """A file that tells how much of it has been read."""

    def __init__(self, file: BinaryIO, size: int, on_bytes: OnBytes) -> None:
        self.file, self.size, self.on_bytes = file, size, on_bytes

    def read(self, size: int | None = -1) -> bytes:
        piece = self.file.read(-1 if size is None else size)
        if piece:
            self.on_bytes(self.file.tell(), self.size)
        return piece

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def fileno(self) -> int:
        return self.file.fileno()


class Conversation:
    """Sends requests to one installation with one token."""

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        timeout_s: float,
        transport: httpx.BaseTransport | None,
        pause_s: float = PAUSE_S,
    ) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.pause_s = pause_s
        self.client = httpx.Client(
            base_url=url.rstrip("/") + API, headers=headers, timeout=timeout_s, transport=transport
        )

    def get(self, path: str, **query: Any) -> Any:
        """Read one thing."""
        return self._json("GET", path, params=_given(query))

    def post(self, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """Do something, once however often it is sent; ``key`` makes it so across processes."""
        headers = {"Idempotency-Key": key or str(uuid4())}
        return self._json("POST", path, json=body if body is not None else {}, headers=headers)

    def put(self, path: str, body: Any, *, etag: str | None = None) -> Any:
        """Change something; with ``etag`` only if it is still as it was read."""
        return self._json("PUT", path, json=body, headers={"If-Match": etag} if etag else {})

    def delete(self, path: str) -> None:
        """Remove something."""
        self._send("DELETE", path)

    def upload(
        self,
        path: str,
        file: Path,
        *,
        key: str | None = None,
        on_bytes: OnBytes | None = None,
        **fields: str,
    ) -> Any:
        """Send a file, once however often it is sent; ``on_bytes(sent, all)`` is told of pieces."""
        headers = {"Idempotency-Key": key or str(uuid4())}

        def send() -> httpx.Response:
            with file.open("rb") as content:
                watched: IO[bytes] = content
                if on_bytes is not None:
                    watched = cast("IO[bytes]", _Watched(content, file.stat().st_size, on_bytes))
                form = {"file": (file.name, watched)}
                return self.client.post(
                    path, files=form, data=fields, headers=headers, timeout=None
                )

        return _value(self._persist(f"POST {path}", send))

    def download(self, path: str, target: Path, *, on_bytes: OnBytes | None = None) -> Path:
        """Receive a file, written in pieces; an incomplete one is not left under its name.

        ``on_bytes(received, all)`` is told of each piece, from 0 again if the connection broke.
        """
        draft = target.with_name(target.name + ".part")

        def receive() -> httpx.Response:
            with self.client.stream("GET", path) as response:
                if response.status_code >= HTTPStatus.BAD_REQUEST:
                    response.read()
                else:
                    _write(response, draft, on_bytes)
                return response

        try:
            self._persist(f"GET {path}", receive)
            return draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)

    def pages(self, path: str, **query: Any) -> Iterator[Record]:
        """All items of a list, read page by page as they are asked for."""
        cursor: str | None = None
        for _ in range(PAGES_LIMIT):
            page = self.get(path, cursor=cursor, limit=PAGE, **query)
            yield from map(Record, page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def close(self) -> None:
        """End the conversation."""
        self.client.close()

    def _json(self, method: str, path: str, **arguments: Any) -> Any:
        return _value(self._send(method, path, **arguments))

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        return self._persist(
            f"{method} {path}", lambda: self.client.request(method, path, **arguments)
        )

    def _persist(self, what: str, send: Callable[[], httpx.Response]) -> httpx.Response:
        """Send, and send again if the connection breaks or the platform is busy for a moment."""
        failure: Exception | None = None
        for attempt in range(TRIES):
            if attempt:
                time.sleep(self.pause_s * 2 ** (attempt - 1))
            try:
                response = send()
            except httpx.TransportError as error:
                failure = error
                continue
            if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE and attempt < TRIES - 1:
                continue
            return _checked(response)
        raise ConnectionFailed(f"{what}: {failure}") from failure


def _value(response: httpx.Response) -> Any:
    """What an answer holds, its records with the ETag that they were read under."""
    value = response.json() if response.content else None
    if isinstance(value, list):
        return [Record(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = Record(value)
    found.etag = response.headers.get("ETag")
    return found


def _write(response: httpx.Response, draft: Path, on_bytes: OnBytes | None) -> None:
    size, received = int(response.headers.get("Content-Length", 0)), 0
    with draft.open("wb") as file:
        for piece in response.iter_bytes(PIECE_BYTES):
            file.write(piece)
            received += len(piece)
            if on_bytes is not None:
                on_bytes(received, max(size, received))


def _checked(response: httpx.Response) -> httpx.Response:
    if response.status_code < HTTPStatus.BAD_REQUEST:
        return response
    try:
        problem = response.json()
    except ValueError:
        problem = {"status": response.status_code, "detail": response.text[:500]}
    raise ApiError(problem)


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}
