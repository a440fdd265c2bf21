"""The station as a service, with a real LSL stream, BrainFlow's board and the synthetic patient."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import edfio
import pytest
from bci_rehab.session import recorder
from bci_rehab.session.plan import SessionPlan, Timings
from bci_rehab.session.record_format import RecordKind, read_recording
from bci_rehab.station import running
from bci_rehab.station.opening import RECORDING, SUMMARY
from bci_rehab.station.service import make
from bci_rehab.station.stand_in import StandIn

from haihe.packs import HaiheError, ServiceContext, frames, serve

OUTLET = Path(__file__).with_name("station_outlet.py")
# Everything but the threshold's rest, in seconds; real time throughout.
SHORT = Timings(
    check_s=0.5, rest_s=0.5, fixation_s=0.3, cue_s=0.2, active_s=1.0, feedback_s=0.3,
    pause_least_s=0.2, pause_most_s=0.3, break_s=0.3,
)  # fmt: skip
PLAN = SessionPlan(calibration_runs=1, feedback_runs=0, trials_per_side=2, timings=SHORT)


class Here:
    """A station that serves in a thread, and questions to it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.context = ServiceContext(pack="bci_rehab", name="station", home=home)
        self.loop = asyncio.new_event_loop()
        self.stop: asyncio.Event | None = None
        self.station: Any = None
        self.up = threading.Event()
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self._serve(),))
        self.thread.start()
        assert self.up.wait(10)

    async def _serve(self) -> None:
        self.stop = asyncio.Event()

        def made(context: ServiceContext) -> Any:
            self.station = make(context)
            self.loop.call_later(0.3, self.up.set)
            return self.station

        await serve(made, self.context, stop=self.stop)

    def ask(self, what: str, **said: Any) -> dict[str, Any]:
        """One question, as the portal asks it."""
        asked = self.station.answer({"what": what, **said})
        return asyncio.run_coroutine_threadsafe(asked, self.loop).result(90)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(30)
        self.loop.close()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    station = Here(tmp_path)
    yield station
    station.close()


