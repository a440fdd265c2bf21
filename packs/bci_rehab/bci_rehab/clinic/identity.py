"""Who a patient is: sealed with a key of the installation, apart from the clinical record.

AES-256-GCM over JSON, the patient's id as associated data, so that a seal cannot be moved to
another row. The key is derived from a secret in the home's ``keys`` folder, which backups keep
apart from the database; without it the record stays what it is, a pseudonym's.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bci_rehab.clinic.errors import IdentitySealed
from haihe.packs.pages import secret_from_home

KEY_FILE = "bci_rehab_identity"
NONCE_BYTES = 12


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What the clinic must know to call a patient, and nothing that it need not."""

    name: str
    document: str = ""
    telephone: str = ""


def seal(identity: Identity, patient_id: UUID, *, home: Path) -> bytes:
    """The sealed text."""
    nonce = os.urandom(NONCE_BYTES)
    plain = json.dumps(asdict(identity), ensure_ascii=False).encode()
    return nonce + AESGCM(_key(home)).encrypt(nonce, plain, patient_id.bytes)


def unseal(sealed: bytes, patient_id: UUID, *, home: Path, patient: str) -> Identity:
    """The identity in a sealed text.

    Raises
    ------
    IdentitySealed
        If the key is gone or another one, or the text was changed or moved.
    """
    if not (home / "keys" / KEY_FILE).is_file():
        # A key that is lost is never made anew: it would open nothing, and hide the loss.
        raise IdentitySealed(patient=patient)
    nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        plain = AESGCM(_key(home)).decrypt(nonce, rest, patient_id.bytes)
    except (InvalidTag, ValueError):
        raise IdentitySealed(patient=patient) from None
    return Identity(**json.loads(plain))


def _key(home: Path) -> bytes:
    secret = secret_from_home(KEY_FILE, home=home)
    derive = HKDF(SHA256(), length=32, salt=None, info=b"haihe bci_rehab identity 1")
    return derive.derive(secret.encode())
