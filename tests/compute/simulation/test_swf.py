"""Reading logs in Standard Workload Format: what is taken, what is left out, what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from haihe.compute.simulation import swf
from haihe.compute.simulation.errors import BadTrace, NoTrace, TraceTooLarge
from haihe.compute.simulation.swf import SwfLog, read_swf
from haihe.compute.simulation.workload import UNKNOWN

HEADER = "; Version: 2.2\n; MaxProcs: 64\n; MaxNodes: 16\n"
FIELDS = (
    "number", "submit", "wait", "run", "procs", "cpu", "memory", "asked_procs", "asked_s",
    "asked_memory", "status", "user", "group", "program", "queue", "partition", "before", "think",
)  # fmt: skip


def line(**fields: object) -> str:
    """One job; what is not named is a job of 10 minutes on 4 processors."""
    usual = dict.fromkeys(FIELDS, -1) | {
        "number": 1, "submit": 0, "wait": 0, "run": 600, "procs": 4, "asked_procs": 4,
        "asked_s": 900, "status": 1, "user": 1, "group": 1,
    }  # fmt: skip
    assert set(fields) <= set(usual)
    return " ".join(str(value) for value in (usual | fields).values())


def read(folder: Path, *lines: str, header: str = HEADER) -> SwfLog:
    """A log with these lines."""
    path = folder / "log.swf"
    path.write_text(header + "\n".join(lines) + "\n", "utf-8")
    return read_swf(path)


def test_a_line_becomes_a_job(tmp_path: Path) -> None:
    log = read(tmp_path, line(number=7, submit=100, wait=5, user=3, group=2))
    jobs = log.workload
    assert (log.procs, log.procs_from) == (64, "header MaxProcs")
    assert jobs.submit_s.tolist() == [100]
    assert jobs.run_s.tolist() == [600]
    assert jobs.requested_s.tolist() == [900]
    assert jobs.cpu_milli.tolist() == [4_000]
    assert (jobs.user.tolist(), jobs.organisation.tolist()) == ([3], [2])
    assert jobs.observed_wait_s.tolist() == [5]
    assert jobs.label.tolist() == [7]
    assert jobs.notes == {}


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"status": 2}, "partial"),
        ({"run": -1}, "never_ran"),
        ({"run": -500}, "never_ran"),
        ({"run": 0, "status": 5}, "never_ran"),
        ({"procs": -1, "asked_procs": 0}, "no_size"),
        ({"submit": -30}, "no_submission"),
    ],
)
def test_what_cannot_be_replayed_is_left_out_and_counted(
    tmp_path: Path, fields: dict[str, int], note: str
) -> None:
    jobs = read(tmp_path, line(number=1), line(number=2, **fields)).workload
    assert jobs.label.tolist() == [1]
    assert jobs.notes == {note: 1}


@pytest.mark.parametrize(
    ("fields", "note", "requested_s"),
    [
        ({"asked_s": -1}, "no_request", 600),
        ({"asked_s": 60}, "raised_request", 600),
        ({"run": 0}, "zero_run", 900),
        ({"run": 300, "status": 5}, None, 900),
        ({"user": -1}, "no_user", 900),
    ],
)
def test_odd_jobs_stay_with_a_note(
    tmp_path: Path, fields: dict[str, int], note: str | None, requested_s: float
) -> None:
    jobs = read(tmp_path, line(**fields)).workload
    assert jobs.requested_s.tolist() == [requested_s]
    assert jobs.notes == ({note: 1} if note else {})


def test_a_log_without_people_is_one_organisation(tmp_path: Path) -> None:
    jobs = read(tmp_path, line(user=-1, group=-1), line(user=-1, group=-1, number=2)).workload
    assert jobs.user.tolist() == jobs.organisation.tolist() == [UNKNOWN, UNKNOWN]
    assert jobs.notes == {"no_user": 2}


def test_without_groups_each_user_is_an_organisation(tmp_path: Path) -> None:
    jobs = read(tmp_path, line(user=1, group=-1), line(user=2, group=-1)).workload
    assert jobs.organisation.tolist() == [1, 2]


def test_jobs_are_sorted_by_submission(tmp_path: Path) -> None:
    jobs = read(tmp_path, line(number=1, submit=50), line(number=2, submit=20)).workload
    assert jobs.label.tolist() == [2, 1]
    assert jobs.notes == {"out_of_order": 1}


def test_the_size_is_what_a_job_kept_from_others(tmp_path: Path) -> None:
    jobs = read(tmp_path, line(procs=8, asked_procs=6), line(procs=6, asked_procs=8)).workload
    assert (jobs.cpu_milli == 8_000).all()


@pytest.mark.parametrize(
    ("header", "lines", "procs", "source"),
    [
        ("; MaxNodes: 4\n", [line()], 4, "header MaxNodes"),
        (" ;MaxProcs: 32\r\n\r\n", [line()], 32, "header MaxProcs"),
        ("", [line(), line(submit=60)], 8, "most in use at once in the log"),
        ("", [line(), line(submit=600)], 4, "most in use at once in the log"),
        ("; MaxNodes: 2\n", [line(wait=-1)], 4, "largest job of the log"),
    ],
)
def test_the_machine_is_known_from_the_best_that_the_log_tells(
    tmp_path: Path, header: str, lines: list[str], procs: int, source: str
) -> None:
    log = read(tmp_path, *lines, header=header)
    assert (log.procs, log.procs_from) == (procs, source)


def test_a_compressed_log_reads_the_same(tmp_path: Path) -> None:
    plain = read(tmp_path, line(), line(number=2, submit=9.5))
    packed = tmp_path / "log.swf.gz"
    packed.write_bytes(gzip.compress((tmp_path / "log.swf").read_bytes()))
    for name, column in read_swf(packed).workload.columns.items():
        assert np.array_equal(column, plain.workload.columns[name]), name


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (line().rsplit(maxsplit=1)[0], "line 4: has 17 columns; the format has 18"),
        (line(run="ten"), "line 4: has 'ten' in column 4, no number"),
        (line(submit="nan"), "line 4: has a value that is not finite"),
        (line(submit=1e300), "line 4: has a value that is not finite"),
        ("x" * 10_001, "line 4: is longer than 10000 bytes"),
        ("", "line 1: is the last one, and none of 0 jobs"),
        (line(run=-1), "line 4: is the last one, and none of 1 jobs"),
    ],
)
def test_a_corrupt_line_is_named(tmp_path: Path, text: str, rule: str) -> None:
    with pytest.raises(BadTrace, match=rule):
        read(tmp_path, text)


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadTrace, match="none of 0 jobs can be replayed"):
        read(tmp_path, header="")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoTrace, match="No such file"):
        read_swf(tmp_path / "nowhere.swf")
    with pytest.raises(NoTrace, match="directory"):
        read_swf(tmp_path)
    cut = tmp_path / "cut.swf.gz"
    cut.write_bytes(gzip.compress((HEADER + line() * 50).encode())[:-20])
    with pytest.raises(NoTrace, match="Cannot read"):
        read_swf(cut)


def test_a_log_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swf, "MAX_JOBS", 2)
    with pytest.raises(TraceTooLarge, match="more than 2 jobs"):
        read(tmp_path, line(), line(), line())
