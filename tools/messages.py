"""The message catalogue: collect, compile and check it, without GNU gettext.

    messages.py extract   bring src/haihe/locale/<locale>/LC_MESSAGES/django.po up to date
    messages.py compile   make the .mo files that Django reads
    messages.py check     say what is missing, stale or inconsistent; exit 1 if anything is

Message ids are English, so English needs no catalogue. Collected are: gettext calls in Python, tags
in templates, what the actions of the policies are called, the texts of libraries that we put into
our own words (``locale/libraries.txt``), and the phrases that errors are raised with
(``rule="give 1 or more"``). Of a phrase with values in it, an f-string or a sum, the id is a
pattern such as ``give 1 to {0}``, which :mod:`haihe.kernel.phrases` matches.

A pack with pages has a catalogue of its own, in its Django application. What the platform's
catalogue has already is not translated there again.
"""

from __future__ import annotations

import argparse
import ast
import re
import string
import sys
import tomllib
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog, Message

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src/haihe"
LOCALES = ("zh_Hans",)
LIBRARIES = PACKAGE / "locale/libraries.txt"
PO_WIDTH = 100
CALLS: dict[str, tuple[int | tuple[int, str], ...] | None] = {
    "_": None,
    "gettext": None,
    "gettext_noop": None,
    "gettext_lazy": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
UNUSED_HEADERS = tuple(
    f'"{name}:'.encode()
    for name in (
        "Project-Id-Version",
        "Report-Msgid-Bugs-To",
        "POT-Creation-Date",
        "PO-Revision-Date",
        "Last-Translator",
        "Language-Team",
        "Generated-By",
    )
)
# A pattern needs a word of its own: "{0}: {1}" would match every sentence.
_WORD = re.compile(r"[A-Za-z]{3}")
_PERCENT_FIELD = re.compile(r"%\((\w+)\)[a-z]")


class Home(NamedTuple):
    """A package with messages, and the folder of its catalogues."""

    package: Path
    locale: Path


PLATFORM = Home(PACKAGE, PACKAGE / "locale")


class Key(NamedTuple):
    """What tells one message from another."""

    context: str | None
    singular: str
    plural: str | None = None


Found = dict[Key, set[str]]


def main(arguments: list[str]) -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=["extract", "compile", "check"])
    command = parser.parse_args(arguments).command
    homes = (PLATFORM, *packs())
    if command == "compile":
        return max(compile_catalogues(home) for home in homes)
    act = extract if command == "extract" else check
    return max(act(collect(home), home) for home in homes)


def packs() -> Iterator[Home]:
    """The packs that bring pages."""
    for path in sorted(ROOT.glob("packs/*/*/pack.toml")):
        portal = tomllib.loads(path.read_text("utf-8")).get("portal")
        if portal is not None:
            application = Path(*portal["app"].split(".")[1:])
            yield Home(path.parent, path.parent / application / "locale")


def po_path(locale: str, home: Home = PLATFORM) -> Path:
    """The catalogue of a locale, in the folder that Django looks in."""
    return home.locale / locale / "LC_MESSAGES" / "django.po"


# Collect


def collect(home: Home = PLATFORM) -> Found:
    """All messages of a package, each with the files that it stands in."""
    found: Found = {}
    errors = {name for package in {PACKAGE, home.package} for name in _error_names(package)}
    for path in sorted(home.package.rglob("*.py")):
        if "migrations" not in path.parts:
            _add(found, path, from_python(path.read_bytes()))
            _add(found, path, from_errors(path.read_text("utf-8"), errors))
    for suffix in ("html", "txt"):
        for path in sorted(home.package.glob(f"*/templates/**/*.{suffix}")):
            _add(found, path, from_template(path.read_text("utf-8")))
    if home != PLATFORM:
        manifest = home.package / "pack.toml"
        _add(found, manifest, from_manifest(manifest.read_text("utf-8")))
        known = collect()
        return {key: places for key, places in found.items() if key not in known}
    _add(found, PACKAGE / "policy/domain.py", from_actions())
    _add(found, LIBRARIES, from_list(LIBRARIES.read_text("utf-8")))
    return found


