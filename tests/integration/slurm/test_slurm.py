"""What only a real Slurm can show: gangs, arrays, GPUs, people, and all that ends a job."""

from __future__ import annotations

import pwd
import signal
import subprocess
from dataclasses import dataclass

import pytest

from haihe.compute.backends import (
    Account,
    ArrayElement,
    NodeCondition,
    RunState,
    Submitted,
)
from haihe.compute.backends.slurm import CliTransport, SlurmBackend
from haihe.compute.backends.slurm.records import Transport
from haihe.compute.domain import EndReason
from tests.integration.slurm import cluster as clusters
from tests.integration.slurm import conf
from tests.integration.slurm.conftest import MIB, Site, handle_of
from tests.integration.slurm.processes import can_use_cgroups

pytestmark = pytest.mark.integration
HOG = "x=x; while true; do x=$x$x; done"


# --- what is asked for ---


def test_a_gang_starts_on_all_its_nodes_together(site: Site) -> None:
    wanted = site.order(
        "sh", "-c", "sleep 1; echo $HAIHE_NODE_INDEX of $HAIHE_NODES", nodes=2, cpu_milli=2_000
    )
    status = site.run(wanted)
    assert (status.reason, status.exit_code) == (EndReason.EXITED, 0)
    assert len(status.nodes) == 2
    names = " ".join(status.nodes)
    assert sorted(site.log(wanted).split("\n")) == ["", f"0 of {names}", f"1 of {names}"]


def test_a_gang_of_which_one_fails_has_failed(cli: Site) -> None:
    wanted = cli.order("sh", "-c", "[ $HAIHE_NODE_INDEX = 0 ] || exit 5; sleep 60", nodes=2)
    status = cli.run(wanted)
    assert status.reason is EndReason.EXITED
    assert status.exit_code not in (0, None)
    assert status.usage is not None
    assert status.usage.wall_ms < 30_000, "the others do not go on alone"


def test_the_elements_of_an_array_go_as_one_submission(site: Site) -> None:
    orders = [
        site.order(
            "sh", "-c", f"echo {index} $HAIHE_ARRAY_INDEX; exit {index % 2}",
            element=ArrayElement(array_id="sweep", index=index),
        )
        for index in range(40, 45)
    ]  # fmt: skip
    assert site.backend.submit(orders) == Submitted()
    ends = [site.end(handle_of(order)) for order in orders]
    assert [end.exit_code for end in ends] == [0, 1, 0, 1, 0]
    assert [site.log(order) for order in orders] == [f"{n} {n}\n" for n in range(40, 45)]
    assert len({end.external_id.partition("_")[0] for end in ends}) == 1
    assert len({end.external_id for end in ends}) == 5


def test_elements_that_ask_for_different_amounts_are_not_submitted_as_one(cli: Site) -> None:
    orders = [
        cli.order(
            "true", element=ArrayElement(array_id="mixed", index=index), cpu_milli=1_000 + index
        )
        for index in range(2)
    ]
    assert cli.backend.submit(orders) == Submitted()
    ends = [cli.end(handle_of(order)) for order in orders]
    assert {end.external_id.count("_") for end in ends} == {0}


def test_waiting_elements_are_told_apart_from_running_ones(site: Site) -> None:
    orders = [
        site.order(
            "sleep", "60", nodes=1, cpu_milli=4_000,
            element=ArrayElement(array_id="wide", index=index),
        )
        for index in range(4)
    ]  # fmt: skip
    assert site.backend.submit(orders) == Submitted()
    handles = [handle_of(order) for order in orders]
    site.running(handles[0])
    states = [status.state for status in site.backend.status(handles).values()]
    assert sorted(states) == ["pending", "running", "running", "running"]
    waiting = site.until(handles[3], lambda status: "Resources" in status.message)
    assert waiting.message == ("it is next in line, as soon as enough is free (Slurm: Resources)")
    # The waiting one first: room that the others leave would let it begin before it is cancelled.
    site.backend.cancel(handles[3:])
    waited = site.end(handles[3])
    assert (waited.reason, waited.usage) == (EndReason.CANCELLED, None), "it never ran"
    site.backend.cancel(handles[:3])
    assert {site.end(handle).reason for handle in handles[:3]} == {EndReason.CANCELLED}


