"""What station and recordings say in English, with names and numbers in it, for the reader.

They know no reader and keep no catalogue: a finding, a reason or a refused order is said as its
English template filled in. Here it is held against the templates, and what was filled in is put
into the translated one. What no template fits stays as it is: a device's or a library's own words.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from functools import cache
from types import ModuleType

from django.utils.translation import gettext

from bci_rehab import errors
from bci_rehab.session import interlock, live, record_format, recorder
from bci_rehab.signal.verdicts import WORDS
from bci_rehab.station import errors as station_errors
from haihe.packs import HaiheError

FIELD = re.compile(r"\{(\w+)[^}]*\}")
# Longer than anything that is said; what is longer is no phrase of ours.
LONGEST = 2_000


@cache
def templates() -> Sequence[str]:
    """Every sentence that a page or a report may have to say in another language."""
    raised = [error.template for module in (errors, station_errors) for error in _errors_of(module)]
    modules = (interlock, live, record_format, recorder)
    details = [phrase for module in modules for phrase in module.DETAILS]
    return [*WORDS.values(), *raised, *details]


def said(english: str) -> str:
    """The sentence in the language in force."""
    if not english or len(english) > LONGEST:
        return english
    for pattern, template in _patterns():
        found = pattern.fullmatch(english)
        if found is not None:
            return _filled(gettext(template), found)
    return english


def _filled(words: str, found: re.Match[str]) -> str:
    return FIELD.sub(lambda field: said(found[field[1]]), words)


def _errors_of(module: ModuleType) -> list[type[HaiheError]]:
    found = [kind for _, kind in inspect.getmembers(module, inspect.isclass)]
    ours = [kind for kind in found if kind.__module__ == module.__name__]
    return [kind for kind in ours if issubclass(kind, HaiheError)]


@cache
def _patterns() -> Sequence[tuple[re.Pattern[str], str]]:
    """With the longest first, since it says most."""
    return [(_pattern(text), text) for text in sorted(templates(), key=len, reverse=True)]


def _pattern(template: str) -> re.Pattern[str]:
    """Matches the template with anything in its fields."""
    place, made, seen = 0, "", set()
    for field in FIELD.finditer(template):
        made += re.escape(template[place : field.start()])
        name = field[1]
        made += f"(?P={name})" if name in seen else f"(?P<{name}>.+?)"
        seen.add(name)
        place = field.end()
    return re.compile(made + re.escape(template[place:]), re.DOTALL)
