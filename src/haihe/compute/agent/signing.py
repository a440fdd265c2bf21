"""How an agent signs what it sends: its key never leaves its machine."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from haihe.compute.errors import BadAgentConfig

AGENT_HEADER = "Haihe-Agent"
CONTENT_HEADER = "Haihe-Content-SHA256"
SIGNATURE_HEADER = "Haihe-Signature"
KEY_FILE = "agent.key"


def signed_text(method: str, path: str, content_sha256: str) -> bytes:
    """What is signed of a request: its method, its path (unquoted), and the hash of its body."""
    return "\n".join((method.upper(), path, content_sha256)).encode()


def make_key(folder: Path) -> Ed25519PrivateKey:
    """A new key, kept where only its owner reads it; the one that is there, if there is one."""
    path = folder / KEY_FILE
    if path.exists():
        return load_key(folder)
    folder.mkdir(parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes_raw())
    return key


def load_key(folder: Path) -> Ed25519PrivateKey:
    """The key of an agent's folder.

    Raises
    ------
    BadAgentConfig
        If there is none, or it is not whole.
    """
    path = folder / KEY_FILE
    try:
        return Ed25519PrivateKey.from_private_bytes(path.read_bytes())
    except (OSError, ValueError):
        raise BadAgentConfig(
            path=str(path),
            reason="there is no whole key; put the copy back, or enrol again with a new token",
        ) from None


def public_text(key: Ed25519PrivateKey) -> str:
    """The public part of a key, in base 64."""
    return b64encode(key.public_key().public_bytes_raw()).decode()


def headers_for(
    key: Ed25519PrivateKey, agent_id: str, method: str, path: str, content_sha256: str
) -> dict[str, str]:
    """The headers that prove who sends a request."""
    signature = key.sign(signed_text(method, path, content_sha256))
    return {
        AGENT_HEADER: agent_id,
        CONTENT_HEADER: content_sha256,
        SIGNATURE_HEADER: b64encode(signature).decode(),
    }