def test_gpus_of_a_model_are_had_and_metered(site: Site) -> None:
    wanted = site.order("sleep", "2", gpu_milli=2_000, gpu_model=conf.GPU_MODEL)
    status = site.run(wanted)
    assert status.exit_code == 0
    assert status.usage is not None
    assert status.usage.gpu_milli_ms == 2_000 * status.usage.wall_ms
    assert status.usage.wall_ms >= 1_000


def test_a_part_of_a_gpu_is_a_shard(site: Site) -> None:
    handle = site.start(
        site.order("sleep", "3", gpu_milli=250, gpu_model=conf.GPU_MODEL, cpu_milli=1_000)
    )
    where = site.running(handle).nodes[0]
    node = next(node for node in site.backend.report().nodes if node.name == where)
    assert node.used_gpu_milli == 250
    end = site.end(handle)
    assert end.usage is not None
    assert end.usage.gpu_milli_ms == 250 * end.usage.wall_ms > 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gpu_milli": 1_500}, "whole GPUs or a part of one, not 1.5"),
        ({"gpu_milli": 500, "gpu_model": "b300"}, "parts of GPUs are here of h200"),
        ({"gpu_milli": 3_000, "gpu_model": conf.GPU_MODEL}, "not available"),
        ({"gpu_milli": 1_000, "gpu_model": "b300"}, "not available"),
        ({"cpu_milli": 5_000}, "not available"),
        ({"account": Account(user="nobody-here")}, "no user"),
        ({"account": Account(user="games", account="nolab")}, "account"),
    ],
)
def test_what_the_cluster_can_never_run_is_refused_in_words(
    site: Site, changes: dict[str, object], words: str
) -> None:
    wanted = site.order("true", **changes)
    assert words in site.backend.submit([wanted]).refused[wanted.attempt_id]
    assert site.status(handle_of(wanted)).state is RunState.UNKNOWN


def test_a_person_at_the_limit_of_submitted_jobs_is_put_off_and_not_refused(cli: Site) -> None:
    account = Account(user="news", account=clusters.ACCOUNT)
    first = cli.start(cli.order("sleep", "60", account=account))
    second = cli.order("true", account=account)
    modify = ("sacctmgr", "-i", "modify", "user", "news", "set")
    cli.cluster.run(*modify, "MaxSubmitJobs=1")
    try:
        done = cli.backend.submit([second])
        assert "MaxSubmit" in done.put_off[second.attempt_id]
        cli.backend.cancel([first])
        cli.end(first)
        assert cli.run(second).exit_code == 0
    finally:
        cli.cluster.run(*modify, "MaxSubmitJobs=-1")


# --- people ---


def test_a_job_runs_as_the_person_it_belongs_to(site: Site) -> None:
    account = Account(user="games", account=clusters.ACCOUNT, qos=clusters.QOS)
    code = "id -un; cat $HAIHE_INPUTS/a; echo b >> $HAIHE_INPUTS/a; echo c > $HAIHE_OUTPUTS/c"
    wanted = site.order("sh", "-c", code, account=account)
    (wanted.folder / "inputs").mkdir(parents=True)
    (wanted.folder / "inputs" / "a").write_text("given\n")
    status = site.run(wanted)
    assert status.exit_code == 0
    assert site.log(wanted).startswith("games\ngiven\n")
    assert (wanted.folder / "inputs" / "a").read_text() == "given\n"
    assert (wanted.folder / "outputs" / "c").owner() == "games"
    said = site.sacct(status.external_id, "User,Account,QOS")
    assert said == f"games|{clusters.ACCOUNT}|{clusters.QOS}"


def test_a_person_sees_nothing_of_anothers_job(cli: Site) -> None:
    theirs = cli.order("sh", "-c", "echo theirs > $HAIHE_OUTPUTS/it", account=Account(user="games"))
    cli.run(theirs)
    tries = " ".join(
        f"cat {theirs.folder / name} && echo SEEN;"
        for name in ("outputs/it", "log.txt", "run.sh", "inputs", "work")
    )
    mine = cli.order("sh", "-c", f"id -un; {tries} true", account=Account(user="news"))
    assert cli.run(mine).exit_code == 0
    assert cli.log(mine).startswith("news\n")
    assert "SEEN" not in cli.log(mine)
    assert cli.log(mine).count("denied") == 5


