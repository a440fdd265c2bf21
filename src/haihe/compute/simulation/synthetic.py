"""Synthetic logs: a made workload where there is no real one, or where a known load is wanted.

Sizes and run times follow the model of U. Lublin and D. Feitelson ("The workload on parallel
supercomputers", J. Parallel and Distributed Computing 63, 2003) with its published parameters:
a share of jobs on one processor, most others on a power of two, the logarithm of the size from a
two-stage uniform distribution, and the logarithm of the run time from a hyper-gamma distribution
whose mix depends on the size.

What the model leaves out and a scheduler that learns from its users needs is added: people with
different amounts of work, who run the same few programs again and again in sessions, belong to
organisations, and ask for round times that are mostly too long (after D. Tsafrir, Y. Etsion and
D. Feitelson, "Modeling user runtime estimates", 2005). Arrivals have a daily and a weekly cycle
and are scaled to the load that is asked for.
"""

from __future__ import annotations

import numpy as np

from haihe.compute.simulation.errors import BadWorkload
from haihe.compute.simulation.workload import MAX_JOBS, MILLI, Floats, Ints, Workload, make_workload

DAY_S = 86_400.0
MAX_RUN_S = 2.5 * DAY_S

# Lublin and Feitelson, table of parameters for batch jobs.
SERIAL, POWER_OF_TWO = 0.244, 0.576
SIZE_LOW, SIZE_MIDDLE, SIZE_SPLIT = 0.8, 4.5, 0.86
SHORT_RUNS, LONG_RUNS = (4.2, 0.94), (312.0, 0.03)
SHORT_SHARE_SLOPE, SHORT_SHARE = -0.0054, 0.78

PEOPLE_PER_ORGANISATION = 6
PROGRAMS_PER_PERSON = 8
SESSION_JOBS = 8.0  # mean length of a session, geometric
SESSION_GAP_S = 240.0  # mean time between two jobs of a session
AWAITED = 0.5  # the share of sessions in which a job follows the end of the one before
SPREAD_OF_RUNS = 0.45  # of the logarithm of the run time, within one program
ASKED_MINUTES = np.array(
    [5, 10, 15, 30, 60, 120, 180, 240, 360, 480, 720, 1080, 1440, 2160, 2880, 3600]
)
EXACT_REQUESTS = 0.1
MOST_SAFETY = 12.0


def make_synthetic(*, jobs: int, procs: int, load: float, seed: int) -> Workload:
    """A log of ``jobs`` jobs whose work is ``load`` of what ``procs`` processors could do.

    The same arguments give the same log.
    """
    if not 1 <= jobs <= MAX_JOBS:
        raise BadWorkload(field="jobs", rule=f"must be 1 to {MAX_JOBS}")
    if not 1 <= procs <= 1 << 24:
        raise BadWorkload(field="procs", rule=f"must be 1 to {1 << 24}")
    if not 0.01 <= load <= 10:
        raise BadWorkload(field="load", rule="must be 0.01 to 10")
    random = np.random.default_rng(seed)
    people = max(4, int(3 * jobs**0.4))
    programs = people * PROGRAMS_PER_PERSON
    program_size = _sizes(random, programs, procs)
    program_run_s = _run_times(random, program_size)
    program_safety = np.exp(random.uniform(np.log(1.2), np.log(MOST_SAFETY), programs))

    session = _sessions(random, jobs)
    person = random.choice(people, session.max() + 1, p=_activity(people))[session]
    program = person * PROGRAMS_PER_PERSON + random.choice(
        PROGRAMS_PER_PERSON, session.max() + 1, p=_activity(PROGRAMS_PER_PERSON)
    )[session]  # fmt: skip
    spread = np.exp(random.normal(0, SPREAD_OF_RUNS, jobs))
    run_s = np.clip(np.rint(program_run_s[program] * spread), 1, MAX_RUN_S)
    size = program_size[program]
    return make_workload(
        name=f"synthetic, {jobs} jobs, {procs} processors, load {load:g}, seed {seed}",
        submit_s=_submissions(random, session, run_s, span_s=float(run_s @ size) / procs / load),
        run_s=run_s,
        requested_s=_requests(random, run_s, (program_run_s * program_safety)[program]),
        cpu_milli=size * MILLI,
        user=person,
        organisation=person // PEOPLE_PER_ORGANISATION,
    )


