"""The verifier as one file: whoever checks the platform need not install it.

A zip file that Python runs, with the modules that :mod:`haihe.evidence.verify` and
:mod:`haihe.evidence.proof` are made of. It asks for ``cryptography`` beside the standard library.
"""

from __future__ import annotations

import io
from importlib.resources import files
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from haihe.kernel.errors import StorageUnavailable

MODULES = (
    "haihe/kernel/errors.py",
    "haihe/evidence/errors.py",
    "haihe/evidence/domain.py",
    "haihe/evidence/merkle.py",
    "haihe/evidence/verify.py",
    "haihe/evidence/proof.py",
)
PACKAGES = ("haihe", "haihe/kernel", "haihe/evidence")
_MAIN = """import sys

from haihe.evidence import proof, verify

if sys.argv[1:2] == ["proof"]:
    sys.exit(proof.main(sys.argv[2:]))
sys.exit(verify.main(sys.argv[1:]))
"""
# The same content gives the same file, so that its hash can be published.
_WHEN = (2026, 1, 1, 0, 0, 0)


def write_verifier(path: Path) -> None:
    """Write the file."""
    source = files("haihe")
    texts = {f"{package}/__init__.py": "" for package in PACKAGES}
    for module in MODULES:
        texts[module] = source.joinpath(module.removeprefix("haihe/")).read_text("utf-8")
    texts["__main__.py"] = _MAIN
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(ZipInfo(name, _WHEN), text, ZIP_DEFLATED)
    try:
        path.write_bytes(buffer.getvalue())
    except OSError as error:
        raise StorageUnavailable(place=str(path), reason=error.strerror or str(error)) from error
