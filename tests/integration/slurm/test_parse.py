"""Slurm's answers, read and judged: samples written by hand after the documentation of versions.

Nothing here needs a Slurm; what a real one of version 22.05 says, the other tests show.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haihe.compute.agent.backends import backend_from
from haihe.compute.agent.config import FILE, read_pools
from haihe.compute.backends import NodeCondition, RunState, WorkOrder
from haihe.compute.backends.slurm import (
    CliTransport,
    RestTransport,
    SlurmBackend,
    parse,
    parse_rest,
    rest,
    script,
)
from haihe.compute.backends.slurm.fallback import FallbackTransport
from haihe.compute.backends.slurm.outcome import Marks, end_status, live_status
from haihe.compute.backends.slurm.records import Gres, JobRecord, NodeRecord, Refusal, Submission
from haihe.compute.backends.slurm.resources import node_report, part_gres, whole_gres
from haihe.compute.domain import EndReason
from haihe.compute.errors import BackendUnavailable, BadAgentConfig

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


# --- commands ---


def test_a_queue_is_read_line_by_line() -> None:
    text = (
        "12|haihe-a|RUNNING|1-02:03:04|2026-11-22T12:00:00|2026-11-23T12:00:00|alice|n[1-2]|None\n"
        "13_4|haihe-b|PENDING|0:00|2027-01-01T00:00:00|N/A|bob||(Priority)\n"
        "14|odd|COMPLETING|0:07|2026-11-22T12:00:00|2026-11-22T12:00:07|bob|n3|a|b\n"
        "slurm_load_jobs: a warning\n"
    )
    running, pending, completing = parse.parse_queue(text)
    assert (running.key, running.nodes, running.elapsed_s) == ("12", ("n1", "n2"), 93_784)
    assert running.started_at == NOON
    assert (pending.key, pending.is_pending, pending.reason) == ("13_4", True, "Priority")
    assert pending.started_at is None, "a guess is no start"
    assert (completing.has_ended, completing.reason) == (False, "a|b")


@pytest.mark.parametrize(
    ("state", "by"),
    [("CANCELLED by 1000", "1000"), ("CANCELLED", ""), ("CANCELLED by root", "root")],
)
def test_who_cancelled_a_job_is_read_from_its_state(state: str, by: str) -> None:
    line = f"7|x|{state}|0:15|2026-11-22T12:00:00|2026-11-22T12:00:09|9|00:01.500||cpu=1|u|n1"
    (job,) = parse.parse_accounting(line)
    assert (job.states, job.cancelled_by, job.exit_code) == (("CANCELLED",), by, -15)


def test_a_jobs_steps_are_part_of_it() -> None:
    start, end = "2026-11-22T12:00:00", "2026-11-22T12:00:09"
    text = "\n".join(
        [
            f"7|x|FAILED|1:0|{start}|{end}|9|00:03.250||billing=2,cpu=2,gres/gpu=1,mem=1G|u|n1",
            f"7.batch|batch|FAILED|1:0|{start}|{end}|9|00:01.250|1500K|cpu=2||n1",
            f"7.extern|extern|COMPLETED|0:0|{start}|{end}|9|00:00:00|0|cpu=2||n1",
            f"7.0|python|OUT_OF_MEMORY|0:125|{start}|{end}|9|00:02.000|1.50G|cpu=2||n1",
            "8_[3-9]|x|PENDING|0:0|Unknown|Unknown|0|00:00:00|||u|None assigned",
            f"9_2|x|COMPLETED|0:0|{start}|{end}|9|1-00:00:01|||u|n1",
        ]
    )
    job, element = parse.parse_accounting(text)
    assert (job.cpu_ms, job.peak_memory_bytes) == (3_250, 3 * 2**29)
    assert job.is_step_out_of_memory
    assert job.allocated == {"billing": 2, "cpu": 2, "gres/gpu": 1, "mem": 2**30}
    assert (element.key, element.cpu_ms) == ("9_2", 86_401_000)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("00:00.003", 3), ("03:04", 184_000), ("02:03:04", 7_384_000), ("03:04.5", 184_500),
        ("1-02:03:04", 93_784_000), ("INVALID", 0), ("", 0),
    ],
)  # fmt: skip
def test_durations_are_read_in_all_their_lengths(text: str, milliseconds: int) -> None:
    assert parse.duration_ms(text) == milliseconds


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("n1", ["n1"]),
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("n[08-10],m", ["n08", "n09", "n10", "m"]),
        ("r[1-2]n[1,3]", ["r1n1", "r1n3", "r2n1", "r2n3"]),
        ("cn[1-2]-ib,gpu7", ["cn1-ib", "cn2-ib", "gpu7"]),
        ("None assigned", []),
        ("(null)", []),
        ("", []),
    ],
)
def test_lists_of_hosts_are_spelled_out(text: str, names: Sequence[str]) -> None:
    assert list(parse.hosts(text)) == list(names)


def test_a_list_of_hosts_has_a_limit() -> None:
    assert len(parse.hosts("n[1-9999999999]")) == parse.HOSTS_LIMIT


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("gpu:2", [Gres("gpu", "", 2)]),
        ("gpu:a100:4(S:0-1)", [Gres("gpu", "a100", 4)]),
        ("gpu:h200:1(IDX:0),shard:h200:2(1/8,1/8)",
         [Gres("gpu", "h200", 1), Gres("shard", "h200", 2)]),
        ("gres/gpu:a100:8,mps:1K", [Gres("gpu", "a100", 8), Gres("mps", "", 1_024)]),
        ("(null)", []),
        ("craynetwork:4", [Gres("craynetwork", "", 4)]),
    ],
)  # fmt: skip
def test_generic_resources_are_read_as_versions_write_them(
    text: str, found: Sequence[Gres]
) -> None:
    assert list(parse.gres(text)) == list(found)


NODES = (
    "NodeName=n1 Arch=x86_64 CPUAlloc=6 CPUEfctv=62 CPUTot=64 CPULoad=3.5 Gres=gpu:a100:4(S:0-1) "
    "GresUsed=gpu:a100:1(IDX:0) OS=Linux 5.14 #1 SMP PREEMPT RealMemory=512000 AllocMem=2048 "
    "State=MIXED+DRAIN Partitions=a,b Reason=bad fan = hot [root@2026-11-22T10:00:00]\n"
    "NodeName=n2 CPUAlloc=0 CPUTot=64 RealMemory=512000 AllocMem=0 State=IDLE* "
    "AllocTRES=cpu=0,gres/gpu=2,gres/gpu:a100=2 Gres=gpu:4 Partitions=a\n"
    "NodeName=n3 CPUAlloc=0 CPUTot=8 RealMemory=1000 State=IDLE+POWERED_DOWN Gres=(null)\n"
)


def test_nodes_are_read_and_reported() -> None:
    nodes = [node_report(node, {"a100": "A100"}) for node in parse.parse_nodes(NODES)]
    assert [node.condition for node in nodes] == [
        NodeCondition.DRAINING,
        NodeCondition.DOWN,
        NodeCondition.UP,
    ]
    assert nodes[0].reason == "bad fan = hot [root@2026-11-22T10:00:00]"
    assert (nodes[0].cpu_milli, nodes[0].used_cpu_milli) == (62_000, 6_000)
    assert (nodes[0].gpus, nodes[0].gpu_model, nodes[0].used_gpu_milli) == (4, "A100", 1_000)
    assert nodes[1].used_gpu_milli == 2_000
    assert (nodes[2].gpus, nodes[2].used_memory_bytes) == (0, 0)


# --- slurmrestd ---


def test_old_and_new_answers_of_the_queue_read_the_same() -> None:
    old = {
        "job_id": 15, "array_job_id": 12, "array_task_id": 3, "name": "x", "nodes": "n1",
        "job_state": "FAILED", "state_reason": "NonZeroExitCode", "user_name": "alice",
        "start_time": 1795348800, "end_time": 1795348809, "exit_code": 768,
    }  # fmt: skip
    new = {
        **old,
        "array_job_id": {"set": True, "infinite": False, "number": 12},
        "array_task_id": {"set": True, "infinite": False, "number": 3},
        "job_state": ["FAILED"],
        "start_time": {"set": True, "infinite": False, "number": 1795348800},
        "end_time": {"set": True, "infinite": False, "number": 1795348809},
        "exit_code": {
            "status": ["ERROR"],
            "return_code": {"set": True, "infinite": False, "number": 3},
            "signal": {"id": {"set": False, "infinite": False, "number": 0}, "name": ""},
        },
    }
    (first,), (second,) = (parse_rest.parse_queue({"jobs": [job]}) for job in (old, new))
    assert first == second
    assert (first.key, first.exit_code, first.has_ended) == ("12_3", 3, True)


@pytest.mark.parametrize("unset", [None, {"set": False, "infinite": False, "number": 0}])
def test_a_job_of_its_own_and_waiting_elements_have_keys(unset: Any) -> None:
    none = 0 if unset is None else {"set": True, "infinite": False, "number": 0}
    array = 20 if unset is None else {"set": True, "infinite": False, "number": 20}
    plain = {"job_id": 7, "array_job_id": none, "array_task_id": unset, "job_state": "PENDING"}
    waiting = {**plain, "job_id": 25, "array_job_id": array, "array_task_string": "3-4,9%2"}
    cut = {**waiting, "array_task_string": "1,3,5,7,..."}
    answer = {"jobs": [plain, waiting, cut]}
    keys = [record.key for record in parse_rest.parse_queue(answer)]
    assert keys == ["7", "20_3", "20_4", "20_9", "20_*"]


def test_a_job_that_is_completing_has_not_ended() -> None:
    job = {"job_id": 7, "job_state": ["COMPLETED", "COMPLETING"]}
    (record,) = parse_rest.parse_queue({"jobs": [job]})
    assert not record.has_ended


def test_old_and_new_answers_of_the_accounting_read_the_same() -> None:
    step = {
        "time": {"total": {"seconds": 1, "microseconds": 230_360}},
        "state": "COMPLETED",
        "tres": {
            "requested": {"max": [{"type": "cpu", "count": 9}, {"type": "mem", "count": 512}]}
        },
    }
    old = {
        "job_id": 4, "name": "x", "nodes": "n1", "user": "alice", "kill_request_user": None,
        "array": {"job_id": 0, "task": None, "task_id": None},
        "state": {"current": "OUT_OF_MEMORY", "reason": "None"},
        "time": {
            "elapsed": 9, "start": 1795348800, "end": 1795348809,
            "total": {"seconds": 0, "microseconds": 0},
        },
        "exit_code": {
            "status": "SIGNALED", "return_code": None,
            "signal": {"signal_id": 9, "name": "Killed"},
        },
        "tres": {
            "allocated": [
                {"type": "cpu", "name": None, "count": 2},
                {"type": "mem", "name": "", "count": 100},
                {"type": "gres", "name": "gpu", "count": 1},
                {"type": "energy", "name": None, "count": None},
            ]
        },
        "steps": [step, step],
    }  # fmt: skip
    new = {
        **old,
        "kill_request_user": "",
        "array": {"job_id": 0, "task": "", "task_id": {"set": False, "number": 0}},
        "state": {"current": ["OUT_OF_MEMORY"], "reason": "None"},
        "exit_code": {
            "status": ["SIGNALED"],
            "return_code": {"set": False, "infinite": False, "number": 0},
            "signal": {"id": {"set": True, "infinite": False, "number": 9}, "name": "SIGKILL"},
        },
        "steps": [{**step, "state": ["COMPLETED"]}] * 2,
    }
    (first,), (second,) = (parse_rest.parse_accounting({"jobs": [job]}) for job in (old, new))
    assert first == second
    assert (first.cpu_ms, first.peak_memory_bytes, first.exit_code) == (2_460, 512, -9)
    assert first.allocated == {"cpu": 2, "mem": 100 * 2**20, "gres/gpu": 1, "energy": 0}


def test_an_exit_code_that_contradicts_the_state_is_not_believed() -> None:
    success = {"status": "SUCCESS", "return_code": 0}
    job = {"job_id": 4, "state": {"current": "FAILED"}, "exit_code": success}
    (record,) = parse_rest.parse_accounting({"jobs": [job]})
    assert record.exit_code is None


def test_nodes_of_old_and_new_answers_read_the_same() -> None:
    old = {
        "name": "n1", "state": "idle", "state_flags": ["DRAIN"], "cpus": 8, "real_memory": 4096,
        "alloc_cpus": 2, "alloc_memory": 100, "gres": "gpu:h200:2", "reason": "x",
        "gres_used": "gpu:h200:1(IDX:0)", "partitions": ["a"], "tres_used": "cpu=2,gres/gpu=1",
    }  # fmt: skip
    new = {k: v for k, v in old.items() if k != "state_flags"} | {"state": ["IDLE", "DRAIN"]}
    (first,), (second,) = (parse_rest.parse_nodes({"nodes": [node]}) for node in (old, new))
    assert first == second
    assert node_report(first, {}).condition is NodeCondition.DRAINING


def test_the_newest_version_that_both_know_is_spoken() -> None:
    paths = {
        f"/{part}/v0.0.{n}/jobs/": {} for part in ("slurm", "slurmdb") for n in (35, 39, 41, 44)
    }
    assert rest.versions_in({"paths": {**paths, "/slurm/v0.0.42/jobs": {}}}) == [39, 41]
    assert rest.versions_in({}) == []


SUBMISSION = Submission(
    name="haihe-x", script="#!/bin/sh\n", folder=Path("/f"), output="/f/o", cpus=2,
    memory_mib=100, minutes=5, nodes=2, gres="gpu:h200:1", array=3, account="lab",
)  # fmt: skip


@pytest.mark.parametrize("version", range(rest.OLDEST, rest.NEWEST + 1))
def test_a_submission_has_the_shape_of_its_version(version: int) -> None:
    request = rest.request_of(SUBMISSION, version=version, search_path="/bin")
    job = request["job"]
    assert (job["array"], job["account"], job["tasks"]) == ("0-2", "lab", 2)
    assert "partition" not in job
    if version < 39:
        assert request["script"] == "#!/bin/sh\n"
        assert job["environment"] == {"PATH": "/bin", "LANG": "C.UTF-8"}
        assert (job["nodes"], job["time_limit"], job["gres"]) == ([2, 2], 5, "gpu:h200:1")
    else:
        assert (job["minimum_nodes"], job["maximum_nodes"]) == (2, 2)
        assert job["environment"] == ["PATH=/bin", "LANG=C.UTF-8"]
        assert job["memory_per_node"] == {"set": True, "number": 100}
        assert job["tres_per_node"] == "gres/gpu:h200:1"
        assert ("script" in job) is (version >= 40)


# --- what records mean ---


def record(state: str, **changes: Any) -> JobRecord:
    plain = {
        "key": "7", "name": "x", "states": (state,), "nodes": ("n1",), "started_at": NOON,
        "elapsed_s": 9, "cpu_ms": 5_000, "exit_code": 0,
    }  # fmt: skip
    return JobRecord(**{**plain, **changes})


@pytest.mark.parametrize(
    ("state", "changes", "marks", "reason"),
    [
        ("COMPLETED", {}, {}, EndReason.EXITED),
        ("COMPLETED", {}, {"is_cancelled": True}, EndReason.EXITED),
        ("FAILED", {"exit_code": 3}, {}, EndReason.EXITED),
        ("FAILED", {"exit_code": 152}, {}, EndReason.CPU_LIMIT),
        ("FAILED", {"exit_code": -24}, {}, EndReason.CPU_LIMIT),
        ("FAILED", {"exit_code": 153}, {}, EndReason.OUTPUT_LIMIT),
        ("FAILED", {"exit_code": 137}, {}, EndReason.EXITED),
        ("FAILED", {"exit_code": 137}, {"scheduler_log": "Detected 1 oom-kill event(s)"},
         EndReason.MEMORY_LIMIT),
        ("FAILED", {"exit_code": -9, "peak_memory_bytes": 101}, {"memory_bytes": 100},
         EndReason.MEMORY_LIMIT),
        ("FAILED", {"exit_code": 1}, {"scheduler_log": "exceeded memory limit"}, EndReason.EXITED),
        ("FAILED", {"exit_code": 1, "is_step_out_of_memory": True}, {}, EndReason.MEMORY_LIMIT),
        ("CANCELLED", {}, {"scheduler_log": "Exceeded job memory limit"}, EndReason.MEMORY_LIMIT),
        ("CANCELLED", {}, {"is_cancelled": True}, EndReason.CANCELLED),
        ("CANCELLED", {}, {"is_cancelled": True, "over": EndReason.WALL_LIMIT},
         EndReason.WALL_LIMIT),
        ("CANCELLED", {"cancelled_by": "bob"}, {}, EndReason.ENDED_BY_CENTRE),
        ("CANCELLED", {"cancelled_by": "ann", "user": "ann"}, {}, EndReason.CANCELLED),
        ("CANCELLED", {"cancelled_by": "root", "user": "root"}, {}, EndReason.ENDED_BY_CENTRE),
        ("OUT_OF_MEMORY", {}, {}, EndReason.MEMORY_LIMIT),
        ("TIMEOUT", {}, {}, EndReason.WALL_LIMIT),
        ("DEADLINE", {}, {}, EndReason.ENDED_BY_CENTRE),
        ("NODE_FAIL", {}, {}, EndReason.NODE_FAILED),
        ("BOOT_FAIL", {}, {}, EndReason.NODE_FAILED),
        ("PREEMPTED", {}, {}, EndReason.NODE_FAILED),
        ("FAILED", {"nodes": (), "started_at": NOON}, {}, EndReason.NOT_STARTED),
    ],
)  # fmt: skip
def test_each_end_has_its_reason(
    state: str, changes: Mapping[str, Any], marks: Mapping[str, Any], reason: EndReason
) -> None:
    end = end_status(record(state, **changes), Marks(**marks))
    assert (end.state, end.reason) == (RunState.ENDED, reason)
    assert (end.usage is None) == (changes.get("nodes") == ())


def test_gpus_are_metered_by_what_was_allocated() -> None:
    asked = Marks(gpu_milli=500, parts_per_gpu=8)
    cases = ({"gres/gpu": 2, "gres/gpu:h200": 2}, {"gres/shard": 4}, {"cpu": 1})
    ends = [end_status(record("COMPLETED", allocated=case), asked) for case in cases]
    used = [end.usage.gpu_milli_ms for end in ends if end.usage is not None]
    assert used == [2_000 * 9_000, 500 * 9_000, 500 * 9_000]


def test_a_reason_to_wait_that_nobody_foresaw_is_shown_as_it_is() -> None:
    waiting = record("PENDING", reason="QOSGrpBillingRunMinutes")
    assert live_status(waiting).message == "Slurm: QOSGrpBillingRunMinutes"


@pytest.mark.parametrize(
    ("nodes", "milli", "kind", "asked"),
    [
        ([("gpu:h200:2,shard:16")], 250, "h200", ("shard:2", 8)),
        ([("gpu:h200:2,shard:16")], 1, "", ("shard:1", 8)),
        ([("gpu:h200:2,shard:16"), ("gpu:h200:1,shard:10")], 500, "", ("shard:5", 10)),
        ([("gpu:a100:2,mps:200")], 300, "a100", ("mps:30", 100)),
    ],
)
def test_a_part_of_a_gpu_is_enough_on_any_node(
    nodes: Sequence[str], milli: int, kind: str, asked: tuple[str, int]
) -> None:
    records = [
        NodeRecord(name="n", states=("IDLE",), cpus=1, memory_mib=1, gres=parse.gres(text))
        for text in nodes
    ]
    assert part_gres(milli, kind, records) == asked


def test_a_cluster_without_parts_gives_whole_gpus() -> None:
    assert whole_gres(2_000, "h200") == "gpu:h200:2"
    assert whole_gres(1_000, "") == "gpu:1"
    with pytest.raises(Refusal, match="cuts no GPUs"):
        part_gres(500, "", [])


# --- scripts ---


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20), min_size=1
    )
)
def test_a_command_comes_out_of_its_script_as_it_went_in(words: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "run").mkdir()
        (folder / "work").mkdir()
        code = r"import sys, json; print(json.dumps(sys.argv[1:]))"
        order = WorkOrder(
            attempt_id="a", job_id="j", name="n", folder=folder,
            command=("python3", "-c", code, *words), environment={"ODD": "'\"$(x)`\n"},
            cpu_milli=1, cpu_limit_s=60, memory_bytes=1, wall_s=1, output_bytes=10**6,
        )  # fmt: skip
        text = script.run_script(order, run=folder / "run", search_path="/usr/bin:/bin")
        (folder / script.RUN).write_text(text)
        batch = script.batch_script([folder])
        environment = {"SLURM_JOB_ID": "7", "PATH": "/usr/bin:/bin"}
        codes = [
            subprocess.run(["sh", "-c", batch], env=environment, check=False).returncode
            for _ in range(2)
        ]
        assert codes == [0, script.REPEATED_EXIT]
        assert json.loads((folder / "log.txt").read_text()) == words
        assert (folder / "run" / "claim" / "job").read_text() == "7\n"
        assert (folder / "run" / "repeated").read_text() == "7\n"


# --- an agent's file ---


def test_a_pool_is_made_from_an_agents_file(tmp_path: Path) -> None:
    data = {"backend": "slurm", "partition": "gpu", "account": "lab"}
    plain = backend_from("gpu", data, tmp_path)
    assert isinstance(plain, SlurmBackend)
    assert isinstance(plain.transport, CliTransport)
    assert (plain.partition, plain.account) == ("gpu", "lab")
    by_rest = {**data, "rest_url": "http://127.0.0.1:6820", "token_file": "slurm.jwt"}
    backend = backend_from("gpu", by_rest, tmp_path)
    assert isinstance(backend, SlurmBackend)
    assert isinstance(backend.transport, FallbackTransport)
    first, second = backend.transport.first, backend.transport.second
    assert isinstance(first, RestTransport)
    assert first.token_file == tmp_path / "slurm.jwt"
    assert isinstance(second, CliTransport)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"backend": "slurm", "partitions": "gpu"}, "pools.gpu.partitions: Extra inputs"),
        ({"backend": "slurm", "array_limit": 1}, "pools.gpu.array_limit: "),
        ({"backend": "slurm", "rest_url": "http://[::1]"}, "rest_url needs a token_file"),
        ({"backend": "ray"}, "pools.gpu.url: Field required"),
        ({"backend": "local", "isolate": "maybe"}, "pools.gpu.isolate: "),
        ({"backend": "pbs"}, "give one of local, ray, slurm"),
    ],
)
def test_a_wrong_field_of_an_agents_file_is_named(
    tmp_path: Path, data: Mapping[str, Any], words: str
) -> None:
    with pytest.raises(BadAgentConfig, match=words):
        backend_from("gpu", data, tmp_path)


@pytest.mark.parametrize("text", ["[pools.gpu]\n", "[pools]\ngpu = 1\n", "pools = 3\n", "[[["])
def test_pools_without_a_backend_are_refused(tmp_path: Path, text: str) -> None:
    assert read_pools(tmp_path) == {}
    (tmp_path / FILE).write_text(text)
    with pytest.raises(BadAgentConfig):
        read_pools(tmp_path)


def test_commands_that_are_not_there_are_no_answer(tmp_path: Path) -> None:
    lacking = SlurmBackend(transport=CliTransport(path=str(tmp_path)))
    with pytest.raises(BackendUnavailable, match="scontrol"):
        lacking.report()
