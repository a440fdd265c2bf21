"""A new pack, complete and small: what ``haihe packs new`` writes.

The templates beside this file make a pack that learns from data it generates itself and passes
every conformance check, so that its author starts from something that works and changes it part
by part.
"""

from __future__ import annotations

import keyword
import re
import sys
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from haihe.kernel.errors import InvalidField
from haihe.packs.domain import NAME_PATTERN
from haihe.packs.errors import FolderNotEmpty

TEMPLATE_ENDING = ".tmpl"
# The folder of the templates that becomes the Python package, under the pack's name.
PACKAGE_FOLDER = "package"
MAX_NAME_LENGTH = 60


def scaffold(name: str, folder: Path) -> Path:
    """Write a new pack ``name`` into ``folder/name``, and return that folder.

    Raises
    ------
    InvalidField
        If the name cannot be that of a pack and its Python module.
    FolderNotEmpty
        If something is there already.
    """
    taken = keyword.iskeyword(name) or name in sys.stdlib_module_names
    if taken or len(name) > MAX_NAME_LENGTH or not re.fullmatch(NAME_PATTERN, name):
        raise InvalidField(
            field="name",
            value=name[:MAX_NAME_LENGTH],
            rule="use at most 60 lower-case letters, digits and single underscores, as in "
            "'tumour_triage', and no name of Python's own",
        )
    root = folder / name
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FolderNotEmpty(folder=str(root))
    words = {
        "name": name,
        "distribution": f"haihe-{name.replace('_', '-')}",
        "title": name.replace("_", " ").capitalize(),
        "class_name": "".join(word.capitalize() for word in name.split("_")),
    }
    _write(files("haihe.packs.scaffold") / "templates", root, words)
    return root


def _write(templates: Traversable, target: Path, words: dict[str, str]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for item in templates.iterdir():
        if item.is_dir():
            folder = words["name"] if item.name == PACKAGE_FOLDER else item.name
            _write(item, target / folder, words)
        elif item.name.endswith(TEMPLATE_ENDING):
            text = Template(item.read_text("utf-8")).substitute(words)
            (target / item.name.removesuffix(TEMPLATE_ENDING)).write_text(text, "utf-8")
