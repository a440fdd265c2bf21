"""What only a real Ray can show: parts of GPUs, its queue, and a head that is restarted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from haihe.compute.backends import (
    Account,
    Handle,
    NodeCondition,
    RunState,
    RunStatus,
    Submitted,
    WorkOrder,
    ray,
)
from haihe.compute.backends.ray import RayBackend
from haihe.compute.domain import EndReason
from haihe.compute.errors import BackendUnavailable
from tests.integration.ray import cluster as clusters

pytestmark = pytest.mark.integration
MIB = 2**20
PATIENCE_S = 90.0
# Ray watches a job that has ended for some seconds more, and would write an entry that is deleted
# meanwhile anew, as one of nobody's.
RAY_LETS_GO_S = 15


@pytest.fixture
def backend(head: clusters.Cluster) -> Iterator[RayBackend]:
    """A back-end over it; what a test leaves there is stopped."""
    yield RayBackend(url=head.url, token_file=head.token_file, accelerators={"h200": "H200"})
    with client(head) as ray_client:
        for job in ray_client.get("/api/jobs/").json():
            if job["status"] in ("PENDING", "RUNNING"):
                ray_client.post(f"/api/jobs/{job['submission_id']}/stop")


def client(head: clusters.Cluster) -> httpx.Client:
    """Somebody else who may speak to the cluster."""
    headers = {"Authorization": f"Bearer {head.token_file.read_text()}"}
    return httpx.Client(base_url=head.url, headers=headers, timeout=30)


def order(folder: Path, *command: str, **changes: object) -> WorkOrder:
    attempt_id = str(uuid4())
    plain = WorkOrder(
        attempt_id=attempt_id,
        job_id=str(uuid4()),
        name="test",
        folder=folder / attempt_id,
        command=command,
        environment={},
        cpu_milli=500,
        cpu_limit_s=60,
        memory_bytes=100 * MIB,
        wall_s=600,
        output_bytes=8 * MIB,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def start(backend: RayBackend, wanted: WorkOrder) -> Handle:
    assert backend.submit([wanted]) == Submitted()
    return Handle(attempt_id=wanted.attempt_id, folder=wanted.folder)


def status_of(backend: RayBackend, handle: Handle) -> RunStatus:
    return backend.status([handle])[handle.attempt_id]


def until(backend: RayBackend, handle: Handle, holds: Callable[[RunStatus], bool]) -> RunStatus:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        status = status_of(backend, handle)
        if holds(status):
            return status
        time.sleep(0.1)
    raise AssertionError(f"it did not come to hold; last: {status}")


def running(backend: RayBackend, handle: Handle) -> RunStatus:
    return until(backend, handle, lambda status: status.state is RunState.RUNNING)


def end_of(backend: RayBackend, handle: Handle) -> RunStatus:
    return until(backend, handle, lambda s: s.state in (RunState.ENDED, RunState.LOST))


def test_a_part_of_a_gpu_of_a_model_is_had_and_metered(backend: RayBackend, tmp_path: Path) -> None:
    wanted = order(
        tmp_path, "sh", "-c", "env; sleep 1", gpu_milli=250, gpu_model="h200", cpu_milli=1_500
    )
    handle = start(backend, wanted)
    end = end_of(backend, handle)
    assert (end.reason, end.exit_code) == (EndReason.EXITED, 0)
    assert end.usage is not None
    assert end.usage.gpu_milli_ms == 250 * end.usage.wall_ms > 0
    seen = backend.log(handle, offset=0, limit=MIB).text
    assert "CUDA_VISIBLE_DEVICES=0" in seen
    assert "RAY_ADDRESS=127.0.0.1:" in seen
    assert "RAY_AUTH" not in seen, "the cluster's own token stays where it is"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nodes": 2}, "starts a job on one node; this one needs 2"),
        ({"gpu_milli": 1_500}, "whole GPUs, or a part of one; not 1.5"),
        ({"account": Account(user="games")}, "cannot run one as games"),
    ],
)
def test_what_ray_cannot_do_is_refused_in_words(
    backend: RayBackend, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    wanted = order(tmp_path, "true", **changes)
    assert words in backend.submit([wanted]).refused[wanted.attempt_id]


def test_a_missing_program_is_told_as_not_started(backend: RayBackend, tmp_path: Path) -> None:
    end = end_of(backend, start(backend, order(tmp_path, "no-such-program")))
    assert (end.state, end.reason, end.usage) == (RunState.ENDED, EndReason.NOT_STARTED, None)
    assert "no-such-program" in end.message


def test_an_attempt_in_line_that_is_cancelled_has_ended_and_never_runs(
    backend: RayBackend, tmp_path: Path
) -> None:
    first = start(backend, order(tmp_path, "sleep", "60", cpu_milli=clusters.CPUS * 1_000))
    running(backend, first)
    waiting = start(backend, order(tmp_path, "sh", "-c", "echo ran"))
    status = status_of(backend, waiting)
    assert status.state is RunState.PENDING
    assert "waiting for resources" in status.message
    backend.cancel([waiting])
    end = status_of(backend, waiting)
    assert (end.state, end.reason, end.usage) == (RunState.ENDED, EndReason.CANCELLED, None)
    backend.cancel([first])
    assert end_of(backend, first).reason is EndReason.CANCELLED
    last = start(backend, order(tmp_path, "true"))
    assert end_of(backend, last).exit_code == 0, "those in line before it have had their turn"
    assert backend.log(waiting, offset=0, limit=MIB).text == ""


def test_an_attempt_stopped_in_ray_was_ended_by_the_centre(
    backend: RayBackend, head: clusters.Cluster, tmp_path: Path
) -> None:
    handle = start(backend, order(tmp_path, "sh", "-c", "echo up; sleep 60"))
    until(backend, handle, lambda _: bool(backend.log(handle, offset=0, limit=9).text))
    with client(head) as somebody:
        somebody.post(f"/api/jobs/{handle.attempt_id}/stop").raise_for_status()
    end = end_of(backend, handle)
    assert (end.state, end.reason) == (RunState.ENDED, EndReason.ENDED_BY_CENTRE)
    assert end.usage is not None


def test_a_report_shows_nodes_use_and_queue(backend: RayBackend, tmp_path: Path) -> None:
    handle = start(
        backend, order(tmp_path, "sleep", "60", cpu_milli=2_000, gpu_milli=1_000, gpu_model="h200")
    )
    running(backend, handle)
    deadline = time.monotonic() + PATIENCE_S
    (node,) = (report := backend.report()).nodes
    # Ray tells what is reserved some seconds late.
    while (node.used_cpu_milli, node.used_gpu_milli) != (2_000, 1_000):
        assert time.monotonic() < deadline, node
        time.sleep(0.5)
        (node,) = (report := backend.report()).nodes
    assert node.condition is NodeCondition.UP
    assert node.cpu_milli == clusters.CPUS * 1_000
    assert (node.gpus, node.gpu_model) == (clusters.GPUS, "h200")
    assert node.memory_bytes == clusters.MEMORY_BYTES
    assert report.running == 1
    assert report.version.startswith("ray 2.")


def test_rays_list_is_kept_short(
    backend: RayBackend, head: clusters.Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = start(backend, order(tmp_path, "true"))
    end = end_of(backend, handle)
    monkeypatch.setattr(ray, "KEEP_ENDED_S", RAY_LETS_GO_S)
    with client(head) as somebody:
        deadline = time.monotonic() + PATIENCE_S
        while somebody.get(f"/api/jobs/{handle.attempt_id}").is_success:
            assert time.monotonic() < deadline, "it is still on the list"
            backend.report()
            time.sleep(0.2)
    assert status_of(backend, handle) == end


def test_a_wrong_token_is_no_answer(head: clusters.Cluster, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("wrong")
    stranger = RayBackend(url=head.url, token_file=tmp_path / "token")
    with pytest.raises(BackendUnavailable):
        stranger.report()
    with pytest.raises(BackendUnavailable):
        stranger.submit([order(tmp_path, "true")])


def test_a_restarted_head_loses_what_ran_and_what_waited_and_nothing_runs_twice(
    backend: RayBackend, head: clusters.Cluster, tmp_path: Path
) -> None:
    wanted = order(tmp_path, "sh", "-c", "echo began; sleep 60", cpu_milli=clusters.CPUS * 1_000)
    ended = start(backend, order(tmp_path, "true"))
    end = end_of(backend, ended)
    ran = start(backend, wanted)
    running(backend, ran)
    waited = start(backend, order(tmp_path, "true"))
    head.stop()
    try:
        assert status_of(backend, ended) == end, "known without asking"
        with pytest.raises(BackendUnavailable):
            backend.status([waited])
        with pytest.raises(BackendUnavailable):
            backend.report()
    finally:
        head.start()
    for handle in (ran, waited):
        lost = end_of(backend, handle)
        assert (lost.state, lost.reason, lost.usage) == (RunState.LOST, EndReason.LOST, None)
    assert backend.submit([wanted]) == Submitted()
    assert status_of(backend, ran).state is RunState.LOST
    assert end_of(backend, start(backend, order(tmp_path, "true"))).exit_code == 0
    assert backend.log(ran, offset=0, limit=MIB).text == "began\n"
