"""The trial engine: deterministic, drift-free, and a function of its log."""

import json
import random
from collections import Counter
from itertools import groupby, pairwise

import pytest
from bci_rehab.errors import PlanImpossible, StepNotAllowed
from bci_rehab.session import events as ev
from bci_rehab.session.engine import Engine
from bci_rehab.session.events import Outcome, event_from
from bci_rehab.session.plan import (
    Phase,
    SegmentKind,
    SessionPlan,
    Side,
    Timings,
    _built,
    segments_of,
    shuffled,
)
from hypothesis import given, settings
from hypothesis import strategies as st

FAST = Timings(
    check_s=0.5, rest_s=1.0, fixation_s=0.5, cue_s=0.5, active_s=2.0, feedback_s=1.0,
    pause_least_s=0.3, pause_most_s=0.8, break_s=2.0,
)  # fmt: skip
PLAN = SessionPlan(calibration_runs=1, feedback_runs=1, trials_per_side=2, timings=FAST, seed=3)
TICK_S = 0.02


def run(engine, now_s, *, until, decide=lambda engine, now_s: None):
    """Tick until a condition holds; the events and the time."""
    made = []
    for _ in range(1_000_000):
        if until(engine):
            return made, now_s
        made += engine.tick(now_s, signal_good=True)
        side = decide(engine, now_s)
        if side is not None:
            made += engine.trigger(side, now_s)
        now_s += TICK_S
    raise AssertionError("it never came to that")


def ended(engine):
    return bool(engine.state.ended)


def right_after_one_second(engine, now_s):
    state = engine.state
    if state.phase is Phase.ACTIVE and state.outcome is None and now_s - state.begins_s >= 1.0:
        return engine.cue.side
    return None


def begun(plan=PLAN):
    engine = Engine(plan)
    return engine, engine.begin(10.0)


def test_a_session_runs_through_its_parts_in_order():
    engine, events = begun()
    made, _ = run(engine, 10.0, until=ended, decide=right_after_one_second)
    events += made
    kinds = [engine.segments[0].kind] + [
        engine.segments[e.segment].kind for e in events if isinstance(e, ev.SegmentBegan)
    ]
    assert kinds == [
        SegmentKind.CHECK, SegmentKind.REST, SegmentKind.CALIBRATION, SegmentKind.BREAK,
        SegmentKind.FEEDBACK, SegmentKind.SUMMARY,
    ]  # fmt: skip
    summary = engine.summary()
    assert (summary.calibration_trials, summary.trials) == (4, 4)
    assert (summary.hits, summary.quiet, summary.false_triggers) == (2, 2, 0)
    assert engine.state.ended == "finished"


def test_the_same_plan_gives_the_same_session_and_another_seed_or_day_another():
    from dataclasses import replace

    plan = SessionPlan(seed=5, sessions=9)
    assert segments_of(plan) == segments_of(
        SessionPlan.from_json(json.loads(json.dumps(plan.to_json())))
    )
    assert segments_of(plan) != segments_of(replace(plan, seed=6))
    assert segments_of(plan) != segments_of(replace(plan, session=2))


def test_phases_follow_one_another_without_drift():
    engine, events = begun()
    made, _ = run(engine, 10.0, until=ended)
    phases = [e for e in events + made if isinstance(e, ev.PhaseBegan)]
    for before, after in pairwise(phases):
        if before.trial == after.trial and before.phase is Phase.CUE:
            assert after.at_s - before.at_s == pytest.approx(FAST.cue_s, abs=1e-9)


def test_a_late_look_shows_nothing_for_no_time():
    engine, _ = begun()
    run(engine, 10.0, until=lambda e: e.state.phase is Phase.FIXATION)
    late_s = engine.state.ends_s + 5.0
    made = engine.tick(late_s, signal_good=True)
    assert [(e.phase, e.at_s) for e in made] == [(Phase.CUE, late_s)]