def _sizes(random: np.random.Generator, count: int, procs: int) -> Ints:
    high = np.log2(procs)
    middle = max(min(SIZE_MIDDLE, high - 0.5), 0.0)
    low = min(SIZE_LOW, middle)
    small = random.random(count) < SIZE_SPLIT
    log_size = np.where(
        small, random.uniform(low, middle, count), random.uniform(middle, max(high, middle), count)
    )
    log_size = np.where(random.random(count) < POWER_OF_TWO, np.rint(log_size), log_size)
    size = np.where(random.random(count) < SERIAL, 1.0, np.rint(2.0**log_size))
    return np.clip(size, 1, procs).astype(np.int64)


def _run_times(random: np.random.Generator, size: Ints) -> Floats:
    short = random.random(size.size) < np.clip(SHORT_SHARE_SLOPE * size + SHORT_SHARE, 0.05, 1)
    logarithm = np.where(
        short, random.gamma(*SHORT_RUNS, size.size), random.gamma(*LONG_RUNS, size.size)
    )
    return np.asarray(np.exp(np.minimum(logarithm, np.log(MAX_RUN_S))))


def _activity(count: int) -> Floats:
    """Shares of a whole by Zipf's law: few do most."""
    weight = 1.0 / np.arange(1, count + 1)
    return np.asarray(weight / weight.sum())


def _sessions(random: np.random.Generator, jobs: int) -> Ints:
    """The session of each job: runs of one number, geometric in length."""
    begins = random.random(jobs) < 1 / SESSION_JOBS
    begins[0] = True
    return np.cumsum(begins) - 1


def _submissions(
    random: np.random.Generator, session: Ints, run_s: Floats, *, span_s: float
) -> Floats:
    """Sessions begin by the hour of the day and the day of the week; their jobs follow closely,
    or each when the one before would have ended on an empty machine.
    """
    begins = _warp(np.sort(random.uniform(0, span_s, int(session.max()) + 1)))
    awaited = random.random(begins.size) < AWAITED
    gaps = random.exponential(SESSION_GAP_S, session.size)
    gaps[1:] += np.where(awaited[session[1:]], run_s[:-1], 0)
    first = np.flatnonzero(np.diff(session, prepend=-1))
    gaps[first] = 0
    passed = np.cumsum(gaps)
    return np.asarray(np.rint(begins[session] + passed - passed[first][session]))


def _warp(at_s: Floats) -> Floats:
    """Move instants so that there are more by day than by night, and fewer at the weekend."""
    hours = np.arange(0, 7 * 24 + 1)
    rate = 1 + 0.75 * np.sin((hours[:-1] % 24 - 8) / 24 * 2 * np.pi)
    rate = np.where(hours[:-1] >= 5 * 24, 0.55 * rate, rate)
    weight = np.concatenate([[0.0], np.cumsum(rate)])
    week_s = 7 * DAY_S
    part = np.interp(at_s % week_s / week_s, weight / weight[-1], hours / hours[-1])
    return np.asarray((at_s // week_s + part) * week_s)


def _requests(random: np.random.Generator, run_s: Floats, typical_s: Floats) -> Floats:
    """Round times not below the run; a few people know theirs exactly."""
    wanted = np.maximum(run_s, typical_s)
    choices = ASKED_MINUTES * 60.0
    place = np.minimum(np.searchsorted(choices, wanted), choices.size - 1)
    asked = np.maximum(choices[place], run_s)
    return np.where(random.random(run_s.size) < EXACT_REQUESTS, run_s, asked)
