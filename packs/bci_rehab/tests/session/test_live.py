"""The loop of a session, with a clock that is the test's own: nothing here waits."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from bci_rehab.errors import SourceFailed
from bci_rehab.session.decoding import Decision
from bci_rehab.session.drivers.sham import Yoke, YokedTrial
from bci_rehab.session.host_status import Transition
from bci_rehab.session.interlock import Fault, Limits, StopReason
from bci_rehab.session.page import Drawn
from bci_rehab.session.plan import Phase, SegmentKind, Side
from bci_rehab.session.record_format import RecordKind, read_recording
from bci_rehab.session.recorder import Recorder
from bci_rehab.session.resume import engine_of
from bci_rehab.signal.blocks import Block
from bci_rehab.signal.verdicts import Code, Finding
from session_world import INFO, PLAN, FakeDecoder, FakeTape, World


def test_a_session_runs_to_its_end_and_moves_the_hand_at_each_hit():
    world = World()
    world.feedback()
    world.until(lambda: world.engine.state.ended == "finished")
    assert world.engine.summary().hits == 2
    assert [t.level for t in world.transitions] == [1.0, 0.0, 1.0, 0.0]
    assert sum(len(b) for b in world.blocks) == world.first, "every sample is recorded"
    assert world.resets == 8
    events = [body["what"] for body in world.of(RecordKind.EVENT)]
    assert events[0] == "began"
    assert events[-1] == "finished"


def test_unarmed_it_never_moves():
    world = World()
    world.live.ask("begin")
    world.until(lambda: world.engine.state.ended)
    assert world.engine.summary().hits == 2
    assert world.transitions == []


def test_an_emergency_stops_within_a_pass_and_the_trials_wait():
    world = World()
    world.moving()
    world.live.ask("emergency", by="keyboard")
    pressed_s = world.now_s
    world.until(lambda: world.level == 0.0)
    assert world.now_s - pressed_s < 0.02
    assert world.engine.state.paused
    world.passes(0.1)
    stop = world.of(RecordKind.STOP)[-1]
    assert stop["reason"] == "emergency_key"
    assert 0.0 <= stop["latency_ms"] < 20.0
    world.live.ask("resume")
    world.passes(3.0)
    assert world.level == 0.0, "going on is not arming"
    world.live.ask("arm")
    world.until(lambda: world.level > 0.0)


def silent(world):
    world.silent = True


def closed(world):
    world.page = False


def behind(world):
    """The page draws on and on what it was told long ago."""
    number = world.messages[-1]["number"]

    def told(message):
        world.messages.append(message)
        world.live.heartbeat(number)

    world.live._on_message = told


def gone(world):
    world.live.ask("page")


def alone(world):
    world.live.ask("staff", present=False)


def stuck(world):
    world.decoder_stuck_s = world.now_s


def failed(world):
    world.decoder_fault = Fault(
        reason=StopReason.DECODER_FAILED, cause_s=world.now_s, detail="LinAlgError"
    )


def full(world):
    world.full = True


def unplugged(world):
    world.broken = SourceFailed(source="fake", reason="the cable")


def frozen(world):
    world.findings = (Finding(code=Code.FROZEN, value=0.2),)


def restarted(world):
    world.findings = (Finding(code=Code.RESTARTED, value=9e5),)


@pytest.mark.parametrize(
    ("accident", "reason"),
    [
        (silent, StopReason.DATA_STALE),
        (closed, StopReason.PAGE_CLOSED),
        (behind, StopReason.PAGE_CLOSED),
        (gone, StopReason.PAGE_CLOSED),
        (alone, StopReason.STAFF_AWAY),
        (stuck, StopReason.DECODER_LATE),
        (failed, StopReason.DECODER_FAILED),
        (full, StopReason.RECORDER_FAILED),
        (unplugged, StopReason.DATA_STALE),
        (frozen, StopReason.DATA_STALE),
        (restarted, StopReason.SOURCE_CHANGED),
    ],
)
def test_each_accident_stops_the_hand_within_its_time_and_pauses_the_trials(accident, reason):
    world = World()
    world.moving()
    accident(world)
    began_s = world.now_s
    world.until(lambda: world.level == 0.0)
    assert world.now_s - began_s <= 0.25
    assert world.interlock.stops[-1].reason is reason
    assert world.engine.state.paused
    world.passes(1.0)
    assert world.level == 0.0
    assert world.messages[-1]["actuator"]["why_off"] == reason.value


def test_calibration_needs_no_decoder_but_a_page_and_a_signal():
    world = World()
    failed(world)
    world.live.ask("begin")
    world.until(lambda: world.engine.segment.kind is SegmentKind.CALIBRATION)
    world.passes(1.0)
    assert not world.engine.state.paused
    closed(world)
    world.until(lambda: world.engine.state.paused)


def test_the_check_waits_for_a_good_signal_and_for_nothing_else():
    world = World()
    closed(world)
    failed(world)
    frozen(world)
    world.live.ask("begin")
    world.passes(3.0)
    assert world.engine.segment.kind is SegmentKind.CHECK
    world.findings = ()
    world.until(lambda: world.engine.segment.kind is not SegmentKind.CHECK)


def test_what_is_not_allowed_is_told_and_not_raised():
    world = World()
    world.live.ask("resume")
    world.page = False
    world.live.ask("arm")
    world.passes(0.1)
    resume, arm = [note for note in world.of(RecordKind.NOTE) if note["what"] in ("resume", "arm")]
    assert "cannot resume" in resume["refused"]
    assert "page_closed" in arm["refused"]
    with pytest.raises(AssertionError):
        world.live.ask("launch")


def test_messages_come_every_50_ms_as_strict_json_and_carry_the_signal_without_a_gap():
    world = World()
    world.feedback()
    world.passes(1.0)
    last = world.messages[-10:]
    steps = np.diff([m["at_s"] for m in last])
    assert np.all((steps >= 0.049) & (steps <= 0.06))
    for before, after in pairwise(last):
        rows = len(before["signal"]["microvolts"])
        assert after["signal"]["first"] == before["signal"]["first"] + 4 * rows
    assert last[-1]["signal"]["microvolts"][0] == [7.0, 7.0]
    assert last[-1]["evidence"] == {"right": None, "left": 0.25}
    assert last[-1]["health"]["channels"] == {"C3": "good", "C4": "good"}
    assert last[-1]["latency"]["screen"]["p99_ms"] <= 80.0
    for message in world.messages:
        json.dumps(message, allow_nan=False)


def test_a_decoder_that_says_the_opposite_is_stopped_after_some_trials():
    other = {Side.RIGHT: Side.LEFT, Side.REST: Side.RIGHT}
    plan = replace(PLAN, calibration_runs=0, trials_per_side=20)
    world = World(plan, side=lambda asked: other[asked])
    world.feedback()
    world.until(lambda: world.engine.state.paused)
    assert world.interlock.stops[-1].reason is StopReason.DECODER_CONTRADICTS
    assert world.engine.summary().trials == 14
    assert world.transitions == []


def test_a_sham_session_moves_by_the_other_recording_and_does_not_say_so():
    yoke = Yoke(
        [
            YokedTrial(side="right", after_s=0.9, decided="right"),
            YokedTrial(side="right", after_s=None, decided=None),
            YokedTrial(side="rest", after_s=None, decided=None),
        ]
    )
    world, own = World(yoke=yoke), World()
    for each in (world, own):
        each.feedback()
        each.until(lambda each=each: each.engine.state.ended)
    result = [r for r in world.engine.state.results if r.outcome is not None]
    right = [r for r in result if r.side is Side.RIGHT]
    assert right[0].after_s == pytest.approx(0.9, abs=0.05)
    assert right[1].decided is None
    assert world.of(RecordKind.DECISION), "the patient's own decisions are recorded all the same"
    assert set(world.messages[-1]) == set(own.messages[-1])
    assert "sham" not in json.dumps(world.messages).lower()
    assert "yoke" not in json.dumps(world.messages).lower()


def test_the_end_of_the_loop_is_the_end_of_the_permit():
    world = World()
    world.moving()
    world.live.run(until=lambda: True)
    assert world.sent[-1].level == 0.0
    assert world.sent[-1].reason is StopReason.SESSION_ENDED


def test_a_loop_that_fails_leaves_no_permit_behind():
    world = World()
    world.moving()
    world.broken = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        world.live.run(until=lambda: False)
    assert world.sent[-1].level == 0.0


def test_a_session_goes_on_from_its_recording(tmp_path):
    recorder = Recorder.create(tmp_path / "r", INFO, {"plan": PLAN.to_json()})
    world = World(recorder=recorder)
    world.moving()
    recorder.close()
    engine = engine_of(read_recording(tmp_path / "r", with_samples=False))
    assert engine.state == world.engine.state
    again = World(engine=engine)
    again.live.ask("recover")
    again.passes(0.3)
    again.live.ask("resume")
    again.live.ask("arm")
    again.until(lambda: again.engine.state.ended)
    assert again.engine.summary().trials == 4
    read = read_recording(tmp_path / "r")
    assert sum(len(b) for b in read.blocks) == world.first
    assert read.of(RecordKind.CLOCK)
    assert read.of(RecordKind.HEALTH)


def test_what_a_decoder_says_after_it_was_stuck_is_recorded_and_not_used():
    world = World()
    world.feedback()
    world.until(lambda: world.engine.state.phase is Phase.CUE)
    old = Decision(end=1, log_odds={}, clean=True, host_s=world.now_s, took_s=2.0)
    world.until(lambda: world.engine.state.phase is Phase.ACTIVE)
    world.passes(0.35)
    world.side = lambda asked: Side.RIGHT
    stale = replace(old, host_s=world.now_s - 1.0)
    world.live.parts.evidence = _Trusting()
    world.live.parts.decoder.poll = lambda: [stale]
    world.passes(0.1)
    assert world.engine.state.outcome is None or world.engine.state.results[-1].after_s < 0.35
    assert world.of(RecordKind.DECISION)[-1]["took_s"] == 2.0


class _Trusting:
    def update(self, decision):
        raise AssertionError("a decision of the past was taken for evidence")

    def reset(self):
        pass

    def value(self):
        return {}


def test_a_part_that_failed_is_replaced_and_the_session_goes_on():
    world = World()
    world.moving()
    failed(world)
    full(world)
    world.until(lambda: world.level == 0.0)
    fresh = World()
    world.decoder_fault, world.full = None, False
    world.live.replace(decoder=FakeDecoder(world), recorder=FakeTape(fresh))
    world.passes(1.1)
    assert not world.interlock.armed
    world.live.ask("resume")
    world.live.ask("arm")
    world.until(lambda: world.level > 0.0)
    assert fresh.of(RecordKind.EVENT)


def test_what_happened_while_the_disk_was_full_is_written_when_it_is_not():
    world = World()
    world.moving()
    world.full = True
    world.until(lambda: world.level == 0.0)
    world.live.ask("note", text="the disk")
    world.passes(0.2)
    world.full = False
    assert world.of(RecordKind.EVENT)[-1]["what"] != "paused"
    world.live.replace(recorder=world.live.parts.recorder)
    world.live.ask("resume")
    world.passes(0.2)
    events = [body["what"] for body in world.of(RecordKind.EVENT)]
    assert events.index("paused") < events.index("resumed")
    assert "recorder_failed" in [stop["reason"] for stop in world.of(RecordKind.STOP)]
    assert "the disk" in [note.get("text") for note in world.of(RecordKind.NOTE)]


def stops_of(world):
    """As the summary tells them: the later record of a stop knows its latency."""
    return {body["reason"]: body for body in world.of(RecordKind.STOP)}


def test_an_end_while_it_moves_is_logged_with_its_latency():
    world = World()
    world.moving()
    world.live.ask("abort", by="therapist 1")
    world.live.run(until=lambda: False)
    stop = stops_of(world)["session_ended"]
    assert stop["was_on"]
    assert 0.0 <= stop["latency_ms"] < 50.0
    assert [t.level for t in world.transitions] == [1.0, 0.0]
    assert world.of(RecordKind.PERMIT)[-1]["driver"]["level"] == 0.0
    assert world.messages[-1]["actuator"]["last_stop"]["latency_ms"] is not None


def test_the_dose_is_logged_as_a_stop_and_a_movement_it_forbids_as_one_that_did_not_begin():
    world = World(limits=Limits(on_s=0.2, refractory_s=60.0))
    world.moving()
    world.until(lambda: world.level == 0.0)
    world.passes(0.1)
    stop = stops_of(world)["on_too_long"]
    assert stop["was_on"]
    assert 0.0 <= stop["latency_ms"] < 20.0
    assert world.interlock.armed, "a dose ends by itself"
    world.until(lambda: world.engine.state.ended)
    assert world.engine.summary().hits == 2
    assert len(world.transitions) == 2
    refused = stops_of(world)["refractory"]
    assert (refused["was_on"], refused["latency_ms"]) == (False, 0.0)
    assert len(world.of(RecordKind.STOP)) == 2, "each once"


def test_of_several_reasons_at_one_time_each_is_logged_and_the_first_is_told():
    world = World()
    world.moving()
    failed(world)
    frozen(world)
    world.until(lambda: world.level == 0.0)
    world.passes(0.1)
    assert set(stops_of(world)) == {"data_stale", "decoder_failed"}
    assert world.messages[-1]["actuator"]["last_stop"]["reason"] == "data_stale"
    assert world.messages[-1]["actuator"]["why_off"] == "data_stale"


def test_the_latency_of_a_frozen_stream_counts_from_its_last_fresh_sample():
    world = World()
    world.moving()
    frozen(world)
    world.until(lambda: world.level == 0.0)
    world.passes(0.1)
    assert stops_of(world)["data_stale"]["latency_ms"] >= 200.0


def test_replacing_a_part_of_a_moving_session_stops_it_first():
    world = World()
    world.moving()
    world.live.replace(decoder=FakeDecoder(world))
    world.until(lambda: world.level == 0.0)
    assert world.interlock.stops[-1].reason is StopReason.PART_REPLACED


def test_a_source_that_comes_back_is_armed_again_by_a_person_only():
    world = World()
    world.moving()
    unplugged(world)
    world.until(lambda: world.level == 0.0)
    world.broken = None
    world.passes(2.0)
    assert world.level == 0.0
    world.live.ask("resume")
    world.live.ask("arm")
    world.until(lambda: world.level > 0.0)


def test_a_stop_while_it_rests_has_no_latency():
    world = World()
    world.moving()
    # Its process refuses to move, for the dose, though it is permitted to.
    world.man._must_release = True
    world.man._turn_off(world.now_s, None, StopReason.DUTY_EXCEEDED)
    world.until(lambda: world.level == 0.0)
    world.passes(0.1)
    world.live.ask("stop")
    world.passes(0.1)
    assert world.interlock.stops[-1].latency_ms == 0.0


def test_what_the_actuators_own_process_stopped_is_stopped_here_as_well():
    world = World()
    world.moving()
    world.transitions.append(
        Transition(number=99, at_s=world.now_s, level=0.0, reason=StopReason.PERMIT_LATE)
    )
    world.passes(0.05)
    assert not world.interlock.armed
    assert world.interlock.stops[-1].reason is StopReason.PERMIT_LATE


def test_blocks_shorter_than_a_drawn_point_wait_for_more():
    drawn = Drawn(replace(INFO, rate_hz=1_000.0))
    for first in range(8):
        samples = np.full((1, 2), float(first))
        drawn.add(Block(first=first, samples=samples, device_s=np.zeros(1), host_s=0.0))
    assert drawn.take() == {"first": 0, "step": 4, "microvolts": [[1.5, 1.5], [5.5, 5.5]]}