def test_the_check_waits_until_the_signal_was_good_all_along():
    engine, _ = begun()
    assert engine.tick(100.0, signal_good=False) == []
    engine.tick(100.1, signal_good=True)
    engine.tick(100.5, signal_good=False)
    engine.tick(100.6, signal_good=True)
    engine.tick(101.0, signal_good=True)
    assert engine.segment.kind is SegmentKind.CHECK
    engine.tick(101.2, signal_good=True)
    assert engine.segment.kind is SegmentKind.REST


def test_it_moves_only_in_the_feedback_of_a_hit():
    engine, _ = begun()
    moved = []

    def watch(engine, now_s):
        if engine.wants_movement:
            moved.append((engine.state.phase, engine.state.outcome))
        return right_after_one_second(engine, now_s)

    run(engine, 10.0, until=ended, decide=watch)
    assert set(moved) == {(Phase.FEEDBACK, Outcome.HIT)}
    assert len(moved) * TICK_S == pytest.approx(2 * FAST.feedback_s, abs=0.1)


def test_triggers_at_the_wrong_time_or_for_the_wrong_side_are_told_apart():
    engine, _ = begun()
    _, now_s = run(
        engine, 10.0, until=lambda e: e.segment.kind is SegmentKind.FEEDBACK and e.state.phase
    )
    (stray,) = engine.trigger(Side.RIGHT, now_s)
    assert stray.outcome is Outcome.FALSE_TRIGGER
    assert engine.trigger(Side.REST, now_s) == []
    seen = {}
    for _ in range(4):
        _, now_s = run(engine, now_s, until=lambda e: e.state.phase is Phase.ACTIVE)
        side = engine.cue.side
        (told,) = engine.trigger(Side.LEFT, now_s)
        seen[side] = told.outcome
        _, now_s = run(engine, now_s, until=lambda e: e.state.phase is not Phase.ACTIVE)
    assert seen == {Side.RIGHT: Outcome.WRONG, Side.REST: Outcome.FALSE_TRIGGER}
    assert engine.summary().false_triggers == 3


def test_a_trial_that_was_paused_is_repeated_and_one_that_was_decided_is_not():
    engine, _ = begun()
    _, now_s = run(engine, 10.0, until=lambda e: e.state.phase is Phase.ACTIVE)
    trial = engine.cue.trial
    engine.pause(now_s, "the telephone")
    assert engine.cue.kind == "paused"
    assert engine.tick(now_s + 60, signal_good=True) == []
    engine.resume(now_s + 60)
    (again, *_) = engine.tick(now_s + 60, signal_good=True)
    assert (engine.cue.trial, again.phase, again.attempt) == (trial, Phase.FIXATION, 2)
    _, now_s = run(engine, now_s + 60, until=lambda e: e.state.phase is Phase.PAUSE)
    engine.pause(now_s)
    engine.resume(now_s + 1)
    engine.tick(now_s + 1, signal_good=True)
    assert engine.cue.trial == trial + 1


def test_a_trial_and_a_break_can_be_skipped_and_the_check_cannot():
    engine, _ = begun()
    with pytest.raises(StepNotAllowed):
        engine.skip(10.1)
    _, now_s = run(engine, 10.0, until=lambda e: e.segment.kind is SegmentKind.REST)
    engine.skip(now_s)
    assert engine.segment.kind is SegmentKind.CALIBRATION
    _, now_s = run(engine, now_s, until=lambda e: e.state.phase is Phase.CUE)
    engine.skip(now_s)
    _, now_s = run(engine, now_s, until=lambda e: e.segment.kind is SegmentKind.BREAK)
    engine.skip(now_s)
    run(engine, now_s, until=ended)
    assert engine.summary().skipped == 1
    assert engine.summary().calibration_trials == 3


@pytest.mark.parametrize("step", ["pause", "resume", "skip", "abort", "recover"])
def test_before_it_begins_nothing_else_is_allowed(step):
    with pytest.raises(StepNotAllowed, match="waiting"):
        getattr(Engine(PLAN), step)(1.0)


