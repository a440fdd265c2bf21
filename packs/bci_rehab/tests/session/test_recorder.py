"""The recorder: nothing lost but the last moment, always readable, whatever kills it."""

import errno
import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from bci_rehab.errors import NotARecording, RecorderFailed, RecordingClosed
from bci_rehab.session import recorder as recorder_module
from bci_rehab.session.record_format import RecordKind, read_recording, samples_payload
from bci_rehab.session.recorder import Recorder
from bci_rehab.session.slot import Slot
from bci_rehab.signal.blocks import Block, Channel, ChannelKind, StreamInfo
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

STREAM = StreamInfo(
    name="cap",
    source_id="cap-1",
    rate_hz=250.0,
    channels=(Channel(name="C3"), Channel(name="左", kind=ChannelKind.EMG)),
)


def block(first=0, count=5, seed=0, channels=2):
    rng = np.random.default_rng(seed)
    return Block(
        first=first,
        samples=rng.normal(0, 20, (count, channels)),
        device_s=np.arange(first, first + count) / 250.0,
        host_s=100.0 + first / 250.0,
    )


def written(path: Path, blocks=8):
    recorder = Recorder.create(path, STREAM, {"plan": {"seed": 7}})
    for number in range(blocks):
        recorder.append_block(block(first=5 * number, seed=number))
        recorder.append(RecordKind.EVENT, {"what": "cue", "trial": number}, at_s=float(number))
    return recorder


def assert_equal(left: Block, right: Block):
    assert (left.first, left.host_s) == (right.first, right.host_s)
    np.testing.assert_array_equal(left.samples, right.samples)
    np.testing.assert_array_equal(left.device_s, right.device_s)


def test_what_was_written_is_read_back_bit_for_bit(tmp_path):
    recorder = written(tmp_path / "r")
    sha256 = recorder.close()
    read = read_recording(tmp_path / "r")
    assert read.stream == STREAM
    assert read.info["plan"] == {"seed": 7}
    assert read.damage is None
    assert read.intact
    assert read.sha256 == sha256
    for number, got in enumerate(read.blocks):
        assert_equal(got, block(first=5 * number, seed=number))
    events = read.of(RecordKind.EVENT)
    assert [(event.at_s, event.body["trial"]) for event in events] == [
        (float(n), n) for n in range(8)
    ]


def test_the_closing_block_names_the_sha256_of_all_before_it(tmp_path):
    sha256 = written(tmp_path / "r").close()
    raw = (tmp_path / "r").read_bytes()
    closing = raw.rindex(b"HBLK")
    assert hashlib.sha256(raw[:closing]).hexdigest() == sha256


def test_samples_can_be_left_out_and_the_file_is_still_checked(tmp_path):
    written(tmp_path / "r").close()
    read = read_recording(tmp_path / "r", with_samples=False)
    assert read.blocks == ()
    assert read.intact


@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(0, 6), st.integers(1, 4)),
        elements=st.floats(allow_nan=True, allow_infinity=True)
        | st.floats(width=32, allow_nan=True),
    )
)
def test_no_value_changes_on_its_way(samples):
    from bci_rehab.session.record_format import HEAD, _decoded, encoded, first_digest

    made = Block(first=2**40, samples=samples, device_s=np.arange(len(samples)) / 3, host_s=1e5 / 3)
    raw = encoded(RecordKind.SAMPLES, 1, 0.5, samples_payload(made), first_digest())
    assert len(raw) > HEAD.size
    assert_equal(_decoded(raw).block, made)


def test_values_that_four_bytes_hold_take_four_bytes():
    wide = block(count=100)
    narrow = Block(
        first=0,
        samples=wide.samples.astype(np.float32).astype(np.float64),
        device_s=wide.device_s,
        host_s=0.0,
    )
    assert len(samples_payload(wide)) - len(samples_payload(narrow)) == 100 * 2 * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("damage")
    written(made / "r", blocks=3).close()
    return made


@given(place=st.floats(0.0, 1.0), bit=st.none() | st.integers(0, 7))
def test_cut_or_changed_anywhere_it_reads_up_to_there_and_says_so(place, bit, folder):
    raw = bytearray((folder / "r").read_bytes())
    whole = read_recording(folder / "r")
    offset = 12 + int(place * (len(raw) - 13))
    if bit is None:
        del raw[offset:]
    else:
        raw[offset] ^= 1 << bit
    (folder / "d").write_bytes(raw)
    try:
        read = read_recording(folder / "d")
    except NotARecording:
        assert offset < 1_000, "only the description may make it unreadable"
        return
    assert not read.intact
    if read.damage is not None:
        assert read.damage.offset <= offset
        assert read.damage.offset + read.damage.lost_bytes == len(raw)
        assert read.damage.reason
    else:
        assert len(raw) == offset, "only a cut between two blocks leaves no trace but the end"
    assert read.records == whole.records[: len(read.records)]
    for got, expected in zip(read.blocks, whole.blocks, strict=False):
        assert_equal(got, expected)


