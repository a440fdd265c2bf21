"""The pages on the chain, followed command by command on an empty installation."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from haihe.data.models import Agreement
from haihe.kernel.clock import now
from haihe.programme.models import Voucher
from tests.callers import haihe
from tests.docs.sources import ROOT
from tests.docs.test_commands import FENCE

HOW_TO = ROOT / "docs" / "how-to"
# What does not end by itself, and what a job that ran must come before.
LEFT_OUT = (
    "haihe up",
    "haihe --as chen@firm.example job run",
    "haihe --as officer@city.example voucher pay",
)
PASSWORD = "correct horse battery staple 7"


def told(page: str) -> list[str]:
    """The commands of a page in their order, with this year as the pages' year."""
    text = (HOW_TO / f"{page}.md").read_text()
    blocks = [block for language, block in FENCE.findall(text) if language == "sh"]
    lines = "\n".join(blocks).replace("2027-", f"{now().year + 1}-")
    return [
        re.split(r"\s+#\s", line)[0]
        for line in lines.replace("2026-", f"{now().year}-").splitlines()
        if line.startswith("haihe ") and not line.startswith(LEFT_OUT)
    ]


def follow(page: str, *, only: str = "", **names: Callable[[], object]) -> list[Any]:
    """Type the commands of a page, answer what they ask for, and see each succeed."""
    results = []
    for line in told(page):
        if only not in line:
            continue
        words = [str(names[word]()) if word in names else word for word in shlex.split(line)]
        answers = (
            f"{PASSWORD}\n{PASSWORD}\ny\n" if "create" in words and "people" in words else "y\n"
        )
        found = haihe(*words[1:], input=answers)
        assert found.exit_code == 0, (line, found.output, found.exception)
        results.append(found)
    return results


@pytest.mark.django_db
def test_the_chains_pages_are_right_word_by_word(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    follow("start-an-installation")

    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "plans", "plans")
    newer = Path("plans/tianjin-2025-2027.toml").read_text()
    newer = newer.replace("version = 1\n", "version = 2\n", 1).replace(
        "value = 50\n", "value = 100\n"
    )
    Path("plan-2.toml").write_text(newer)
    follow("bring-a-plan")

    follow("run-a-voucher-scheme", only=" scheme ")
    follow("get-a-voucher", only=" contract ")
    follow("get-a-voucher", only=" voucher ")
    follow("run-a-voucher-scheme", only=" voucher ")
    assert Voucher.objects.get().state == "reserved"
    follow("audit-the-books", only=" --as auditor@")


@pytest.mark.django_db
def test_the_page_on_sharing_is_right_word_by_word(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)
    follow("start-an-installation")
    Path("visits.csv").write_text("patient,minutes\n1,30\n2,45\n")
    follow("share-a-dataset", AGREEMENT=lambda: Agreement.objects.latest("created_at").pk)
    assert Agreement.objects.filter(accepted_at__isnull=False).count() == 2
    follow("use-the-api")
