"""The interlock and the dead man: pure, and checked against every sequence of inputs."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from bci_rehab.errors import LimitsUnsafe, NotArmable
from bci_rehab.session.deadman import DeadMan
from bci_rehab.session.interlock import (
    LATCHED,
    STOP_WITHIN_S,
    Fault,
    Interlock,
    Limits,
    Observed,
    Permit,
    StopReason,
)
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

WELL = Observed(
    data_age_s=0.01,
    lost_share=0.0,
    bad_channels=0,
    decoder_age_s=0.0,
    page_age_s=0.01,
    recorder_behind_s=0.0,
)


def armed(**limits):
    interlock = Interlock(Limits(**limits))
    interlock.arm(10.0, WELL)
    return interlock


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"data_age_s": 0.2}, StopReason.DATA_STALE),
        ({"data_age_s": math.nan}, StopReason.DATA_STALE),
        ({"data_age_s": math.inf}, StopReason.DATA_STALE),
        ({"lost_share": 0.051}, StopReason.SAMPLES_LOST),
        ({"lost_share": math.nan}, StopReason.SAMPLES_LOST),
        ({"bad_channels": 3}, StopReason.CHANNELS_BAD),
        ({"decoder_age_s": 0.19}, StopReason.DECODER_LATE),
        ({"page_age_s": 0.19}, StopReason.PAGE_CLOSED),
        ({"recorder_behind_s": 0.6}, StopReason.RECORDER_FAILED),
        (
            {"faults": (Fault(reason=StopReason.DECODER_FAILED, cause_s=10.0),)},
            StopReason.DECODER_FAILED,
        ),
    ],
)
def test_each_condition_stops_keeps_it_stopped_and_is_logged(change, reason):
    interlock = armed()
    assert interlock.step(10.02, WELL, 0.8).level == 0.8
    stopped = interlock.step(10.04, replace(WELL, **change), 0.8)
    assert (stopped.level, stopped.reason) == (0.0, reason)
    assert interlock.step(10.06, WELL, 0.8).level == 0.0, "only a person arms again"
    (stop,) = interlock.stops
    assert stop.reason is reason
    assert stop.was_on
    assert stop.reason.latched
    assert stop.reason.words.endswith(".")


def test_it_is_off_until_it_is_armed():
    permit = Interlock(Limits()).step(1.0, WELL, 1.0)
    assert (permit.level, permit.reason) == (0.0, StopReason.NOT_ARMED)


def test_it_cannot_be_armed_while_something_stands_and_says_all_of_it():
    interlock = Interlock(Limits())
    with pytest.raises(NotArmable) as refused:
        interlock.arm(1.0, replace(WELL, data_age_s=2.0, bad_channels=9))
    assert "data_stale 2000 ms" in str(refused.value)
    assert "channels_bad 9 channels" in str(refused.value)
    assert not interlock.armed


def test_a_pause_of_the_session_is_itself_a_stop():
    interlock = armed()
    interlock.step(10.02, WELL, 0.8)
    assert interlock.step(10.25, WELL, 0.8).reason is StopReason.PERMIT_LATE
    assert interlock.stops[-1].cause_s == 10.02


@pytest.mark.parametrize("level", [math.nan, -1.0, math.inf])
def test_a_level_that_cannot_be_is_no_level(level):
    assert armed().step(10.02, WELL, level).level == 0.0


def test_a_level_above_one_is_one():
    assert armed().step(10.02, WELL, 3.0).level == 1.0


def test_the_latency_runs_from_the_cause_to_the_drivers_off():
    interlock = armed()
    interlock.step(10.02, WELL, 0.8)
    interlock.step(10.20, replace(WELL, data_age_s=0.19), 0.8)
    assert interlock.stops[-1].latency_ms is None
    (stop,) = interlock.confirm_off(10.21)
    assert stop.latency_ms == pytest.approx(200.0)
    assert interlock.confirm_off(10.3) == []


def test_a_persons_stop_is_logged_also_when_it_was_off():
    interlock = Interlock(Limits())
    interlock.stop(StopReason.EMERGENCY_KEY, 3.0)
    assert [stop.latency_ms for stop in interlock.stops] == [0.0]


@pytest.mark.parametrize(
    "unsafe",
    [
        {"data_age_s": 0.25},
        {"permit_s": 0.3},
        {"page_age_s": math.nan},
        {"lost_share": 0.1},
        {"refractory_s": 0.0},
    ],
)
def test_limits_that_would_break_the_promise_are_refused(unsafe):
    with pytest.raises(LimitsUnsafe):
        Limits(**unsafe)


def test_every_reason_but_the_dose_needs_a_person():
    dose = {StopReason.ON_TOO_LONG, StopReason.DUTY_EXCEEDED, StopReason.REFRACTORY}
    assert set(StopReason) - set(LATCHED) == dose | {StopReason.NOT_ARMED}


def permit(now_s, level=1.0, epoch=1, reason=None):
    return Permit(number=1, stamp_s=now_s, level=level, epoch=epoch, reason=reason)


def test_what_ceased_to_renew_is_not_obeyed_again_before_a_new_arming():
    man = DeadMan(Limits())
    assert man.step(1.0, permit(1.0)).level == 1.0
    for step in range(1, 41):
        late = man.step(1.0 + step * 0.005, permit(1.0))
    assert late.level == 1.0
    assert man.step(1.205, permit(1.0)).reason is StopReason.PERMIT_LATE
    assert man.step(3.0, permit(3.0)).level == 0.0
    assert man.step(3.005, permit(3.005, epoch=2)).level == 1.0


def test_a_permit_from_the_future_is_none():
    assert DeadMan(Limits()).step(1.0, permit(2.0)).level == 0.0


def test_a_host_that_was_itself_stopped_stays_off():
    man = DeadMan(Limits())
    man.step(1.0, permit(1.0))
    assert man.step(1.11, permit(1.11)).reason is StopReason.PERMIT_LATE
    assert man.step(3.0, permit(3.0)).level == 0.0


def test_after_the_longest_time_on_the_wish_must_end_before_it_moves_again():
    man = DeadMan(Limits(on_s=0.1, refractory_s=0.1))
    times = [1.0 + 0.005 * n for n in range(100)]
    outputs = [man.step(now, permit(now)) for now in times]
    assert sum(output.level > 0 for output in outputs) == 20
    assert outputs[20].reason is StopReason.ON_TOO_LONG
    assert outputs[-1].reason is StopReason.REFRACTORY
    man.step(1.5, permit(1.5, level=0.0))
    assert man.step(1.505, permit(1.505)).level == 1.0


LIMITS = Limits(on_s=0.6, duty_share=0.4, duty_window_s=2.0, refractory_s=0.15)
SESSION_MS, HOST_MS = 20, 5
BY_FAULT = (StopReason.RECORDER_FAILED, StopReason.SOURCE_CHANGED)


class AnySequence(RuleBasedStateMachine):
    """The interlock at 50 Hz and the dead man at 200 Hz, under every sequence of inputs.

    Whatever happens, the actuator is not on more than 250 ms after a condition began, and not at
    all after a stop before a person armed again; and the dose is kept.
    """

    @initialize()
    def begin(self):
        self.now_ms = 1_000
        self.interlock, self.man = Interlock(LIMITS), DeadMan(LIMITS)
        self.sent = None
        self.stepped_ms = self.now_ms
        self.level = 0.0
        self.wanted = 0.0
        self.began = {}  # the standing conditions, and when each began (ms)
        self.stopped_ms = None  # the first condition since the last arming
        self.on_ms = []  # each millisecond in which it was on
        self.an_operator_arms()
        self.a_movement_is_wanted_again(150)

    def observed(self):
        def age_s(name):
            since = self.began.get(name, self.now_ms)
            return (self.now_ms - since) / 1e3

        return Observed(
            data_age_s=age_s("data"),
            lost_share=0.2 if "lost" in self.began else 0.01,
            bad_channels=9 if "bad" in self.began else 0,
            decoder_age_s=age_s("decoder"),
            page_age_s=age_s("page"),
            recorder_behind_s=0.0,
            faults=tuple(
                Fault(reason=reason, cause_s=self.began[reason] / 1e3)
                for reason in BY_FAULT
                if reason in self.began
            ),
        )

    @rule(ms=st.integers(150, 700))
    def a_movement_is_wanted_again(self, ms):
        self.wanted = 0.0
        self.time_passes(180)
        self.wanted = 1.0
        self.time_passes(ms)

    @rule(ms=st.integers(1, 400))
    def time_passes(self, ms):
        for _ in range(ms):
            self.now_ms += 1
            if self.now_ms % SESSION_MS == 0 and "stuck" not in self.began:
                self.sent = self.interlock.step(self.now_ms / 1e3, self.observed(), self.wanted)
                self.stepped_ms = self.now_ms
            if self.now_ms % HOST_MS == 0:
                self.level = self.man.step(self.now_ms / 1e3, self.sent).level
            if self.level > 0.0:
                self.on_ms.append(self.now_ms)
                self.on_is_allowed()

    def on_is_allowed(self):
        limit_ms = STOP_WITHIN_S * 1e3
        standing = min(self.began.values(), default=self.now_ms)
        assert self.now_ms - standing <= limit_ms, f"on under {self.began}"
        if self.stopped_ms is not None:
            assert self.now_ms - self.stopped_ms <= limit_ms, "on after a stop, without arming"

    @rule(name=st.sampled_from(["data", "lost", "bad", "decoder", "page", "stuck", *BY_FAULT]))
    def a_condition_begins(self, name):
        self.began.setdefault(name, self.now_ms)

    @precondition(lambda self: self.began)
    @rule(data=st.data())
    def a_condition_ends(self, data):
        name = data.draw(st.sampled_from(sorted(self.began)))
        lasted_ms = self.now_ms - self.began.pop(name)
        # Shorter ones need not be seen; from this age on each must have stopped what was armed.
        if lasted_ms > STOP_WITHIN_S * 1e3 and self.interlock_was_armed_throughout(lasted_ms):
            self.stopped_ms = self.stopped_ms or self.now_ms

    def interlock_was_armed_throughout(self, lasted_ms):
        return self.armed_ms is not None and self.now_ms - self.armed_ms >= lasted_ms

    armed_ms = None

    @rule(reason=st.sampled_from([StopReason.THERAPIST_STOP, StopReason.EMERGENCY_KEY]))
    def a_person_stops_it(self, reason):
        if "stuck" not in self.began:
            self.sent = self.interlock.stop(reason, self.now_ms / 1e3)
            self.stopped_ms = self.stopped_ms or self.now_ms

    @rule(level=st.sampled_from([0.0, 0.5, 1.0, math.nan]))
    def the_decoder_wants(self, level):
        self.wanted = level

    @precondition(lambda self: "stuck" not in self.began)
    @rule()
    def an_operator_arms(self):
        try:
            self.interlock.arm(self.now_ms / 1e3, self.observed())
        except NotArmable:
            late = self.now_ms - self.stepped_ms > LIMITS.permit_s * 1e3
            assert self.began or late, "nothing stands, and yet it cannot be armed"
        else:
            self.stopped_ms = None
            self.armed_ms = self.now_ms

    @invariant()
    def the_dose_is_kept(self):
        if not getattr(self, "on_ms", None):
            return
        runs, begin = [], self.on_ms[0]
        for before, after in zip(self.on_ms, [*self.on_ms[1:], None], strict=True):
            if after != before + 1:
                runs.append((begin, before + 1))
                begin = after
        assert max(end - begin for begin, end in runs) <= LIMITS.on_s * 1e3 + HOST_MS
        for (_, end), (begin, _) in pairwise(runs):
            assert begin - end >= LIMITS.refractory_s * 1e3
        window_ms = LIMITS.duty_window_s * 1e3
        for _, until in runs:
            inside = sum(until - window_ms <= ms < until for ms in self.on_ms)
            assert inside <= LIMITS.duty_share * window_ms + HOST_MS


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