def test_a_job_cannot_lead_haihe_astray_by_what_it_leaves_in_its_folder(cli: Site) -> None:
    code = (
        "rm -rf $HAIHE_OUTPUTS/../run/slurm.txt; mkfifo $HAIHE_OUTPUTS/../run/slurm.txt;"
        "ln -s /etc/shadow $HAIHE_OUTPUTS/../run/repeated;"
        "ln -sf /etc/shadow $HAIHE_OUTPUTS/../log.txt; ln -s / $HAIHE_OUTPUTS/all; echo here"
    )
    wanted = cli.order("sh", "-c", code, account=Account(user="games"))
    status = cli.run(wanted)
    assert (status.reason, status.exit_code) == (EndReason.EXITED, 0)
    assert cli.log(wanted).endswith("here\n")
    assert not (wanted.folder / "log.txt").is_symlink()
    assert status.usage is not None
    assert status.usage.output_bytes < 100


def test_nothing_of_the_agents_environment_reaches_sbatch_or_the_job(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAIHE_SECRET_KEY", "a secret")
    monkeypatch.setenv("SBATCH_PARTITION", "no-such-partition")
    wanted = site.order("env", environment={"QUOTED": "it's $HOME\n`here`"})
    assert site.run(wanted).exit_code == 0
    assert "secret" not in site.log(wanted)
    assert "QUOTED=it's $HOME\n`here`\n" in site.log(wanted)


# --- ends ---


def test_memory_and_failure_are_told_apart(site: Site) -> None:
    hungry = site.start(site.order("sh", "-c", HOG))
    failing = site.start(site.order("sh", "-c", "exit 9"))
    killed = site.start(site.order("sh", "-c", "kill -KILL $$"))
    ends = [site.end(handle) for handle in (hungry, failing, killed)]
    assert [(end.reason, end.exit_code) for end in ends] == [
        (EndReason.MEMORY_LIMIT, ends[0].exit_code),
        (EndReason.EXITED, 9),
        (EndReason.EXITED, -signal.SIGKILL),
    ]
    if can_use_cgroups():
        assert ends[0].message == "it used more memory than it asked for (Slurm: OUT_OF_MEMORY)"


def test_a_job_that_slurm_itself_ends_at_its_time_limit_says_so(cli: Site) -> None:
    late = cli.start(cli.order("sleep", "60"))
    job = cli.running(late).external_id
    cli.cluster.run("scontrol", "update", f"jobid={job}", "endtime=now+1")
    end = cli.end(late)
    assert end.reason is EndReason.WALL_LIMIT
    assert end.message == "it reached its time limit (Slurm: TIMEOUT)"


@pytest.mark.parametrize("by", ["root", "games"])
def test_a_job_cancelled_outside_says_by_whom(site: Site, by: str) -> None:
    handle = site.start(site.order("sleep", "60", account=Account(user="games")))
    job = site.running(handle).external_id
    scancel_as(site.cluster, by, job)
    end = site.end(handle)
    reason = EndReason.ENDED_BY_CENTRE if by == "root" else EndReason.CANCELLED
    assert (end.state, end.reason) == (RunState.ENDED, reason)
    if isinstance(site.backend.transport, CliTransport) or by != "root":
        assert end.message == f"cancelled by {by}, not through Haihe"
    assert end.usage is not None


def test_a_waiting_job_cancelled_outside_never_ran(cli: Site) -> None:
    handle = cli.start(cli.order("true"))
    held = cli.start(cli.order("sleep", "60", nodes=3, cpu_milli=4_000))
    waiting = cli.start(cli.order("true", nodes=3, cpu_milli=4_000))
    cli.running(held)
    job = cli.until(waiting, lambda status: status.state is RunState.PENDING).external_id
    cli.cluster.run("scancel", job)
    end = cli.end(waiting)
    assert (end.reason, end.usage, end.exit_code) == (EndReason.ENDED_BY_CENTRE, None, None)
    assert cli.end(handle).exit_code == 0


def test_a_job_whose_node_fails_is_not_run_twice(site: Site) -> None:
    wanted = site.order("sh", "-c", "echo begun; sleep 60")
    handle = site.start(wanted)
    node = site.running(handle).nodes[0]
    site.cluster.fail_node(node)
    end = site.end(handle)
    assert (end.state, end.reason) == (RunState.ENDED, EndReason.NODE_FAILED)
    site.cluster.wait_for_nodes()
    assert site.log(wanted) == "begun\n"


def test_a_job_that_an_administrator_starts_again_is_not_run_twice(cli: Site) -> None:
    wanted = cli.order("sh", "-c", "echo begun; sleep 60")
    handle = cli.start(wanted)
    job = cli.running(handle).external_id
    cli.cluster.run("scontrol", "update", f"jobid={job}", "requeue=1")
    cli.cluster.run("scontrol", "requeue", job)
    end = cli.end(handle)
    assert (end.state, end.reason) == (RunState.ENDED, EndReason.NODE_FAILED)
    assert cli.log(wanted) == "begun\n"


# --- the cluster ---


def test_an_older_version_of_the_interface_serves_as_well(older: Site) -> None:
    orders = [
        older.order(
            "sh", "-c", f"echo {index}; exit {index}", gpu_milli=1_000, gpu_model=conf.GPU_MODEL,
            element=ArrayElement(array_id="old", index=index), account=Account(user="games"),
        )
        for index in range(3)
    ]  # fmt: skip
    assert older.backend.submit(orders) == Submitted()
    ends = [older.end(handle_of(order)) for order in orders]
    assert [end.exit_code for end in ends] == [0, 1, 2]
    assert [older.log(order) for order in orders] == ["0\n", "1\n", "2\n"]
    assert older.backend.report().nodes[0].gpus == 2


def test_a_report_shows_nodes_use_and_queue(site: Site) -> None:
    wanted = site.order("sleep", "60", cpu_milli=2_000, gpu_milli=1_000, gpu_model=conf.GPU_MODEL)
    handle = site.start(wanted)
    where = site.running(handle).nodes[0]
    idle = site.cluster.nodes[2]
    site.cluster.run("scontrol", "update", f"nodename={idle}", "state=drain", "reason=new disk")
    try:
        report = site.backend.report()
    finally:
        site.cluster.run("scontrol", "update", f"nodename={idle}", "state=resume")
    nodes = {node.name: node for node in report.nodes}
    assert set(nodes) == set(site.cluster.nodes)
    busy = nodes[where]
    assert (busy.condition, busy.cpu_milli, busy.used_cpu_milli) == (NodeCondition.UP, 4_000, 2_000)
    assert (busy.memory_bytes, busy.used_memory_bytes) == (4_096 * MIB, 100 * MIB)
    assert (busy.gpus, busy.gpu_model, busy.used_gpu_milli) == (2, conf.GPU_MODEL, 1_000)
    assert nodes[idle].condition is NodeCondition.DRAINING
    assert "new disk" in nodes[idle].reason
    assert (report.pending, report.running) == (0, 1)
    assert report.version.startswith("slurm 2")
    assert report.partitions["gpu"] == site.cluster.nodes[:2]


def test_a_backend_of_one_partition_reports_that_one(cli: Site) -> None:
    gpus = SlurmBackend(transport=cli.backend.transport, partition="gpu")
    cli.running(cli.start(cli.order("sleep", "60")))
    report = gpus.report()
    assert [node.name for node in report.nodes] == cli.cluster.nodes[:2]
    assert report.running == 0


def test_many_attempts_are_asked_about_in_few_questions(cli: Site) -> None:
    asked: list[str] = []
    orders = [
        cli.order("true", element=ArrayElement(array_id="many", index=index))
        for index in range(200)
    ]
    assert cli.backend.submit(orders) == Submitted()
    cli.backend.transport = _Counting(cli.backend.transport, asked)  # type: ignore[assignment]
    statuses = cli.backend.status([handle_of(order) for order in orders])
    assert len(statuses) == 200
    assert asked.count("queue") == 1
    assert asked.count("accounting") <= 1
    cli.backend.cancel([handle_of(order) for order in orders])


@dataclass
class _Counting:
    real: Transport
    asked: list[str]

    def __getattr__(self, name: str) -> object:
        self.asked.append(name)
        return getattr(self.real, name)


def scancel_as(cluster: clusters.Cluster, user: str, job: str) -> None:
    """Cancel a job as somebody."""
    entry = pwd.getpwnam(user)
    subprocess.run(
        ["scancel", job], env=cluster.environment, user=entry.pw_uid, group=entry.pw_gid,
        extra_groups=[], check=True, cwd="/",
    )  # fmt: skip
