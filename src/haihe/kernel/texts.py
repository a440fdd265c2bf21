"""Texts that the platform holds in both of its languages, in the reader's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import get_language


def in_language(zh: str, en: str) -> str:
    """One of two texts that say the same; the one that is there, if the other is missing."""
    chosen, other = (zh, en) if (get_language() or "zh").startswith("zh") else (en, zh)
    return chosen or other


def spoken(text: Any) -> str:
    """A text with parts ``zh`` and ``en``, as a mapping or as attributes; empty for none."""
    if text is None:
        return ""
    if isinstance(text, Mapping):
        return in_language(text.get("zh", ""), text.get("en", ""))
    return in_language(text.zh, text.en)


def called(thing: Any) -> str:
    """What a row is called that has ``title`` and ``title_en``, or ``name`` and ``name_en``."""
    field = "title" if hasattr(thing, "title") else "name"
    return in_language(getattr(thing, field), getattr(thing, f"{field}_en"))
