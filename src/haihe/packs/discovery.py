"""Finding packs, and reading what they say, without running any of their code.

An installed pack is an entry point of the group ``haihe.packs``; its folder is found from the
module's name alone. A pack that is being written is a folder with a ``pyproject.toml``. Either way
the result is a :class:`PackSource`, whose code is imported only by :meth:`PackSource.load`.
"""

from __future__ import annotations

import importlib
import json
import sys
import tomllib
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, Field, ValidationError

from haihe.packs.context import Pack
from haihe.packs.domain import MANIFEST_FILE, Manifest, parse_manifest
from haihe.packs.errors import ManifestInvalid, PackNotFound, PackNotLoadable

ENTRY_POINT_GROUP = "haihe.packs"
MAX_MANIFEST_BYTES = 1_000_000
STEPS = ("prepare", "run", "evaluate", "explain")


class _Project(BaseModel):
    """What is needed of a pyproject's [project] table; ``license`` as of PEP 639."""

    name: str
    version: str
    license: str
    entry_points: dict[str, dict[str, str]] = Field(alias="entry-points")


@dataclass(frozen=True, kw_only=True)
class PackSource:
    """Where a pack is: its entry point, its package folder, and its distribution's particulars.

    ``entry`` is ``package.module:Class``; ``folder`` holds ``pack.toml`` and the code; ``licence``
    is the distribution's SPDX expression, empty if it states none. ``checkout`` is the folder of
    its ``pyproject.toml``, None where it was installed from an index.
    """

    name: str
    entry: str
    folder: Path
    version: str
    licence: str
    has_licence_file: bool
    readme: str
    distribution: str
    checkout: Path | None

    def manifest(self) -> Manifest:
        """The pack's manifest, read anew."""
        path = self.folder / MANIFEST_FILE
        try:
            if path.stat().st_size > MAX_MANIFEST_BYTES:
                raise ManifestInvalid(
                    source=str(path), problems=f"it is over {MAX_MANIFEST_BYTES} bytes"
                )
            return parse_manifest(path.read_text("utf-8"), source=str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestInvalid(source=str(path), problems=str(error)) from error

    def code_files(self) -> list[Path]:
        """The Python files of the package, in a fixed order."""
        return sorted(self.folder.rglob("*.py"))

    def sha256(self) -> str:
        """A hash over manifest and code, by which a run says what exactly ran."""
        digest = sha256()
        for path in [self.folder / MANIFEST_FILE, *self.code_files()]:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(self.folder).as_posix()} {len(content)}\n".encode())
            digest.update(content)
        return digest.hexdigest()

    def load(self) -> type[Pack]:
        """Import the pack's class.

        Raises
        ------
        PackNotLoadable
            If it cannot be imported, or a step is missing.
        """
        pack = self.load_object(self.entry)
        missing = [step for step in STEPS if not callable(getattr(pack, step, None))]
        if missing:
            raise PackNotLoadable(name=self.name, reason=f"it has no {', '.join(missing)}")
        assert isinstance(pack, type)
        return pack

    @property
    def package(self) -> str:
        """The name of its package, as it is imported."""
        return self.entry.partition(":")[0].partition(".")[0]

    def make_importable(self) -> None:
        """See to it that the package is found, also that of a pack in a folder."""
        if self.package not in sys.modules and find_spec(self.package) is None:
            sys.path.insert(0, str(self.folder.parent))

    def load_object(self, entry: str) -> Any:
        """Import an object of the pack, named ``module:object``.

        Raises
        ------
        PackNotLoadable
            If the import fails, or finds other code of the same name.
        """
        module_name, _, attribute = entry.partition(":")
        package = module_name.partition(".")[0]
        self.make_importable()
        try:
            found = getattr(importlib.import_module(module_name), attribute)
        except Exception as error:  # any line of a pack may run at its import
            raise PackNotLoadable(name=self.name, reason=str(error)) from error
        place = Path(sys.modules[package].__file__ or "").parent.resolve()
        if place != self.folder.resolve():
            raise PackNotLoadable(
                name=self.name, reason=f"the module {package} comes from {place} instead"
            )
        return found


def installed_packs() -> list[PackSource]:
    """Every pack that an installed distribution offers, by name."""
    points = metadata.entry_points(group=ENTRY_POINT_GROUP)
    return [_installed(point) for point in sorted(points, key=lambda point: point.name)]


def find_pack(name: str) -> PackSource:
    """The installed pack of that name, or the pack in the folder of that path.

    Raises
    ------
    PackNotFound
        If there is neither.
    """
    for point in metadata.entry_points(group=ENTRY_POINT_GROUP, name=name):
        return _installed(point)
    if (Path(name) / "pyproject.toml").is_file():
        return pack_in_folder(Path(name))
    raise PackNotFound(name=name)


def pack_in_folder(folder: Path) -> PackSource:
    """The pack whose ``pyproject.toml`` lies in ``folder``, installed or not."""
    project = _read_project(folder)
    entries = project.entry_points.get(ENTRY_POINT_GROUP, {})
    if len(entries) != 1:
        raise PackNotLoadable(
            name=folder.name,
            reason=f"pyproject.toml must name one entry point in the group {ENTRY_POINT_GROUP!r}",
        )
    [(name, entry)] = entries.items()
    package = entry.partition(":")[0].partition(".")[0]
    places = [folder / package, folder / "src" / package]
    place = next((place for place in places if (place / MANIFEST_FILE).is_file()), None)
    if place is None:
        raise PackNotLoadable(name=name, reason=f"there is no {package}/{MANIFEST_FILE}")
    readme = folder / "README.md"
    return PackSource(
        name=name,
        entry=entry,
        folder=place,
        version=project.version,
        licence=project.license,
        has_licence_file=any(folder.glob("LICEN[CS]E*")),
        readme=readme.read_text("utf-8") if readme.is_file() else "",
        distribution=project.name,
        checkout=folder.absolute(),
    )


def _read_project(folder: Path) -> _Project:
    try:
        document = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
        return _Project.model_validate(document.get("project"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise PackNotLoadable(name=folder.name, reason=f"pyproject.toml: {error}") from error


def _installed(point: metadata.EntryPoint) -> PackSource:
    package = point.module.partition(".")[0]
    spec = find_spec(package)  # of a top-level name: runs none of its code
    if spec is None or not spec.submodule_search_locations:
        raise PackNotLoadable(name=point.name, reason=f"there is no package {package}")
    assert point.dist is not None, "entry points of the environment know their distribution"
    told = point.dist.metadata.json
    return PackSource(
        name=point.name,
        entry=point.value,
        folder=Path(spec.submodule_search_locations[0]),
        version=point.dist.version,
        licence=str(told.get("license_expression", "")),
        has_licence_file="license_file" in told,
        readme=str(told.get("description", "")),
        distribution=point.dist.name,
        checkout=_checkout(point.dist),
    )


def _checkout(dist: metadata.Distribution) -> Path | None:
    """Where an editable distribution is worked on, as PEP 610 records it."""
    told = json.loads(dist.read_text("direct_url.json") or "{}")
    is_editable = told.get("dir_info", {}).get("editable", False)
    return Path(unquote(urlsplit(told["url"]).path)) if is_editable else None
