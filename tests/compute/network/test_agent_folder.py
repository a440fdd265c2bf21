"""What an agent makes of its folder: a key that is gone, a journal that is damaged, many logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from haihe.compute.agent.journal import JOURNAL, Journal, Stage
from haihe.compute.agent.messages import Exchange
from haihe.compute.agent.runner import LOGS_AT_ONCE, Agent
from haihe.compute.agent.signing import KEY_FILE, load_key, make_key
from haihe.compute.errors import BadAgentConfig
from tests.compute.network.test_trust import order


def test_a_key_that_is_gone_or_cut_off_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadAgentConfig, match="enrol again"):
        load_key(tmp_path)
    make_key(tmp_path)
    (tmp_path / KEY_FILE).write_bytes(b"short")
    with pytest.raises(BadAgentConfig, match="enrol again"):
        load_key(tmp_path)


def test_a_damaged_journal_is_named_and_leaves_its_lock(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_bytes(b"this is no database, whatever its name says" * 100)
    for _ in range(2):
        with pytest.raises(BadAgentConfig, match="journal is damaged"):
            Journal(tmp_path)
    (tmp_path / JOURNAL).unlink()
    Journal(tmp_path).close()


def test_every_running_job_shows_its_log_in_turn(tmp_path: Path) -> None:
    jobs = [order() for _ in range(2 * LOGS_AT_ONCE + 5)]
    journal = Journal(tmp_path, is_durable=False)
    journal.accept(jobs, stage=Stage.STARTED)
    agent = Agent(journal, _Silent(), {}, lambda job, number: tmp_path / f"{job}-{number}")  # type: ignore[arg-type]
    for one in jobs:
        (tmp_path / f"{one.job_id}-1").mkdir()
        (tmp_path / f"{one.job_id}-1" / "log.txt").write_text("always more")
    heard = [{piece.attempt_id for piece in agent._log_pieces()} for _ in range(3)]
    assert set().union(*heard) == {one.attempt_id for one in jobs}
    assert {len(pieces) for pieces in heard} == {LOGS_AT_ONCE}
    journal.close()


class _Silent:
    shares_files = False

    def exchange(self, said: Exchange) -> Any:
        raise AssertionError("nothing is said here")