@pytest.fixture
def lsl_stream() -> Iterator[str]:
    """An outlet in a process of its own: noise on 8 electrodes at 250 Hz."""
    name = f"outlet-{uuid4()}"
    process = subprocess.Popen(
        [sys.executable, str(OUTLET), name], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    yield name
    process.kill()
    process.wait()
    process.stdout.close()


def opening(source: dict[str, Any], plan: SessionPlan = PLAN, **more: Any) -> dict[str, Any]:
    session = str(uuid4())
    return {
        "session": session,
        "folder": f"sessions/p/{session}",
        "plan": plan.to_json(),
        "source": source,
        "actuator": {"kind": "simulated", "given": {}},
        "decoder": None,
        "false_triggers_per_min": 3.0,
        "resume": False,
        **more,
    }


def held(here: Here, said: dict[str, Any], *, within_s: float = 60.0) -> dict[str, Any]:
    """Open a session, let it run to its end with both pages there, close it: its summary."""
    here.ask("open", **said)
    pages = StandIn(here.home, said["session"])
    try:
        assert pages.until(lambda message: True, within_s=10)
        pages.order("begin")
        assert pages.until(lambda message: message["trial"]["ended"], within_s=within_s), pages.last
    finally:
        pages.close()
    return here.ask("close", session=said["session"])["summary"]


def synthetic(**given: Any) -> dict[str, Any]:
    return {"kind": "synthetic", "given": {"channels": 8, **given}}


def test_a_whole_session_on_an_lsl_stream(here: Here, lsl_stream: str) -> None:
    offered = here.ask("sources")["sources"]
    (source,) = [one for one in offered if one["given"].get("source_id") == lsl_stream]
    assert (source["kind"], source["channels"], source["rate_hz"]) == ("lsl", 8, 250.0)
    said = opening({"kind": "lsl", "given": source["given"]})
    summary = held(here, said)
    assert summary["ended"] == "finished"
    assert summary["calibration_trials"] == 4
    assert summary["signal"]["source"] == "Outlet"
    assert summary["signal"]["lost_s"] == 0
    assert summary["recording"]["intact"]


def test_a_whole_session_on_brainflows_board(here: Here) -> None:
    offered = here.ask("sources")["sources"]
    (source,) = [one for one in offered if one["kind"] == "brainflow"]
    said = opening({"kind": "brainflow", "given": source["given"]})
    here.ask("open", **said)
    pages = StandIn(here.home, said["session"])
    assert pages.until(lambda message: message["number"] > 20, within_s=20)
    pages.order("begin")
    # Its sines are none of a brain's; the check of the electrodes says so, and is not passed over.
    assert pages.until(lambda message: message["trial"]["kind"] == "check", within_s=10)
    pages.order("abort", "not a brain")
    assert pages.until(lambda message: message["trial"]["ended"], within_s=10)
    pages.close()
    summary = here.ask("close", session=said["session"])["summary"]
    assert summary["signal"]["rate_hz"] == 250.0
    assert summary["signal"]["seconds"] > 1


def test_what_a_session_leaves_behind(here: Here) -> None:
    said = opening(synthetic())
    summary = held(here, said)
    folder = here.home / said["folder"]
    assert json.loads((folder / SUMMARY).read_text()) == summary
    assert not (folder / "running").exists()
    assert summary["frames"]["count"] > 50
    assert here.ask("state")["state"] == "idle"
    done = here.ask("export", folder=said["folder"], to="exports/p", pseudonym="P1", session="01")
    assert (here.home / done["to"] / "dataset_description.json").is_file()
    names = {"folder": said["folder"], "pseudonym": "P-1", "session": "01"}
    done = here.ask("export", to="exports/edf", format="edf", **names)
    assert edfio.read_edf(here.home / done["to"] / "P1-01.edf").num_signals == 8
    with pytest.raises(HaiheError, match="no such format"):
        here.ask("export", to="exports/x", format="csv", **names)


def test_one_session_at_a_time_and_no_other_is_spoken_to(here: Here) -> None:
    said = opening(synthetic())
    here.ask("open", **said)
    assert here.ask("open", **said)["state"] == "live"
    with pytest.raises(HaiheError, match="already"):
        here.ask("open", **opening(synthetic()))
    with pytest.raises(HaiheError, match="does not hold"):
        here.ask("close", session=str(uuid4()))
    here.ask("close", session=said["session"])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (lambda said: said | {"folder": "../../etc"}, "outside"),
        (
            lambda said: said | {"source": {"kind": "replay", "given": {"name": "none"}}},
            "no replay",
        ),
        (lambda said: said | {"plan": {}}, "plan"),
        (lambda said: said | {"false_triggers_per_min": 0}, "greater than 0"),
        (lambda said: said | {"actuator": {"kind": "serial", "given": {"name": "x"}}}, "no serial"),
        (lambda said: said | {"more": 1}, "more"),
        (
            lambda said: (
                said | {"plan": {**said["plan"], "calibration_runs": 0, "feedback_runs": 1}}
            ),
            "needs an accepted decoder",
        ),
    ],
)
def test_what_cannot_be_opened_is_refused_by_name(
    here: Here, changed: Callable[[dict[str, Any]], dict[str, Any]], words: str
) -> None:
    with pytest.raises(HaiheError, match=words):
        here.ask("open", **changed(opening(synthetic())))
    assert here.ask("state")["state"] == "idle"


def test_a_closed_page_stops_the_hand_and_a_patient_gives_no_orders(here: Here) -> None:
    said = opening(synthetic())
    here.ask("open", **said)
    pages = StandIn(here.home, said["session"])
    assert pages.until(lambda message: message["patient_page"], within_s=10)
    pages.order("begin")
    pages.order("arm")
    assert pages.until(lambda message: message["actuator"]["armed"], within_s=10), pages.last
    pages._patient.close()
    assert pages.until(lambda message: not message["patient_page"], within_s=10)
    assert pages.until(lambda message: not message["actuator"]["armed"], within_s=10)
    assert pages.last["actuator"]["last_stop"]["reason"] == "page_closed"
    pages.close()
    again = StandIn(here.home, said["session"])
    assert again.until(lambda message: message["patient_page"], within_s=10)
    again._patient.sendall(frames.frame({"what": "order", "order": "arm", "text": "", "id": 0}))
    assert not again.until(lambda message: message["actuator"]["armed"], within_s=0.5)
    again.close()
    here.ask("close", session=said["session"])


