"""The pack before the platform's checks, on its synthetic patient."""

from __future__ import annotations

from pathlib import Path

import pytest

from bci_rehab import data
from haihe.packs.checks import CHECKS, Status, Subject, run_check
from haihe.packs.discovery import pack_in_folder

# It needs the platform's database; tests/clinic makes it there.
ELSEWHERE = "portal.tables_migrated"


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return Subject(
        pack_in_folder(Path(__file__).parents[2]),
        inputs={"trials": data.frame()},
        folder=tmp_path_factory.mktemp("trials"),
    )


@pytest.mark.parametrize("name", sorted(set(CHECKS) - {ELSEWHERE}))
def test_it_passes_what_it_does_not_say_it_fails(name: str, subject: Subject) -> None:
    result = run_check(subject, CHECKS[name])
    foreseen = name in subject.manifest.expected_failed
    assert result.status is (Status.EXPECTED if foreseen else Status.PASSED), result.reason
