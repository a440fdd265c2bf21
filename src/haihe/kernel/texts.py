"""Texts that the platform holds in both of its languages, in the reader's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.translation import get_language

from haihe.kernel.money import CNY

_AMOUNT = re.compile(rf"(?<=\d) {CNY}\b")


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


def listed(texts: Iterable[Any]) -> str:
    """Texts with parts ``zh`` and ``en`` one after the other, as the reader's language lists."""
    return in_language("、", ", ").join(map(spoken, texts))


def with_currency(text: str) -> str:
    """A sentence with amounts in it as ``format_micro`` writes them, in the reader's words."""
    return _AMOUNT.sub(in_language(" 元", f" {CNY}"), text)


def called(thing: Any) -> str:
    """What a row is called that has ``title`` and ``title_en``, or ``name`` and ``name_en``."""
    field = "title" if hasattr(thing, "title") else "name"
    return in_language(getattr(thing, field), getattr(thing, f"{field}_en"))