def from_python(source: bytes) -> Iterator[Key]:
    """The messages of gettext calls."""
    from babel.messages.extract import extract as babel_extract

    for _, message, _, context in babel_extract("python", BytesIO(source), CALLS):
        if isinstance(message, tuple):
            yield Key(context, message[0], message[1])
        elif message:
            yield Key(context, message)


def from_template(source: str) -> Iterator[Key]:
    """The messages of a Django template's tags."""
    from django.utils.translation.template import templatize

    # What templatize leaves between the calls is no Python: its indentation would not parse.
    lines = (line.strip() for line in templatize(source).splitlines())
    return from_python("\n".join(lines).encode())


def from_actions() -> Iterator[Key]:
    """What each action is called in "Sign in to ..." and "You may not ..."."""
    sys.path.insert(0, str(PACKAGE.parent))
    from haihe.policy.domain import ACTIONS, DUTIES

    brought = {name.partition(".")[0] for name in DUTIES.duties}
    return (
        Key(None, action.text)
        for name, action in ACTIONS.actions.items()
        if name.partition(".")[0] not in brought
    )


def from_manifest(source: str) -> Iterator[Key]:
    """What a pack's actions are called."""
    return (Key(None, action["text"]) for action in tomllib.loads(source)["portal"]["actions"])


def from_list(source: str) -> Iterator[Key]:
    """One message id a line, with its plural behind a bar; comments begin with a hash."""
    for line in source.splitlines():
        if line and not line.startswith("#"):
            singular, _bar, plural = line.partition(" | ")
            yield Key(None, singular, plural or None)


def from_errors(source: str, errors: set[str]) -> Iterator[Key]:
    """The phrases that errors are raised with, and the kinds of resources that they name."""
    from haihe.kernel.phrases import PARAMETERS

    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        if _called(node) in errors:
            for keyword in node.keywords:
                if keyword.arg in PARAMETERS:
                    yield from _phrases(keyword.value)
        elif _called(node) in ("Resource", "resource") and node.args:
            yield from _phrases(node.args[0])


def _phrases(node: ast.expr) -> Iterator[Key]:
    """The ids of the phrases that an expression may have as its value."""
    if isinstance(node, ast.IfExp):
        yield from _phrases(node.body)
        yield from _phrases(node.orelse)
        return
    text = _pattern(list(_parts(node)))
    if _WORD.search(re.sub(r"\{\d+\}", "", text)):
        yield Key(None, text)


