"""The sentences that errors are raised with, in Chinese."""

from __future__ import annotations

import pytest
from django.utils import translation

from haihe.kernel.errors import InvalidField, WrongState
from haihe.kernel.phrases import localized, translated
from haihe.parties.domain import check_credit_code
from haihe.parties.errors import BadCreditCode
from haihe.policy.errors import NotSignedIn


def test_a_phrase_with_values_keeps_them() -> None:
    with translation.override("zh-hans"):
        assert translated("give 1 to 500") == "应为 1 至 500"
        assert translated("its check digit is X, computed is 7") == "校验位为 X，计算值为 7"


def test_the_longest_pattern_wins() -> None:
    with translation.override("zh-hans"):
        assert translated("is not of type bytes") == "类型不是 bytes"


def test_what_the_catalogue_does_not_have_stays() -> None:
    with translation.override("zh-hans"):
        assert translated("zxcv {0} {") == "zxcv {0} {"
        assert translated("") == ""


def test_an_error_is_one_sentence_in_one_language() -> None:
    error = NotSignedIn(text="cancel a job")
    assert localized(error) == "Sign in to cancel a job."
    with translation.override("zh-hans"):
        assert localized(error) == "请先登录，再取消作业。"


def test_a_state_is_translated_by_its_label() -> None:
    error = WrongState(kind="contract", id="C-1", state="signed", needed="draft")
    with translation.override("zh-hans"):
        assert localized(error) == "算力合同 C-1 当前为“已签署”；此操作要求为“草稿”。"


def test_values_are_never_translated() -> None:
    error = InvalidField(field="Name", value="Owner", rule="give 1 to 500")
    with translation.override("zh-hans"):
        assert localized(error) == "Name 为 'Owner'：应为 1 至 500。"


def test_a_reason_from_domain_code_reads_in_chinese() -> None:
    with pytest.raises(BadCreditCode) as caught:
        check_credit_code("91120116MA")
    with translation.override("zh-hans"):
        assert "共 10 个字符，应为 18 个" in localized(caught.value)
