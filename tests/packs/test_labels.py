"""Every word that manifests and decisions use has a name on pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from haihe.packs import labels
from haihe.packs.discovery import PackSource, installed_packs
from haihe.packs.domain import ColumnType, Metric, TaskKind
from haihe.packs.services import DECISIONS
from tests.pages import CHINESE, ENGLISH, browser, sound


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (labels.TASKS, TaskKind),
        (labels.METRICS, Metric),
        (labels.COLUMN_TYPES, ColumnType),
        (labels.DECISIONS, DECISIONS),
    ],
)
def test_each_word_has_a_name(table: Mapping[str, object], words: Iterable[str]) -> None:
    assert set(table) == set(words)


@pytest.mark.django_db
@pytest.mark.parametrize("language", [ENGLISH, CHINESE])
@pytest.mark.parametrize("source", installed_packs(), ids=str)
def test_the_page_of_every_installed_pack_opens(source: PackSource, language: str) -> None:
    page = sound(browser(language=language).get(f"/packs/{source.name}"))
    assert source.name in page.text