def said_by(page: socket.socket, **message: Any) -> None:
    page.sendall(frames.frame(message))


def armed(here: Here) -> tuple[dict[str, Any], StandIn]:
    """A session whose pages are there, with the actuator armed in its calibration."""
    said = opening(
        synthetic(),
        SessionPlan(calibration_runs=1, feedback_runs=0, trials_per_side=10, timings=SHORT),
    )
    here.ask("open", **said)
    pages = StandIn(here.home, said["session"])
    assert pages.until(lambda message: message["patient_page"], within_s=10)
    pages.order("begin")
    arm(pages)
    return said, pages


def wait_for(holds: Callable[[], bool], *, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def arm(pages: StandIn, *, within_s: float = 20.0) -> None:
    """Arm as a therapist would: again where something was in the way."""
    deadline = time.monotonic() + within_s
    while not pages.until(lambda message: message["actuator"]["armed"], within_s=0.5):
        assert time.monotonic() < deadline, pages.last
        pages.order("arm")


def test_a_page_that_answers_but_shows_an_old_picture_moves_nothing(here: Here) -> None:
    said, pages = armed(here)
    stuck, number = threading.Event(), pages.last["number"]
    stale = pages._connected(here.home, "patient")

    def repeat() -> None:
        with suppress(OSError):
            while not stuck.wait(0.02):
                said_by(stale, what="drawn", number=number, frame_ms=[16.0])

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        assert pages.until(lambda message: not message["actuator"]["armed"], within_s=10)
        assert pages.last["actuator"]["last_stop"]["reason"] == "page_closed"
        assert pages.until(lambda message: message["number"] > number + 10, within_s=10)
        pages.order("arm")
        assert not pages.until(lambda message: message["actuator"]["armed"], within_s=1.0)
        # Neither a picture that is yet to come nor a time that no frame takes does any harm.
        raw = b'{"what":"drawn","number":999999999,"frame_ms":[1e999,-1,true]}'
        stale.sendall(frames.LENGTH.pack(len(raw)) + raw)
        seen = pages.last["number"]
        assert pages.until(lambda message: message["number"] > seen + 5, within_s=10)
        assert not pages.last["actuator"]["armed"]
    finally:
        stuck.set()
        thread.join()
        stale.close()
        pages.close()
    assert here.ask("close", session=said["session"])["summary"]["frames"]["count"] > 0


def test_of_two_patients_pages_the_newest_counts_and_a_change_is_a_stop(here: Here) -> None:
    said, pages = armed(here)
    second = StandIn(here.home, said["session"])
    assert pages.until(lambda message: not message["actuator"]["armed"], within_s=10)
    assert pages.last["actuator"]["last_stop"]["reason"] == "page_closed"
    pages.order("resume")
    arm(pages)
    # The first one goes on answering, and counts for nothing.
    second._patient.shutdown(socket.SHUT_RDWR)
    assert pages.until(lambda message: not message["actuator"]["armed"], within_s=10)
    assert pages.until(lambda message: not message["patient_page"], within_s=10)
    second.close()
    pages.close()
    here.ask("close", session=said["session"])


def test_without_a_therapists_page_nothing_moves_and_a_second_one_is_enough(here: Here) -> None:
    said, pages = armed(here)
    second = pages._connected(here.home, "therapist")
    interlock = here.station._running._live.parts.interlock
    wait_for(lambda: len(here.station._pages) == 3)
    pages._therapist.shutdown(socket.SHUT_RDWR)
    wait_for(lambda: len(here.station._pages) == 2)
    assert interlock.armed, interlock.stops
    second.close()
    wait_for(lambda: not interlock.armed)
    assert interlock.stops[-1].reason.value == "staff_away"
    pages.close()
    here.ask("close", session=said["session"])


def test_a_note_that_no_file_could_hold_is_written_all_the_same(here: Here) -> None:
    said = opening(synthetic())
    here.ask("open", **said)
    pages = StandIn(here.home, said["session"])
    assert pages.until(lambda message: True, within_s=10)
    half = b'{"what":"order","order":"note","text":"half \\ud800","id":1}'
    pages._therapist.sendall(frames.LENGTH.pack(len(half)) + half)
    assert pages.until(lambda message: bool(message["orders"]), within_s=10)
    pages.close()
    summary = here.ask("close", session=said["session"])["summary"]
    assert summary["notes"][0]["text"] == "half ?"


def test_a_session_goes_on_after_its_station_was_killed(tmp_path: Path) -> None:
    said = opening(
        synthetic(),
        SessionPlan(calibration_runs=1, feedback_runs=0, trials_per_side=6, timings=SHORT),
    )
    script = (
        "import sys, json, time; from pathlib import Path\n"
        "from bci_rehab.station.opening import read_opening\n"
        "from bci_rehab.station.running import RunningSession\n"
        "if __name__ == '__main__':\n"
        "    said = json.loads(sys.argv[2])\n"
        "    def drawn(message): run.drawn(message['number'], [16.0])\n"
        "    run = RunningSession(read_opening(said), Path(sys.argv[1]), drawn)\n"
        "    run.open(); run.order('begin'); print('up', flush=True)\n"
        "    while True: time.sleep(1)\n"
    )
    file = tmp_path / "killed.py"
    file.write_text(script)
    process = subprocess.Popen(
        [sys.executable, str(file), str(tmp_path), json.dumps(said)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    time.sleep(4.0)
    process.kill()
    process.wait()
    process.stdout.close()
    station = Here(tmp_path)
    try:
        # Elsewhere nobody goes on with it: what was recorded is to be had all the same.
        elsewhere = f"{said['folder']}-copy"
        shutil.copytree(tmp_path / said["folder"], tmp_path / elsewhere)
        left = station.ask("close", session=said["session"], folder=elsewhere)["summary"]
        assert left["ended"] == "interrupted"
        assert left["recording"]["intact"]
        again = station.ask("close", session=said["session"], folder=elsewhere)["summary"]
        assert again == left
        station.ask("open", **{**said, "resume": True})
        pages = StandIn(tmp_path, said["session"])
        assert pages.until(lambda message: message["trial"]["paused"], within_s=10), pages.last
        pages.order("resume")
        assert pages.until(lambda message: message["trial"]["ended"], within_s=60), pages.last
        pages.close()
        summary = station.ask("close", session=said["session"])["summary"]
    finally:
        station.close()
    assert summary["calibration_trials"] == 12
    assert summary["recording"]["interruptions"] == 1
    recording = read_recording(tmp_path / said["folder"] / RECORDING)
    assert recording.damage is None
    assert recording.of(RecordKind.RESUMPTION)


def test_a_session_is_not_continued_with_other_electrodes(here: Here) -> None:
    said = opening(synthetic())
    here.ask("open", **said)
    pages = StandIn(here.home, said["session"])
    pages.order("begin")
    assert pages.until(lambda message: message["trial"]["segment"] == "calibration", within_s=20)
    pages.close()
    recording = here.home / said["folder"] / RECORDING
    # As it is after a crash: the parts are gone, and nobody has finished it.
    live = here.station._running
    live._closing.set()
    live._thread.join()
    raw = recording.read_bytes()
    here.ask("close", session=said["session"])
    recording.write_bytes(raw)
    with pytest.raises(HaiheError, match=r"recorded from 8 channels .* gives 16 channels"):
        here.ask("open", **{**said, "source": synthetic(channels=16), "resume": True})
    assert here.ask("state")["state"] == "idle"
    here.ask("open", **{**said, "resume": True})
    assert here.ask("close", session=said["session"])["summary"]["signal"]["channels"] == 8


def going_on(pages: StandIn) -> bool:
    """Resume and arm as a therapist would, until it goes on; whether it did in time."""
    deadline = time.monotonic() + 30
    while pages.last["trial"]["paused"] or not pages.last["actuator"]["armed"]:
        if time.monotonic() > deadline:
            return False
        pages.order("resume" if pages.last["trial"]["paused"] else "arm")
        pages.until(lambda message: message["actuator"]["armed"], within_s=0.3)
    return True


def test_a_source_whose_process_dies_is_there_again_and_the_session_goes_on(here: Here) -> None:
    said, pages = armed(here)
    os.kill(here.station._running._acquisition._process.pid, signal.SIGKILL)
    assert pages.until(lambda message: not message["actuator"]["armed"], within_s=10)
    assert pages.last["actuator"]["last_stop"]["reason"] == "data_stale"
    assert pages.until(
        lambda message: 0.0 < (message["health"]["age_ms"] or 1e9) < 100.0, within_s=60
    )
    assert not pages.last["actuator"]["armed"], "what is new is armed by a person"
    assert going_on(pages), pages.last
    pages.close()
    here.ask("close", session=said["session"])
    recording = read_recording(here.home / said["folder"] / RECORDING)
    assert recording.intact
    assert [mark.body["reason"] for mark in recording.of(RecordKind.RESUMPTION)] == [
        "the source was started anew"
    ]


def test_a_full_disk_is_got_over_in_the_session(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, pages = armed(here)
    write = recorder._write

    def full(fd: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(recorder, "_write", full)
    assert pages.until(lambda message: message["recorder"]["failure"], within_s=10)
    assert pages.until(lambda message: not message["actuator"]["armed"], within_s=10)
    assert pages.last["actuator"]["last_stop"]["reason"] == "recorder_failed"
    monkeypatch.setattr(recorder, "_write", write)
    assert pages.until(lambda message: not message["recorder"]["failure"], within_s=20)
    assert not pages.last["actuator"]["armed"]
    assert going_on(pages), pages.last
    pages.close()
    summary = here.ask("close", session=said["session"])["summary"]
    assert summary["recording"]["intact"]
    assert summary["recording"]["interruptions"] == 1


def test_a_summary_that_the_disk_does_not_take_is_asked_for_again(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = opening(synthetic())
    here.ask("open", **said)
    wrote = running.write_summary

    def full(recording: Path, to: Path) -> dict[str, Any]:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(running, "write_summary", full)
    with pytest.raises(HaiheError, match="cannot be written"):
        here.ask("close", session=said["session"])
    monkeypatch.setattr(running, "write_summary", wrote)
    assert here.ask("close", session=said["session"])["summary"]["recording"]["intact"]


def test_a_session_that_may_not_go_on_ends_begun_or_not(here: Here) -> None:
    said, pages = armed(here)
    assert here.ask("halt", session=said["session"], why="consent") == {"ended": True}
    assert pages.until(lambda message: message["trial"]["ended"] == "aborted", within_s=10)
    assert here.station._running._live.parts.actuator.status().level == 0.0
    pages.close()
    assert here.ask("close", session=said["session"])["summary"]["ended"] == "aborted"
    said = opening(synthetic())
    here.ask("open", **said)
    assert here.ask("halt", session=said["session"], why="consent") == {"ended": True}
    here.ask("close", session=said["session"])
    with pytest.raises(HaiheError, match="does not hold"):
        here.ask("halt", session=said["session"], why="consent")


def test_an_actuator_whose_process_dies_is_there_again_and_off(here: Here) -> None:
    said = opening(synthetic())
    here.ask("open", **said)
    pages = StandIn(here.home, said["session"])
    assert pages.until(lambda message: message["patient_page"], within_s=10)
    pages.order("arm")
    assert pages.until(lambda message: message["actuator"]["armed"], within_s=10), pages.last
    host, _stand_by = here.station._running._live.parts.actuator.pids
    os.kill(host, signal.SIGKILL)
    assert pages.until(lambda message: not message["actuator"]["armed"], within_s=10)
    deadline = time.monotonic() + 20
    while here.station._running._live.parts.actuator.pids[0] == host:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not pages.last["actuator"]["armed"]
    pages.order("arm")
    assert pages.until(lambda message: message["actuator"]["armed"], within_s=10), pages.last
    pages.close()
    here.ask("close", session=said["session"])
