"""Checks of what can be read without running the pack."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from haihe.kernel.errors import gettext_noop
from haihe.packs.checks.framework import CHECKS, CheckFailed, Subject, check, is_bilingual, require
from haihe.packs.domain import Text

LEAST_README_LENGTH = 200


@check("manifest.complete", gettext_noop("The manifest says all that it must, and nothing else"))
def _manifest_complete(subject: Subject) -> str:
    unknown = sorted(set(subject.manifest.expected_failed) - set(CHECKS))
    require(not unknown, f"expected_failed names checks that do not exist: {', '.join(unknown)}")
    return f"version {subject.manifest.version}, {len(subject.manifest.inputs)} inputs"


@check("manifest.translated", gettext_noop("Every text is there in Chinese and in English"))
def _manifest_translated(subject: Subject) -> str:
    texts = list(_texts(subject.manifest, "manifest"))
    wrong = [place for place, text in texts if not is_bilingual(text)]
    require(not wrong, f"not in both languages: {', '.join(wrong)}")
    return f"{len(texts)} texts"


@check("manifest.matches_distribution", gettext_noop("Manifest and distribution agree"))
def _manifest_matches(subject: Subject) -> str:
    manifest, source = subject.manifest, subject.source
    package = source.entry.partition(":")[0].partition(".")[0]
    pairs = {
        "name (entry point)": (manifest.name, source.name),
        "name (package)": (manifest.name, package),
        "version": (manifest.version, source.version),
        "licence": (manifest.licence, source.licence),
    }
    wrong = [f"{what}: {a!r} and {b!r}" for what, (a, b) in pairs.items() if a != b]
    require(not wrong, "; ".join(wrong))
    return f"{source.name} {source.version}"


# The second is for pages and tables: it needs Django, and the first does not.
SDK = ("haihe.packs", "haihe.packs.pages")


@check("imports.only_sdk", gettext_noop("The code imports nothing of Haihe but haihe.packs"))
def _imports_only_sdk(subject: Subject) -> str:
    # Django writes migrations, and names in them where a field's default comes from.
    files = [path for path in subject.source.code_files() if "migrations" not in path.parts]
    foreign = [
        f"{path.name}:{line} imports {module}"
        for path in files
        for line, module in _imports(path)
        if module.partition(".")[0] == "haihe" and module not in SDK
    ]
    require(not foreign, "; ".join(foreign))
    return f"{len(files)} files"


@check("readme.present", gettext_noop("A README says what the pack is for"))
def _readme_present(subject: Subject) -> str:
    length = len(subject.source.readme.strip())
    require(length >= LEAST_README_LENGTH, f"the README has {length} characters")
    return f"{length} characters"


@check("licence.present", gettext_noop("The licence is named, and its text is there"))
def _licence_present(subject: Subject) -> str:
    require(subject.source.has_licence_file, "there is no licence file")
    return subject.manifest.licence


def _texts(part: object, place: str) -> Iterator[tuple[str, Text]]:
    """Every text of a manifest, with where it is."""
    if isinstance(part, Text):
        yield place, part
    elif isinstance(part, BaseModel):
        for name in type(part).model_fields:
            yield from _texts(getattr(part, name), f"{place}.{name}")
    elif isinstance(part, Mapping):
        for name, item in part.items():
            yield from _texts(item, f"{place}.{name}")
    elif isinstance(part, tuple):
        for number, item in enumerate(part):
            yield from _texts(item, f"{place}.{number}")


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """Modules that a file imports by a statement or by a literal name, with the line."""
    try:
        tree = ast.parse(path.read_text("utf-8"), filename=str(path))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise CheckFailed(f"{path.name} cannot be parsed: {error}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module == "haihe":
            yield from ((node.lineno, f"haihe.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module
        elif isinstance(node, ast.Call) and _called(node.func) in ("import_module", "__import__"):
            literals = [item.value for item in node.args if isinstance(item, ast.Constant)]
            yield from ((node.lineno, value) for value in literals if isinstance(value, str))


def _called(function: ast.expr) -> str:
    return getattr(function, "attr", getattr(function, "id", ""))
