"""The phrases that errors are raised with, in the reader's language.

An error's template is translated as a whole; the parameters that are sentences of ours
(``rule="give 1 to 500"``) are translated here. ``tools/messages.py`` collects them from the places
that raise, and where a value is written into a phrase, collects the pattern ``give 1 to {0}``. So
domain code stays free of the catalogue, and its English is what tests and logs show.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.utils.translation import get_language, gettext, trans_real

from haihe.kernel.errors import HaiheError

PARAMETERS = frozenset({"kind", "needed", "place", "reason", "rule", "state", "text", "threshold"})
MAX_PHRASE_CHARACTERS = 1_000

Patterns = list[tuple[re.Pattern[str], str]]


def translated(phrase: str) -> str:
    """The phrase in the active language; as it is, if the catalogue does not have it."""
    if not phrase or len(phrase) > MAX_PHRASE_CHARACTERS:
        return phrase
    # A state is raised as its value, "running", and listed as its label, "Running".
    for known in (phrase, phrase[0].upper() + phrase[1:]):
        exact = gettext(known)
        if exact != known:
            return exact
    for pattern, translation in _patterns(get_language() or ""):
        match = pattern.fullmatch(phrase)
        if match:
            return translation.format(*match.groups())
    return phrase


def localized(error: HaiheError) -> str:
    """The error's message with its phrases translated and its values as they are."""
    return filled_in(error.template, error.params())


def filled_in(template: str, values: Mapping[str, Any]) -> str:
    """An error's message from its parts, as they come from another process."""
    return gettext(template).format(**{name: _value(name, given) for name, given in values.items()})


def _value(name: str, value: Any) -> Any:
    return translated(value) if name in PARAMETERS and isinstance(value, str) else value


@lru_cache(maxsize=8)
def _patterns(language: str) -> Patterns:
    """The catalogue's messages with numbered fields, the longest first: it says most."""
    catalogue: dict[Any, str] = dict(trans_real.translation(language)._catalog.items())  # type: ignore[attr-defined]
    ids = sorted(
        (key for key in catalogue if isinstance(key, str) and "{0}" in key), key=len, reverse=True
    )
    return [(_expression(key), catalogue[key]) for key in ids]


def _expression(pattern: str) -> re.Pattern[str]:
    pieces = string.Formatter().parse(pattern)
    return re.compile(
        "".join(re.escape(text) + ("(.+?)" if field else "") for text, field, _, _ in pieces),
        re.DOTALL,
    )
