"""What station and recordings say, in the reader's language."""

from __future__ import annotations

import pytest
from bci_rehab.clinic import phrases
from bci_rehab.errors import RecorderFailed, SourceFailed, StepNotAllowed
from bci_rehab.session.interlock import BAD_CHANNELS, PAGE_REPLACED
from bci_rehab.session.record_format import MISSING, TORN
from bci_rehab.session.recorder import FULL
from bci_rehab.signal.verdicts import Code, Finding
from bci_rehab.station.errors import SourceDiffers
from django.utils import translation

SENTENCES = [
    *(Finding(code=code, channel="C3", value=0.5, limit=0.25).message for code in Code),
    str(SourceFailed(source="cap", reason="the disk is full")),
    str(RecorderFailed(path="/r", reason=FULL)),
    str(SourceDiffers(recorded="8", given="16")),
    BAD_CHANNELS.format(count=3),
    MISSING.format(number=17),
    PAGE_REPLACED,
    TORN,
]


@pytest.mark.parametrize("english", SENTENCES)
def test_a_sentence_is_said_in_chinese_with_its_own_numbers(english: str) -> None:
    with translation.override("zh-hans"):
        chinese = phrases.said(english)
    assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese), chinese
    assert "{" not in chinese
    with translation.override("en"):
        assert phrases.said(english) == english


def test_numbers_and_inner_sentences_come_along() -> None:
    with translation.override("zh-hans"):
        assert "17" in phrases.said(MISSING.format(number=17))
        assert "磁盘已满" in phrases.said(str(RecorderFailed(path="/r", reason=FULL)))


@pytest.mark.parametrize("foreign", ["", "160 ms", "LinAlgError: singular", "Ann", "x" * 5_000])
def test_what_is_not_ours_stays_as_it_is(foreign: str) -> None:
    with translation.override("zh-hans"):
        assert phrases.said(foreign) == foreign


def test_live_pages_know_every_sentence() -> None:
    assert StepNotAllowed.template in phrases.templates()
    assert len(set(phrases.templates())) == len(phrases.templates())
