"""The trial engine: a state machine that carries out a session's plan.

It is driven by a clock that is handed in, and knows neither screen nor signal. All that happens is
an event; the state is a function of the plan and the events, so that a session is continued after
a crash by replaying what was recorded. A phase begins when the one before was due to end, not when
somebody looked, so that times do not drift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from bci_rehab.errors import StepNotAllowed
from bci_rehab.session import events as ev
from bci_rehab.session.events import Event, Outcome
from bci_rehab.session.plan import (
    Phase,
    Segment,
    SegmentKind,
    SessionPlan,
    Side,
    Trial,
    segments_of,
)

# A look that comes later than this finds that the patient saw the phase before for longer; what
# follows then begins at the look, and nothing is shown for no time.
PUNCTUAL_S = 0.1
STEPS_LIMIT = 16
# Of so many trials at chance, so few right ones have a probability under 1 in 1,000.
CONTRADICTS_TRIALS = 14
CONTRADICTS_RIGHT = 1
_RUNS = (SegmentKind.CALIBRATION, SegmentKind.FEEDBACK)
_EventT = TypeVar("_EventT", bound=Event)


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """How a trial ended. ``decided`` is None where nothing was, ``after_s`` counts from ACTIVE."""

    run: int
    kind: SegmentKind
    number: int
    side: Side
    outcome: Outcome | None
    decided: Side | None
    after_s: float
    skipped: bool = False


@dataclass(frozen=True, kw_only=True)
class State:
    """Where a session stands. ``ends_s`` is when the present part is due to end."""

    begun: bool = False
    segment: int = 0
    trial: int = 0
    attempt: int = 1
    phase: Phase | None = None
    begins_s: float = 0.0
    ends_s: float = 0.0
    signal_good: bool = False
    paused: bool = False
    ended: str = ""
    outcome: Outcome | None = None
    stray_triggers: int = 0
    time_on_task_s: float = 0.0
    results: tuple[TrialResult, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Cue:
    """What the patient's page shows now. ``side`` and ``trial`` are there within a run."""

    kind: str
    side: Side | None
    begins_s: float
    ends_s: float
    trial: int | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a session came to. The false triggers' rate is per minute of feedback trials' time."""

    trials: int
    hits: int
    misses: int
    wrong: int
    quiet: int
    false_triggers: int
    skipped: int
    calibration_trials: int
    time_on_task_s: float


class Engine:
    """Carries out ``plan``, from its beginning or from the ``events`` that were recorded."""

    def __init__(self, plan: SessionPlan, events: Iterable[Event] = ()) -> None:
        self.plan = plan
        self.segments = segments_of(plan)
        self.state = State()
        for event in events:
            self.state = applied(self.segments, plan, self.state, event)

    @property
    def segment(self) -> Segment:
        """The present part of the session."""
        return self.segments[self.state.segment]

    @property
    def running(self) -> bool:
        """Whether it has begun, is not paused, and has not ended."""
        return self.state.begun and not self.state.paused and not self.state.ended

    @property
    def cue(self) -> Cue:
        """What the page shows now."""
        state = self.state
        kind = state.phase.value if state.phase else self.segment.kind.value
        if not state.begun or state.paused or state.ended:
            kind = state.ended or ("paused" if state.paused else "waiting")
        trial = self._trial()
        return Cue(
            kind=kind,
            side=trial.side if trial else None,
            begins_s=state.begins_s,
            ends_s=state.ends_s,
            trial=trial.number if trial else None,
        )

    @property
    def wants_movement(self) -> bool:
        """Whether the actuator is to move: in the feedback of a trial that was a hit."""
        in_feedback = self.running and self.state.phase is Phase.FEEDBACK
        return in_feedback and self.state.outcome is Outcome.HIT

    def begin(self, now_s: float) -> list[Event]:
        """Begin with the check of the signal."""
        self._allow("begin", not self.state.begun)
        return [self._emit(ev.Began(at_s=now_s))]

    def tick(self, now_s: float, *, signal_good: bool) -> list[Event]:
        """Carry out all that is due by now. Call it at least every 20 ms."""
        made: list[Event] = []
        for _ in range(STEPS_LIMIT):
            due = self._due(now_s, signal_good) if self.running else None
            if due is None:
                break
            made.append(self._emit(due))
        return made

    def trigger(self, side: Side, now_s: float) -> list[Event]:
        """The decoder decided for ``side``. Only in a feedback run is that of consequence."""
        counted = self.running and self.segment.kind is SegmentKind.FEEDBACK
        if not counted or side is Side.REST:
            return []
        trial = self._trial()
        outcome = Outcome.FALSE_TRIGGER
        if self.state.phase is Phase.ACTIVE and trial and trial.side is not Side.REST:
            outcome = Outcome.HIT if trial.side is side else Outcome.WRONG
        return [self._emit(ev.Triggered(at_s=now_s, side=side, outcome=outcome))]

    def pause(self, now_s: float, why: str = "") -> list[Event]:
        """Hold the session; a trial that is broken off is repeated later."""
        self._allow("pause", self.running)
        return [self._emit(ev.Paused(at_s=now_s, why=why))]

    def resume(self, now_s: float) -> list[Event]:
        """Go on after a pause or a crash."""
        self._allow("resume", self.state.paused and not self.state.ended)
        return [self._emit(ev.Resumed(at_s=now_s))]

    def skip(self, now_s: float) -> list[Event]:
        """Leave out the present trial, rest or break. The check is never left out."""
        ordinary = self.segment.kind not in (SegmentKind.CHECK, SegmentKind.SUMMARY)
        self._allow("skip", self.running and ordinary)
        return [self._emit(ev.Skipped(at_s=now_s))]

    def abort(self, now_s: float, why: str = "") -> list[Event]:
        """End the session now."""
        self._allow("abort", self.state.begun and not self.state.ended)
        return [self._emit(ev.Aborted(at_s=now_s, why=why))]

    def halt(self, now_s: float, why: str = "") -> list[Event]:
        """End the session for good, begun or not: the patient may not train any more."""
        return [] if self.state.ended else [self._emit(ev.Aborted(at_s=now_s, why=why))]

    def recover(self, now_s: float) -> list[Event]:
        """Take over from a process that died; the session is paused then."""
        self._allow("recover", self.state.begun and not self.state.ended)
        return [self._emit(ev.Recovered(at_s=now_s))]

    def summary(self) -> Summary:
        """What it came to so far."""
        results = self.state.results
        done = [r for r in results if r.kind is SegmentKind.FEEDBACK and not r.skipped]

        def count(outcome: Outcome) -> int:
            return sum(result.outcome is outcome for result in done)

        return Summary(
            trials=len(done),
            hits=count(Outcome.HIT),
            misses=count(Outcome.MISS),
            wrong=count(Outcome.WRONG),
            quiet=count(Outcome.QUIET),
            false_triggers=count(Outcome.FALSE_TRIGGER) + self.state.stray_triggers,
            skipped=sum(result.skipped for result in results),
            calibration_trials=sum(
                r.kind is SegmentKind.CALIBRATION and not r.skipped for r in results
            ),
            time_on_task_s=self.state.time_on_task_s,
        )

    def _trial(self) -> Trial | None:
        trials = self.segment.trials
        return trials[self.state.trial] if self.state.trial < len(trials) else None

    def _allow(self, step: str, allowed: bool) -> None:
        if not allowed:
            raise StepNotAllowed(state=self.cue.kind, step=step)

    def _emit(self, event: _EventT) -> _EventT:
        self.state = applied(self.segments, self.plan, self.state, event)
        return event

    def _due(self, now_s: float, signal_good: bool) -> Event | None:
        """The next event that is due by now."""
        state, kind = self.state, self.segment.kind
        if kind is SegmentKind.CHECK and signal_good != state.signal_good:
            return ev.SignalTurned(at_s=now_s, good=signal_good)
        if kind is SegmentKind.SUMMARY:
            return ev.Finished(at_s=now_s)
        if now_s < state.ends_s or (kind is SegmentKind.CHECK and not state.signal_good):
            return None
        at_s = state.ends_s if now_s - state.ends_s <= PUNCTUAL_S else now_s
        if kind not in _RUNS:
            return ev.SegmentBegan(at_s=at_s, segment=state.segment + 1)
        return self._due_in_run(at_s)

    def _due_in_run(self, at_s: float) -> Event:
        state = self.state
        trial = self._trial()
        if trial is None:
            return ev.SegmentBegan(at_s=at_s, segment=state.segment + 1)
        feedback = self.segment.kind is SegmentKind.FEEDBACK
        if feedback and state.phase is Phase.ACTIVE and state.outcome is None:
            quiet = trial.side is Side.REST
            return ev.TimedOut(at_s=at_s, outcome=Outcome.QUIET if quiet else Outcome.MISS)
        after = _AFTER[state.phase]
        if after is Phase.FEEDBACK and not feedback:
            after = Phase.PAUSE
        number = state.trial
        if after is Phase.FIXATION and state.phase is Phase.PAUSE:
            number += 1
            if number >= len(self.segment.trials):
                return ev.SegmentBegan(at_s=at_s, segment=state.segment + 1)
        side = self.segment.trials[number].side
        attempt = state.attempt if number == state.trial else 1
        return ev.PhaseBegan(at_s=at_s, trial=number, phase=after, attempt=attempt, side=side)


_AFTER: dict[Phase | None, Phase] = {
    None: Phase.FIXATION,
    Phase.FIXATION: Phase.CUE,
    Phase.CUE: Phase.ACTIVE,
    Phase.ACTIVE: Phase.FEEDBACK,
    Phase.FEEDBACK: Phase.PAUSE,
    Phase.PAUSE: Phase.FIXATION,
}


def contradicts(engine: Engine) -> bool:
    """Whether the last feedback trials are so much worse than chance that labels must be swapped.

    A decoder that has learnt nothing is right in half of the trials of two classes. One that is
    almost never right knows the answer, and says the other one. The trials are those of the
    present run, so that after a correction a new run begins without them.
    """
    results = [r for r in engine.state.results if r.run == engine.segment.run and not r.skipped]
    decided = [r for r in results[-CONTRADICTS_TRIALS:] if r.kind is SegmentKind.FEEDBACK]
    right = sum(result.outcome in (Outcome.HIT, Outcome.QUIET) for result in decided)
    told = sum(r.outcome in (Outcome.WRONG, Outcome.FALSE_TRIGGER) for r in decided)
    # Silence is not contradiction: half of what is wrong must be decisions.
    enough = len(decided) == CONTRADICTS_TRIALS and 2 * told >= len(decided) - right
    return enough and right <= CONTRADICTS_RIGHT


def applied(segments: tuple[Segment, ...], plan: SessionPlan, state: State, event: Event) -> State:
    """The state after ``event``. Total: it is also how a recorded session is replayed."""
    return _APPLY[type(event)](_Scene(segments, plan), state, event)


@dataclass(frozen=True)
class _Scene:
    segments: tuple[Segment, ...]
    plan: SessionPlan

    def into(self, state: State, number: int, at_s: float) -> State:
        """The state at the beginning of a segment."""
        lasts_s = self.segments[number].lasts_s
        return replace(
            state, segment=number, trial=0, attempt=1, phase=None, outcome=None,
            begins_s=at_s, ends_s=at_s + lasts_s,
        )  # fmt: skip

    def lasts_s(self, state: State, phase: Phase, trial: int) -> float:
        timings = self.plan.timings
        return {
            Phase.FIXATION: timings.fixation_s,
            Phase.CUE: timings.cue_s,
            Phase.ACTIVE: timings.active_s,
            Phase.FEEDBACK: timings.feedback_s,
            Phase.PAUSE: self.segments[state.segment].trials[trial].pause_s,
        }[phase]

    def result(self, state: State, at_s: float, **known: object) -> TrialResult:
        segment = self.segments[state.segment]
        trial = segment.trials[state.trial]
        began = state.phase is Phase.ACTIVE
        fields: dict[str, object] = {
            "run": segment.run, "kind": segment.kind, "number": trial.number, "side": trial.side,
            "outcome": None, "decided": None, "after_s": at_s - state.begins_s if began else 0.0,
            **known,
        }  # fmt: skip
        return TrialResult(**fields)  # type: ignore[arg-type]


def _began(scene: _Scene, state: State, event: Event) -> State:
    return scene.into(replace(state, begun=True), 0, event.at_s)


def _signal_turned(scene: _Scene, state: State, event: Event) -> State:
    assert isinstance(event, ev.SignalTurned)
    lasts_s = scene.segments[state.segment].lasts_s
    return replace(state, signal_good=event.good, begins_s=event.at_s, ends_s=event.at_s + lasts_s)


def _segment_began(scene: _Scene, state: State, event: Event) -> State:
    assert isinstance(event, ev.SegmentBegan)
    return scene.into(_with_calibration(scene, state, event.at_s), event.segment, event.at_s)


def _phase_began(scene: _Scene, state: State, event: Event) -> State:
    assert isinstance(event, ev.PhaseBegan)
    state = _with_calibration(scene, state, event.at_s)
    if event.phase is Phase.FIXATION:
        state = replace(state, outcome=None)
    return replace(
        state, trial=event.trial, phase=event.phase, attempt=event.attempt,
        begins_s=event.at_s, ends_s=event.at_s + scene.lasts_s(state, event.phase, event.trial),
    )  # fmt: skip


def _with_calibration(scene: _Scene, state: State, at_s: float) -> State:
    """A calibration trial is complete when its active phase ends; it has no outcome."""
    calibration = scene.segments[state.segment].kind is SegmentKind.CALIBRATION
    if not calibration or state.phase is not Phase.ACTIVE:
        return state
    return replace(
        state,
        results=(*state.results, scene.result(state, at_s)),
        time_on_task_s=state.time_on_task_s + at_s - state.begins_s,
    )


def _decided(scene: _Scene, state: State, event: Event) -> State:
    """A trial of a feedback run is decided, or timed out; its feedback is due at once."""
    assert isinstance(event, ev.Triggered | ev.TimedOut)
    if state.phase is not Phase.ACTIVE or state.outcome is not None:
        return replace(state, stray_triggers=state.stray_triggers + 1)
    decided = event.side if isinstance(event, ev.Triggered) else None
    result = scene.result(state, event.at_s, outcome=event.outcome, decided=decided)
    return replace(
        state, outcome=event.outcome, ends_s=event.at_s,
        results=(*state.results, result),
        time_on_task_s=state.time_on_task_s + event.at_s - state.begins_s,
    )  # fmt: skip


def _paused(scene: _Scene, state: State, event: Event) -> State:
    del scene, event
    return replace(state, paused=True, signal_good=False)


def _resumed(scene: _Scene, state: State, event: Event) -> State:
    """A broken trial is repeated, one that was decided is done; other parts begin anew."""
    state = replace(state, paused=False)
    segment = scene.segments[state.segment]
    if segment.kind not in _RUNS:
        # The pause was a break as well.
        lasts_s = 0.0 if segment.kind is SegmentKind.BREAK else segment.lasts_s
        return replace(state, begins_s=event.at_s, ends_s=event.at_s + lasts_s)
    if state.phase is None:
        return replace(state, begins_s=event.at_s, ends_s=event.at_s)
    done = state.outcome is not None or state.phase is Phase.PAUSE
    if done:
        return _next_trial(state, event.at_s)
    return replace(
        state, phase=None, attempt=state.attempt + 1, begins_s=event.at_s, ends_s=event.at_s
    )


def _skipped(scene: _Scene, state: State, event: Event) -> State:
    segment = scene.segments[state.segment]
    if segment.kind not in _RUNS:
        return scene.into(state, state.segment + 1, event.at_s)
    if state.trial >= len(segment.trials):
        return state
    done = state.outcome is not None or state.phase is Phase.PAUSE
    if not done:
        result = scene.result(state, event.at_s, skipped=True)
        state = replace(state, results=(*state.results, result))
    return _next_trial(state, event.at_s)


def _next_trial(state: State, at_s: float) -> State:
    return replace(
        state, trial=state.trial + 1, attempt=1, phase=None, outcome=None,
        begins_s=at_s, ends_s=at_s,
    )  # fmt: skip


def _aborted(scene: _Scene, state: State, event: Event) -> State:
    del scene, event
    return replace(state, ended="aborted", paused=False)


def _recovered(scene: _Scene, state: State, event: Event) -> State:
    return _paused(scene, state, event)


def _finished(scene: _Scene, state: State, event: Event) -> State:
    del scene, event
    return replace(state, ended="finished", paused=False)


_APPLY: dict[type[Event], Callable[[_Scene, State, Event], State]] = {
    ev.Began: _began,
    ev.SignalTurned: _signal_turned,
    ev.SegmentBegan: _segment_began,
    ev.PhaseBegan: _phase_began,
    ev.Triggered: _decided,
    ev.TimedOut: _decided,
    ev.Paused: _paused,
    ev.Resumed: _resumed,
    ev.Skipped: _skipped,
    ev.Aborted: _aborted,
    ev.Recovered: _recovered,
    ev.Finished: _finished,
}