def test_a_block_that_is_missing_is_seen(tmp_path):
    written(tmp_path / "r").close()
    raw = (tmp_path / "r").read_bytes()
    marks = [i for i in range(len(raw)) if raw.startswith(b"HBLK", i)]
    (tmp_path / "r").write_bytes(raw[: marks[3]] + raw[marks[4] :])
    damage = read_recording(tmp_path / "r").damage
    assert damage.offset == marks[3]


@pytest.mark.parametrize(
    "content", [b"", b"HAIHE", b"something else entirely", b"HAIHEREC\x09\0\0\0"]
)
def test_what_is_no_recording_is_refused(tmp_path, content):
    (tmp_path / "r").write_bytes(content)
    with pytest.raises(NotARecording):
        read_recording(tmp_path / "r")


def test_a_recording_is_never_overwritten(tmp_path):
    written(tmp_path / "r").close()
    with pytest.raises(RecordingClosed):
        Recorder.create(tmp_path / "r", STREAM, {})


def test_what_was_finished_or_is_being_written_is_not_continued(tmp_path):
    recorder = written(tmp_path / "r")
    with pytest.raises(RecordingClosed, match="another process"):
        Recorder.resume(tmp_path / "r")
    recorder.close()
    with pytest.raises(RecordingClosed, match="finished"):
        Recorder.resume(tmp_path / "r")
    with pytest.raises(RecordingClosed):
        recorder.append(RecordKind.NOTE, {})


def test_a_torn_tail_is_set_aside_and_the_recording_goes_on(tmp_path):
    written(tmp_path / "r").close()
    raw = (tmp_path / "r").read_bytes()
    torn = raw[: raw.rindex(b"HBLK") - 3]
    (tmp_path / "r").write_bytes(torn)
    before = read_recording(tmp_path / "r")
    recorder = Recorder.resume(tmp_path / "r")
    recorder.append(RecordKind.NOTE, {"text": "接着来"})
    recorder.close()
    after = read_recording(tmp_path / "r")
    assert after.intact
    assert after.records[: len(before.records)] == before.records
    (resumption,) = after.of(RecordKind.RESUMPTION)
    assert resumption.body["lost_bytes"] == before.damage.lost_bytes
    assert resumption.body["reason"] == "the file ends inside of a block"
    aside = tmp_path / resumption.body["torn_file"]
    assert aside.read_bytes() == torn[before.damage.offset :]
    assert after.of(RecordKind.NOTE)[0].body["text"] == "接着来"


def test_numbers_that_json_cannot_hold_are_refused_where_they_are_made(tmp_path):
    recorder = written(tmp_path / "r")
    with pytest.raises(ValueError, match="not JSON compliant"):
        recorder.append(RecordKind.DECISION, {"log_odds": float("nan")})
    recorder.close()
    assert read_recording(tmp_path / "r").intact


def until(met):
    end_s = time.monotonic() + 10.0
    while not met():
        assert time.monotonic() < end_s, "waited in vain"
        time.sleep(0.005)


def test_a_disk_that_hangs_is_seen_as_being_behind_and_then_as_too_slow(tmp_path, monkeypatch):
    recorder = written(tmp_path / "r")
    until(lambda: recorder.status().behind_s == 0.0)
    hang = threading.Event()
    write = recorder_module._write

    def slow(fd, data):
        hang.wait(30.0)
        write(fd, data)

    monkeypatch.setattr(recorder_module, "_write", slow)
    monkeypatch.setattr(recorder_module, "QUEUE_RECORDS", 100)
    recorder.append(RecordKind.NOTE, {"text": "the first that waits"})
    until(lambda: recorder.status().behind_s > 0.05)
    with pytest.raises(RecorderFailed, match="too slow"):
        for number in range(300):
            recorder.append(RecordKind.EVENT, {"number": number})
    assert recorder.status().failure
    hang.set()
    with pytest.raises(RecorderFailed):
        recorder.close()
    assert read_recording(tmp_path / "r").damage is None


