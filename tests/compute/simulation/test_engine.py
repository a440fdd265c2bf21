"""The engine: it agrees with plain schedulers, keeps what policies promise, and loses no job."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from haihe.compute.simulation import line
from haihe.compute.simulation.engine import NOWHERE, Replay, replay
from haihe.compute.simulation.errors import NothingToRun
from haihe.compute.simulation.network import ModelledCentre, ModelledPool, Network, machine
from haihe.compute.simulation.policies import FAIR_S, WORK_S
from haihe.compute.simulation.synthetic import make_synthetic
from haihe.compute.simulation.workload import MILLI, RESOURCES, Workload, make_workload
from tests.compute.simulation.reference import Plain, plain_replay

PROCS = 8
ALL = ("fcfs", "easy", "haihe")
HOUR_S = 3_600


@st.composite
def workloads(draw: st.DrawFn, most: int = 40) -> Workload:
    """Small, crowded logs: many submissions at one instant, many ties, requests far off."""
    job = st.tuples(
        st.integers(0, 300),  # submitted
        st.one_of(st.integers(0, 5), st.integers(0, 200)),  # run
        st.one_of(st.just(0), st.integers(0, 400)),  # asked for beyond the run
        st.integers(1, PROCS),
        st.integers(0, 3),  # user
        st.integers(0, 1),  # organisation
    )
    rows = draw(st.lists(job, min_size=1, max_size=most))
    submit, run, more, size, user, organisation = np.array(rows).T
    scale = draw(st.sampled_from([1, 60, HOUR_S]))
    return make_workload(
        name="drawn",
        submit_s=submit * draw(st.sampled_from([0, 1, scale])),
        run_s=run * scale,
        requested_s=(run + more) * scale,
        cpu_milli=size * MILLI,
        user=user,
        organisation=organisation,
    )


def ends(done: Replay) -> np.ndarray:
    """When each job ended."""
    return np.asarray(done.start_s + done.workload.run_s)


@pytest.mark.parametrize("block_jobs", [2, 512])
@pytest.mark.parametrize("policy", ALL)
@settings(max_examples=35, deadline=None)
@given(workload=workloads())
def test_each_job_starts_when_it_does_under_a_plain_scheduler(
    policy: str, block_jobs: int, workload: Workload
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line, "BLOCK_JOBS", block_jobs)
        patch.setattr(line, "MAX_SIZE_CLASSES", block_jobs)
        fast = replay(workload, machine(PROCS), policy)
    assert fast.start_s.tolist() == plain_replay(workload, (PROCS * MILLI,), policy)


@pytest.mark.parametrize("policy", ALL)
@settings(max_examples=35, deadline=None)
@given(workload=workloads(), seed=st.integers(0, 99))
def test_so_it_is_with_several_resources(policy: str, workload: Workload, seed: int) -> None:
    random = np.random.default_rng(seed)
    columns = {
        **workload.columns,
        "memory_bytes": random.integers(0, 64, len(workload)) << 30,
        "gpu_milli": random.choice([0, 0, 250, 1_000, 4_000], len(workload)),
    }
    mixed = make_workload(name="mixed", **columns)
    pool = ModelledPool(slug="all", cpu=PROCS, memory_gib=64, gpus=4)
    network = Network(centre=(ModelledCentre(slug="one", pool=(pool,)),))
    used = tuple(name for name in RESOURCES if getattr(mixed, name).any())
    whole = tuple(getattr(pool.capacity, name) for name in used)
    fast = replay(mixed, network, policy)
    assert fast.start_s.tolist() == plain_replay(mixed, whole, policy, used)


@pytest.mark.parametrize("policy", ALL)
@settings(max_examples=35, deadline=None)
@given(workload=workloads())
def test_every_job_runs_after_its_submission_and_capacity_holds(
    policy: str, workload: Workload
) -> None:
    done = replay(workload, machine(PROCS), policy)
    assert done.ran.all()
    assert (done.start_s >= workload.submit_s).all()
    # In use just after each start; a job of no length occupies nothing.
    for moment in done.start_s:
        here = (done.start_s <= moment) & (ends(done) > moment)
        assert workload.cpu_milli[here].sum() <= PROCS * MILLI


@settings(max_examples=35, deadline=None)
@given(workload=workloads())
def test_back_filling_never_delays_the_head_that_easy_promised_a_start(workload: Workload) -> None:
    plain = Plain(workload, (PROCS * MILLI,), "easy")
    starts = plain.replay()
    assert all(starts[head] <= promised_s for _, head, _, promised_s in plain.overtook)
    assert replay(workload, machine(PROCS), "easy").start_s.tolist() == starts


@settings(max_examples=35, deadline=None)
@given(workload=workloads())
def test_fcfs_starts_in_the_order_of_submission(workload: Workload) -> None:
    assert (np.diff(replay(workload, machine(PROCS), "fcfs").start_s) >= 0).all()


@settings(max_examples=35, deadline=None)
@given(workload=workloads())
def test_nobody_starves_under_haihe(workload: Workload) -> None:
    """After its turn a job waits for those ahead of it, each at most the longest request."""
    plain = Plain(workload, (PROCS * MILLI,), "haihe")
    starts = plain.replay()
    turn = np.array(plain.turn_s)
    assert (turn <= workload.submit_s + WORK_S + FAIR_S).all()
    longest_s = workload.requested_s.max()
    order = np.lexsort((np.arange(len(workload)), turn))
    for place, job in enumerate(order):
        ahead = sum(starts[other] > turn[job] for other in order[:place])
        assert starts[job] <= turn[job] + (ahead + 1) * longest_s


def test_a_stream_of_small_jobs_does_not_starve_a_wide_one() -> None:
    """Smallest area first alone would let the wide job wait as long as the stream lasts."""
    days = 30
    submit = np.arange(0, days * 24 * 2) * HOUR_S / 2
    workload = make_workload(
        name="stream",
        submit_s=[0, *submit],
        run_s=[2 * HOUR_S, *np.full(submit.size, HOUR_S)],
        cpu_milli=np.array([PROCS, *np.full(submit.size, PROCS // 2)]) * MILLI,
        user=[0, *np.full(submit.size, 1)],
    )
    wide = int(np.flatnonzero(workload.cpu_milli == PROCS * MILLI)[0])
    done = replay(workload, machine(PROCS), "haihe")
    assert done.start_s[wide] <= WORK_S + FAIR_S + 3 * HOUR_S


def test_a_burst_of_one_organisation_waits_behind_a_single_job_of_another() -> None:
    burst = 40
    workload = make_workload(
        name="burst",
        submit_s=[*np.zeros(burst), HOUR_S],
        run_s=HOUR_S,
        cpu_milli=PROCS * MILLI,
        organisation=[*np.zeros(burst), 1],
    )
    single = burst
    place = {
        policy: int(
            np.argsort(replay(workload, machine(PROCS), policy).start_s).tolist().index(single)
        )
        for policy in ALL
    }
    assert place["fcfs"] == place["easy"] == burst
    assert place["haihe"] < burst // 4


def test_a_deadline_brings_a_job_forward() -> None:
    jobs = 10
    workload = make_workload(
        name="deadline",
        submit_s=np.arange(jobs),
        run_s=HOUR_S,
        cpu_milli=PROCS * MILLI,
        deadline_s=[*np.full(jobs - 1, np.inf), 3 * HOUR_S],
    )
    assert np.argsort(replay(workload, machine(PROCS), "haihe").start_s)[1] == jobs - 1


def test_the_same_replay_gives_the_same_starts() -> None:
    workload = make_synthetic(jobs=800, procs=64, load=1.0, seed=3)
    first, second = (replay(workload, machine(64), "haihe").start_s for _ in range(2))
    assert (first == second).all()


def test_the_scheduler_does_not_see_run_times_before_the_end() -> None:
    """Of two logs that differ only in how long a job runs, nothing before that differs."""
    workload = make_synthetic(jobs=400, procs=64, load=1.2, seed=5)
    before = replay(workload, machine(64), "haihe")
    job = int(np.argmax(workload.requested_s - workload.run_s))
    run_s = workload.run_s.copy()
    run_s[job] = workload.requested_s[job]
    columns = {**workload.columns, "run_s": run_s}
    after = replay(make_workload(name="longer", **columns), machine(64), "haihe")
    known_s = before.start_s[job] + workload.run_s[job]
    early = before.start_s < known_s
    assert early.sum() > 10
    assert (before.start_s[early] == after.start_s[early]).all()


# --- several pools ----------------------------------------------------------------------------


def two_centres(**second: object) -> Network:
    """A centre of CPUs and one of cards."""
    cpu = ModelledPool(slug="cpu", nodes=2, cpu=8, memory_gib=32)
    gpu = ModelledPool(slug="gpu", nodes=2, cpu=8, memory_gib=32, gpus=4, model="A100", **second)
    return Network(
        centre=(
            ModelledCentre(slug="north", pool=(cpu,)),
            ModelledCentre(slug="south", pool=(gpu,)),
        )
    )


def test_a_job_goes_where_its_resources_and_its_model_are() -> None:
    workload = make_workload(
        name="mixed",
        submit_s=np.arange(4),
        run_s=60,
        cpu_milli=1_000,
        gpu_milli=[0, 500, 1_000, 9_000],
        models=[0, 0, 2, 0],
        model_names=("A100", "H20"),
    )
    done = replay(workload, two_centres(), "easy")
    assert done.pool.tolist() == [0, 1, NOWHERE, NOWHERE]
    assert np.isnan(done.start_s[2:]).all()


@pytest.mark.parametrize(("objective", "pool"), [("soonest", 0), ("cheapest", 0), ("greenest", 1)])
def test_the_objective_decides_between_pools_that_could(objective: str, pool: int) -> None:
    network = Network(
        centre=(
            ModelledCentre(
                slug="cheap",
                carbon_g_per_kwh=800,
                pool=(ModelledPool(slug="a", cpu=8, cpu_hour_cny="0.1", busy_w=100),),
            ),
            ModelledCentre(
                slug="green",
                carbon_g_per_kwh=20,
                pool=(ModelledPool(slug="a", cpu=8, cpu_hour_cny="0.4", busy_w=100),),
            ),
        )
    )
    workload = make_workload(name="two", submit_s=[0, 1], run_s=60, cpu_milli=8_000)
    done = replay(workload, network, "easy", objective=objective)  # type: ignore[arg-type]
    assert done.pool[0] == pool
    # Soonest goes to the idle pool; the other objectives queue.
    assert done.pool[1] == (1 if objective == "soonest" else pool)


@settings(max_examples=35, deadline=None)
@given(workload=workloads(), seed=st.integers(0, 9), policy=st.sampled_from(ALL))
@example(
    workload=make_workload(name="none", submit_s=0, run_s=0, cpu_milli=1), seed=0, policy="easy"
)
def test_no_resource_of_any_pool_is_exceeded(workload: Workload, seed: int, policy: str) -> None:
    random = np.random.default_rng(seed)
    count = len(workload)
    columns = {
        **workload.columns,
        "memory_bytes": random.integers(0, 48, count) << 30,
        "gpu_milli": random.choice([0, 0, 250, 1_000, 4_000], count),
    }
    mixed = make_workload(name="mixed", **columns)
    network = two_centres()
    done = replay(mixed, network, policy)
    assert done.ran.all()
    assert (done.start_s >= mixed.submit_s).all()
    for number, (_, _, pool) in enumerate(network.pools):
        for moment in done.start_s[done.pool == number]:
            here = (done.pool == number) & (done.start_s <= moment) & (ends(done) > moment)
            for name in ("cpu_milli", "memory_bytes", "gpu_milli"):
                assert getattr(mixed, name)[here].sum() <= getattr(pool.capacity, name)


def test_a_trace_that_fits_nowhere_is_refused() -> None:
    workload = make_workload(name="wide", submit_s=[0, 1], run_s=1, cpu_milli=9_000)
    with pytest.raises(NothingToRun, match="None of the 2 jobs of wide"):
        replay(workload, machine(PROCS), "fcfs")