def test_after_its_end_nothing_is_allowed():
    engine, _ = begun()
    engine.abort(11.0, "the patient is tired")
    assert engine.cue.kind == "aborted"
    for step in ("begin", "pause", "resume", "skip", "abort", "recover"):
        with pytest.raises(StepNotAllowed):
            getattr(engine, step)(12.0)
    assert engine.tick(20.0, signal_good=True) == []


def test_after_a_crash_it_goes_on_with_the_trial_that_was_broken_off():
    engine, events = begun()
    made, now_s = run(
        engine, 10.0,
        until=lambda e: e.segment.kind is SegmentKind.FEEDBACK and e.state.phase is Phase.ACTIVE,
    )  # fmt: skip
    log = [json.loads(json.dumps(event.to_json())) for event in events + made]
    again = Engine(PLAN, [event_from(said) for said in log])
    assert again.state == engine.state
    again.recover(0.5)  # the machine was restarted, and its clock with it
    assert again.cue.kind == "paused"
    again.resume(1.0)
    run(again, 1.0, until=ended, decide=right_after_one_second)
    assert again.summary().trials == 4
    assert again.summary().time_on_task_s < 4 * 2.0 + 4 * 2.0 + 0.1


actions = st.lists(
    st.tuples(
        st.sampled_from(
            ["tick"] * 6
            + ["bad signal", "left", "right", "pause", "resume", "skip", "recover", "abort"]
        ),
        st.sampled_from([0.02, 0.3, 1.0, 2.5]),
    ),
    max_size=120,
)


@settings(deadline=None)
@given(actions, st.integers(0, 5))
def test_replaying_the_log_gives_the_state_at_every_point(actions, seed):
    plan = SessionPlan(
        calibration_runs=1, feedback_runs=2, trials_per_side=2, timings=FAST, seed=seed
    )
    engine = Engine(plan)
    now_s, log = 10.0, [*engine.begin(10.0)]
    for action, passes_s in actions:
        now_s += passes_s
        try:
            if action in ("tick", "bad signal"):
                log += engine.tick(now_s, signal_good=action == "tick")
            elif action in ("left", "right"):
                log += engine.trigger(Side(action), now_s)
            else:
                log += getattr(engine, action)(now_s)
        except StepNotAllowed:
            pass
        assert Engine(plan, [event_from(e.to_json()) for e in log]).state == engine.state
        if not engine.running:
            assert not engine.wants_movement
    numbers = [result.number for result in engine.state.results]
    assert numbers == sorted(set(numbers)), "each trial counts once, in order"
    assert engine.state.time_on_task_s >= 0.0


@given(st.integers(2, 4), st.integers(1, 40), st.integers(2, 4), st.integers(0, 999))
def test_every_order_is_balanced_and_without_long_repeats(classes, times, most, seed):
    source = random.Random(seed)
    sides = tuple(Side)[:classes]
    for order in (shuffled(sides, times, most, source), _built(sides, times, most, source)):
        assert Counter(order) == dict.fromkeys(sides, times)
        assert max(len(list(group)) for _, group in groupby(order)) <= most


@pytest.mark.parametrize(
    "impossible",
    [
        {"sides": (Side.LEFT,)},
        {"sides": (Side.LEFT, Side.LEFT)},
        {"hand": Side.FEET},
        {"session": 2},
        {"trials_per_side": 0},
        {"trials_per_side": 101},
        {"calibration_runs": 0, "feedback_runs": 0},
        {"calibration_runs": -1},
        {"max_repeats": 1},
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(impossible):
    with pytest.raises(PlanImpossible):
        SessionPlan(**impossible)


@pytest.mark.parametrize("timing", [{"cue_s": 0.0}, {"rest_s": float("nan")}, {"pause_least_s": 9}])
def test_times_that_cannot_be_are_refused(timing):
    with pytest.raises(PlanImpossible):
        Timings(**timing)