def test_a_recorder_goes_on_once_there_is_room_and_keeps_what_had_waited(tmp_path, monkeypatch):
    recorder = written(tmp_path / "r", blocks=2)
    until(lambda: recorder.status().behind_s == 0.0)
    write = recorder_module._write

    def full(fd, data):
        write(fd, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(recorder_module, "_write", full)
    recorder.append(RecordKind.EVENT, {"what": "waits"})
    until(lambda: recorder.status().failure != "")
    assert recorder.status().failure == "the disk is full"
    with pytest.raises(RecorderFailed, match="the disk is full"):
        recorder.append(RecordKind.EVENT, {"what": "refused"})
    with pytest.raises(RecorderFailed, match="the disk is full"):
        recorder.go_on()
    monkeypatch.setattr(recorder_module, "_write", write)
    recorder.go_on()
    recorder.append(RecordKind.EVENT, {"what": "after"})
    recorder.close()
    read = read_recording(tmp_path / "r")
    assert read.damage is None
    assert read.intact
    assert [r.body["what"] for r in read.of(RecordKind.EVENT)][-2:] == ["waits", "after"]
    (mark,) = read.of(RecordKind.RESUMPTION)
    assert mark.body["reason"] == "the disk is full"


FULL = """
import resource, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_recorder import STREAM, block
from bci_rehab.errors import RecorderFailed
from bci_rehab.session.recorder import Recorder
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
recorder = Recorder.create(Path(sys.argv[1]), STREAM, {})
begun = time.monotonic()
try:
    for number in range(100_000):
        recorder.append_block(block(first=50 * number, count=50))
        time.sleep(0.001)
except RecorderFailed as error:
    print(error)
    print(recorder.status().failure)
try:
    recorder.close()
except RecorderFailed as error:
    print("not finished")
"""


def test_a_full_disk_is_said_at_once_and_all_before_it_is_readable(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "r", Path(__file__).parent],
        capture_output=True,
        text=True,
        check=True,
    )
    message, failure, end = done.stdout.splitlines()
    assert "cannot be written: File too large. The actuator is off." in message
    assert failure == "File too large"
    assert end == "not finished"
    read = read_recording(tmp_path / "r")
    assert read.damage is None, "the torn last block is cut off"
    assert sum(len(b) for b in read.blocks) > 500
    recorder = Recorder.resume(tmp_path / "r")
    recorder.close()
    assert read_recording(tmp_path / "r").intact


KILLED = """
import os, sys, time
from pathlib import Path
import numpy as np
from bci_rehab.session.record_format import RecordKind
from bci_rehab.session.recorder import Recorder
from bci_rehab.session.slot import Slot
from bci_rehab.signal.blocks import Block, Channel, StreamInfo
path, slot = Path(sys.argv[1]), Slot(Path(sys.argv[2]))
# What is imported once serves all: each writer is a fork of this process, which has no threads.
for line in sys.stdin:
    if (pid := os.fork()) == 0:
        break
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("dead", flush=True)
else:
    sys.exit()
stream = StreamInfo(
    name="cap", source_id="cap", rate_hz=1000.0,
    channels=tuple(Channel(name=f"E{n}") for n in range(64)),
)
recorder = Recorder.resume(path) if path.exists() else Recorder.create(path, stream, {})
samples = np.random.default_rng(1).normal(0, 20, (20, 64))
for first in range(0, 20 * 10_000, 20):
    now_s = time.monotonic()
    recorder.append_block(
        Block(first=first, samples=samples, device_s=np.arange(20) / 1e3, host_s=now_s)
    )
    recorder.append(RecordKind.PERMIT, {"level": 1.0})
    slot.write(b"handed over", now_s)
    time.sleep(0.02)
"""


def test_killed_at_random_instants_it_loses_at_most_half_a_second_and_goes_on(tmp_path):
    rng = random.Random(20_261_122)
    path, slot = tmp_path / "r", Slot.create(tmp_path / "slot")
    count = 0
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, path, tmp_path / "slot"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as forks:
        for death in range(30):
            before = slot.read()
            forks.stdin.write("one more\n")
            forks.stdin.flush()
            pid = int(forks.stdout.readline())
            until(lambda before=before: slot.read() != before)
            time.sleep(rng.uniform(0.0, 0.4))
            os.kill(pid, signal.SIGKILL)
            assert forks.stdout.readline() == "dead\n"
            read = read_recording(path)
            lost_s = slot.read().stamp_s - read.blocks[-1].host_s
            assert lost_s <= 0.5, f"death {death} lost {lost_s} s"
            assert len(read.of(RecordKind.RESUMPTION)) <= death
            assert len(read.blocks) >= count, "what was once read is there for good"
            count = len(read.blocks)
        forks.stdin.close()
    Recorder.resume(path).close()
    assert read_recording(path, with_samples=False).intact


def test_no_file_is_left_open(tmp_path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    written(tmp_path / "r").close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