def _parts(node: ast.expr) -> Iterator[str | None]:
    """The pieces of a string expression: text, or None for a value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        for piece in node.values:
            yield from _parts(piece)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from _parts(node.left)
        yield from _parts(node.right)
    else:
        yield None


def _pattern(parts: list[str | None]) -> str:
    """The text, with numbered fields for values; braces are doubled only where there are any."""
    if None not in parts:
        return "".join(part for part in parts if part is not None)
    numbers = iter(range(len(parts)))
    return "".join(
        f"{{{next(numbers)}}}" if part is None else part.replace("{", "{{").replace("}", "}}")
        for part in parts
    )


def _error_names(package: Path) -> Iterator[str]:
    """The classes of every ``errors.py``."""
    for path in package.rglob("errors.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef):
                yield node.name


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _add(found: Found, path: Path, keys: Iterable[Key]) -> None:
    for key in keys:
        found.setdefault(key, set()).add(path.relative_to(ROOT).as_posix())


# Extract


def extract(found: Found, home: Home = PLATFORM) -> int:
    """Write each catalogue anew: all messages found, with the translations there are."""
    for locale in LOCALES:
        path = po_path(locale, home)
        before = path.read_bytes() if path.exists() else b""
        catalog, dropped = _updated(found, read(locale, home))
        after = _po_text(catalog)
        if after != before:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(after)
        for message in dropped:
            print(f"dropped from {locale}: {message.id!r} = {message.string!r}")
        print(f"{path.relative_to(ROOT)}: {len(catalog)} messages.")
    return 0


def read(locale: str, home: Home = PLATFORM) -> Catalog:
    """The catalogue of a locale; an empty one if there is none yet."""
    from babel.messages.catalog import Catalog
    from babel.messages.pofile import read_po

    path = po_path(locale, home)
    if not path.exists():
        return Catalog(locale=locale, project="Haihe", fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale=locale)


def _updated(found: Found, old: Catalog) -> tuple[Catalog, list[Message]]:
    """A catalogue of exactly the messages found, and the old ones that are gone."""
    from babel.messages.catalog import Catalog

    new = Catalog(locale=old.locale, project="Haihe", charset="utf-8", fuzzy=False)
    new.header_comment = "# Messages of Haihe. Written by tools/messages.py extract."
    for key, places in found.items():
        identity = key.singular if key.plural is None else (key.singular, key.plural)
        known = old.get(identity, key.context)
        new.add(
            identity,
            string=known.string if known else None,
            locations=[(place, 0) for place in sorted(places)],
            flags={"fuzzy"} if known and known.fuzzy else set(),
            user_comments=known.user_comments if known else [],
            context=key.context,
        )
    gone = [message for message in old if message.id and _key(message) not in found]
    return new, gone


def _po_text(catalog: Catalog) -> bytes:
    """The catalogue as a file, without the headers that would change at every run."""
    from babel.messages.pofile import write_po

    buffer = BytesIO()
    write_po(buffer, catalog, width=PO_WIDTH, sort_output=True, include_lineno=False)
    lines = buffer.getvalue().splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(UNUSED_HEADERS))


def _key(message: Message) -> Key:
    if isinstance(message.id, tuple | list):
        return Key(message.context, message.id[0], message.id[1])
    return Key(message.context, message.id)


# Compile


def compile_catalogues(home: Home = PLATFORM) -> int:
    """Make the .mo of each catalogue that is newer than it."""
    for locale in LOCALES:
        source = po_path(locale, home)
        target = source.with_suffix(".mo")
        if target.exists() and target.stat().st_mtime_ns >= source.stat().st_mtime_ns:
            continue
        from babel.messages.mofile import write_mo

        with target.open("wb") as file:
            write_mo(file, read(locale, home))
        print(f"{target.relative_to(ROOT)} compiled.")
    return 0


# Check


def check(found: Found, home: Home = PLATFORM) -> int:
    """Print every defect of every catalogue."""
    defects = [
        f"{locale}: {text}" for locale in LOCALES for text in defects_of(found, locale, home)
    ]
    for defect in defects:
        print(defect)
    return 1 if defects else 0


def defects_of(found: Found, locale: str, home: Home = PLATFORM) -> Iterator[str]:
    """What is wrong with the catalogue of a locale, in the order of its messages."""
    catalog = read(locale, home)
    messages = {_key(message): message for message in catalog if message.id}
    for key in found.keys() - messages.keys():
        yield f"not in the catalogue: {key.singular!r}; run messages.py extract"
    for key, message in messages.items():
        strings = _strings(message)
        if key not in found:
            yield f"stands nowhere any more: {key.singular!r}; run messages.py extract"
        elif message.fuzzy:
            yield f"fuzzy: {key.singular!r}"
        elif not all(strings):
            yield f"not translated: {key.singular!r}"
        else:
            yield from (
                f"{key.singular!r} has {_listed(wanted)}, its translation {_listed(given)}"
                for text in strings
                if (given := placeholders(text)) != (wanted := placeholders(key.plural or key[1]))
            )


def _strings(message: Message) -> list[str]:
    given = message.string or ""
    return [given] if isinstance(given, str) else list(given)


def placeholders(text: str) -> frozenset[str]:
    """The fields that a text is filled in by: ``%(name)s`` and ``{name}``."""
    found = set(_PERCENT_FIELD.findall(text))
    try:
        found |= {field for _, field, _, _ in string.Formatter().parse(text) if field is not None}
    except ValueError:
        found.add("a brace that is not closed")
    return frozenset(found)


def _listed(fields: frozenset[str]) -> str:
    return ", ".join(sorted(fields)) or "no fields"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
