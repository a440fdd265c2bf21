"""The way from an agent to the platform over HTTP(S), outbound only, each request signed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from haihe.compute.agent.messages import Answer, Exchange, Order
from haihe.compute.agent.signing import headers_for, public_text, sha256_of
from haihe.compute.errors import AgentStopped, LinkDown, PlatformRefused

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
TIMEOUT_S = 30.0
PIECE_BYTES = 1 << 18
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
        """Bring each input and file that is not there yet."""
        inputs = folder / "inputs"
        inputs.mkdir(parents=True, exist_ok=True)
        for name in order.inputs:
            if any(path.stem == name for path in inputs.iterdir()):
                continue
            address = f"/agent/v1/attempts/{order.attempt_id}/inputs/{quote(name)}"
            draft, ending = self._fetch(address, inputs, name)
            draft.replace(inputs / f"{name}{ending}")
        for item in order.files:
            target = folder / "work" / item.path
            if target.exists() and sha256_of(target) == item.sha256:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            address = f"/agent/v1/attempts/{order.attempt_id}/files/{item.sha256}"
            draft, _ = self._fetch(address, target.parent, target.name)
            draft.replace(target)

    def send_outputs(self, attempt_id: UUID, folder: Path) -> list[str]:
        """Send the log and every output; the paths of those that were refused."""
        base, outputs = f"/agent/v1/attempts/{attempt_id}", folder / "outputs"
        wanted, refused = {}, []
        for path in sorted(outputs.rglob("*")):
            name = str(path.relative_to(outputs))
            if not path.is_file() or path.is_symlink():
                continue
            if name.isprintable():
                wanted[f"{base}/outputs/{quote(name)}"] = path
            else:
                refused.append(ascii(name))  # bytes that are no UTF-8 stand in no address
        if (folder / "log.txt").exists():
            wanted[f"{base}/log"] = folder / "log.txt"
        for address, path in wanted.items():
            try:
                self._put(address, path)
            except PlatformRefused:
                refused.append(str(path.relative_to(folder)))
        return refused

    def _fetch(self, address: str, folder: Path, name: str) -> tuple[Path, str]:
        """Write an answer to a draft; also the ending that the platform gives the file."""
        request = self.client.build_request(
            "GET", address, headers=self._headers("GET", address, EMPTY_SHA256)
        )
        draft = folder / f".{name}.part"
        try:
            response = self.client.send(request, stream=True)
            try:
                if response.is_error:
                    response.read()
                _check(response)
                with draft.open("wb") as file:
                    for piece in response.iter_bytes(PIECE_BYTES):
                        file.write(piece)
            finally:
                response.close()
        except httpx.HTTPError as error:
            draft.unlink(missing_ok=True)
            raise LinkDown(reason=str(error) or type(error).__name__) from error
        return draft, _ending(response.headers)

    def _put(self, address: str, path: Path) -> None:
        def pieces() -> Iterator[bytes]:
            with path.open("rb") as file:
                while piece := file.read(PIECE_BYTES):
                    yield piece

        # With a length it is not sent in chunks, which not every proxy passes on.
        length = {"Content-Length": str(path.stat().st_size)}
        self._send("PUT", address, content=pieces(), sha256=sha256_of(path), headers=length)

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
