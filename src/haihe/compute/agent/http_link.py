"""The way from an agent to the platform over HTTP(S), outbound only, each request signed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from io import BufferedReader
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from haihe.compute.agent.messages import Answer, Exchange, Order
from haihe.compute.agent.plain_files import files_below, opened_plainly
from haihe.compute.agent.signing import headers_for, public_text
from haihe.compute.errors import AgentStopped, LinkDown, PlatformRefused

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
TIMEOUT_S = 30.0
PIECE_BYTES = 1 << 18
# What the agent keeps in an attempt's folder, which stays its own: that all inputs are there, and
# where they come in.
FETCHED, STAGING = "fetched", "fetching"
DEPTH = 64
FATAL = ("compute.agent_superseded", "compute.agent_unknown")


class HttpLink:
    """Speaks to one platform as one agent; what it refuses, it says in ``language``."""

    shares_files = False

    def __init__(
        self,
        url: str,
        *,
        agent_id: str,
        key: Ed25519PrivateKey,
        language: str = "en",
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.agent_id, self.key = agent_id, key
        self.client = _client(url, language, transport)

    def exchange(self, said: Exchange) -> Answer:
        """Say and hear what is new."""
        body = said.model_dump_json().encode()
        response = self._send(
            "POST", "/agent/v1/exchange", content=body, sha256=hashlib.sha256(body).hexdigest()
        )
        return Answer.model_validate_json(response.content)

    def fetch_inputs(self, order: Order, folder: Path) -> None:
        """Bring each input and file, once: afterwards the folders may be the job's own user's."""
        mark = folder / FETCHED
        if mark.exists():
            return
        staging, inputs = folder / STAGING, folder / "inputs"
        for made in (staging, inputs):
            made.mkdir(parents=True, exist_ok=True)
        base = f"/agent/v1/attempts/{order.attempt_id}"
        for name in order.inputs:
            draft, ending = self._fetch(f"{base}/inputs/{quote(name)}", staging)
            draft.replace(_inside(inputs, f"{name}{ending}"))
        for item in order.files:
            target = _inside(folder / "work", item.path)
            draft, _ = self._fetch(f"{base}/files/{item.sha256}", staging)
            target.parent.mkdir(parents=True, exist_ok=True)
            draft.replace(target)
        mark.touch()

    def send_outputs(self, attempt_id: UUID, folder: Path) -> list[str]:
        """Send the log and every output; the paths of those that were refused.

        Each is opened once, by its handle: a process that the job left may put a link in its place.
        """
        base, refused = f"/agent/v1/attempts/{attempt_id}", []
        for name, file in files_below(folder / "outputs", depth=DEPTH):
            if file is None or not name.isprintable():
                refused.append(ascii(name))  # bytes that are no UTF-8 stand in no address
            elif not self._is_kept(f"{base}/outputs/{quote(name)}", file):
                refused.append(f"outputs/{name}")
        with opened_plainly(folder / "log.txt") as log:
            if log is not None and not self._is_kept(f"{base}/log", log):
                refused.append("log.txt")
        return refused

    def _fetch(self, address: str, staging: Path) -> tuple[Path, str]:
        """Write an answer to a draft; also the ending that the platform gives the file."""
        request = self.client.build_request(
            "GET", address, headers=self._headers("GET", address, EMPTY_SHA256)
        )
        draft = staging / "draft"
        draft.unlink(missing_ok=True)
        try:
            response = self.client.send(request, stream=True)
            try:
                if response.is_error:
                    response.read()
                _check(response)
                with draft.open("xb") as file:
                    for piece in response.iter_bytes(PIECE_BYTES):
                        file.write(piece)
            finally:
                response.close()
        except httpx.HTTPError as error:
            draft.unlink(missing_ok=True)
            raise LinkDown(reason=str(error) or type(error).__name__) from error
        return draft, _ending(response.headers)

    def _is_kept(self, address: str, file: BufferedReader) -> bool:
        """Send a file that is open; whether the platform took it."""
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        # With a length it is not sent in chunks, which not every proxy passes on.
        length = {"Content-Length": str(file.tell())}
        file.seek(0)
        pieces = iter(lambda: file.read(PIECE_BYTES), b"")
        try:
            self._send("PUT", address, content=pieces, sha256=sha256, headers=length)
        except PlatformRefused:
            return False
        return True

    def _send(
        self,
        method: str,
        address: str,
        *,
        content: Any,
        sha256: str,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        signed = self._headers(method, address, sha256)
        try:
            response = self.client.request(
                method, address, content=content, headers={**signed, **(headers or {})}
            )
        except httpx.HTTPError as error:
            raise LinkDown(reason=str(error) or type(error).__name__) from error
        _check(response)
        return response

    def _headers(self, method: str, address: str, sha256: str) -> dict[str, str]:
        path = self.client.build_request(method, address).url.path
        return headers_for(self.key, self.agent_id, method, path, sha256)


def enrol(
    url: str,
    token: str,
    key: Ed25519PrivateKey,
    *,
    language: str = "en",
    transport: httpx.BaseTransport | None = None,
) -> Mapping[str, str]:
    """Join a platform: the agent's id and its centre, for a one-time token."""
    with _client(url, language, transport) as client:
        try:
            response = client.post(
                "/agent/v1/enrol", json={"token": token, "public_key": public_text(key)}
            )
        except httpx.HTTPError as error:
            raise LinkDown(reason=str(error) or type(error).__name__) from error
        _check(response)
        answer: Mapping[str, str] = response.json()
        return answer


def _inside(folder: Path, name: str) -> Path:
    """Where a file that the platform names goes; it does not choose a place outside the job's."""
    parts = name.split("/")
    if {"", ".", ".."} & set(parts):
        raise PlatformRefused(reason=f"the path {name[:200]!r} leads out of the job's folder")
    return folder.joinpath(*parts)


def _client(url: str, language: str, transport: httpx.BaseTransport | None) -> httpx.Client:
    return httpx.Client(
        base_url=url,
        headers={"Accept-Language": language},
        timeout=TIMEOUT_S,
        transport=transport,
    )


def _check(response: httpx.Response) -> None:
    """Raise what the answer says: later, never again, or this one thing not."""
    if response.is_success:
        return
    try:
        body = response.json()
    except ValueError:
        body = {}
    code, detail = str(body.get("code", "")), str(body.get("detail", ""))
    if code in FATAL:
        raise AgentStopped(reason=detail)
    if code and response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        raise PlatformRefused(reason=f"{code}: {detail}")
    raise LinkDown(reason=f"it answered {response.status_code}")


def _ending(headers: httpx.Headers) -> str:
    """The ending of the file's name, of plain letters and digits only."""
    name = headers.get("content-disposition", "").rpartition("filename=")[2].strip('"')
    ending = name.rpartition(".")[2]
    return f".{ending}" if "." in name and ending.isalnum() else ""
