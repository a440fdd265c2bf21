"""One contract over all drivers: what arrives at the other end of each."""

import json
import os
import pickle
import pty
import select
import socket
import time
from contextlib import suppress
from functools import partial

import pytest
from bci_rehab.errors import ActuatorUnavailable
from bci_rehab.session.drivers import HOLD_MS
from bci_rehab.session.drivers.hand import SimulatedHand, hand_state
from bci_rehab.session.drivers.lsl import LslMarkerDriver
from bci_rehab.session.drivers.network import OscDriver, UdpDriver
from bci_rehab.session.drivers.serial_port import SerialDriver
from bci_rehab.session.drivers.sham import Yoke, YokedTrial
from bci_rehab.session.slot import Slot
from hypothesis import given
from hypothesis import strategies as st

PATIENCE_S = 10.0


class HandEnd:
    def __init__(self, tmp_path):
        self.make = partial(SimulatedHand, path=tmp_path / "hand")
        self.path = tmp_path / "hand"

    def heard(self):
        return round(hand_state(Slot(self.path), time.monotonic()).level, 2)

    def close(self):
        pass


class UdpEnd:
    kind = UdpDriver

    def __init__(self, tmp_path):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(PATIENCE_S)
        self.make = partial(self.kind, host="127.0.0.1", port=self.socket.getsockname()[1])

    def heard(self):
        return self.read(self.socket.recv(4096))

    def read(self, datagram):
        said = json.loads(datagram)
        assert said["hold_ms"] == HOLD_MS
        return said["level"]

    def close(self):
        self.socket.close()


class OscEnd(UdpEnd):
    kind = OscDriver

    def read(self, datagram):
        from pythonosc.osc_message import OscMessage

        message = OscMessage(datagram)
        assert message.address == "/haihe/actuator"
        level, hold_ms = message.params
        assert hold_ms == HOLD_MS
        return round(level, 2)


class SerialEnd:
    def __init__(self, tmp_path):
        self.fd, device = pty.openpty()
        self.device = device
        self.make = partial(SerialDriver, port=os.ttyname(device))

    def heard(self):
        line = b""
        while not line.endswith(b"\n"):
            assert select.select([self.fd], [], [], PATIENCE_S)[0]
            line += os.read(self.fd, 1)
        level, hold = line.decode().split()
        assert hold == ("H000" if level == "L000" else f"H{HOLD_MS}")
        return int(level[1:]) / 100

    def close(self):
        os.close(self.fd)
        os.close(self.device)


class LslEnd:
    def __init__(self, tmp_path):
        self.stream = f"haihe-test-{os.getpid()}"
        self.make = partial(LslMarkerDriver, stream=self.stream, source_id=self.stream)
        self.inlet = None

    def heard(self):
        import pylsl

        if self.inlet is None:
            # What was said before somebody listened is gone; on is repeated anyway.
            found = pylsl.resolve_byprop("name", self.stream, timeout=PATIENCE_S)
            self.inlet = pylsl.StreamInlet(found[0])
            self.inlet.open_stream(PATIENCE_S)
            return 0.0
        (marker,), _ = self.inlet.pull_sample(PATIENCE_S)
        if marker == "off":
            return 0.0
        word, level, hold_ms = marker.split()
        assert (word, int(hold_ms)) == ("on", HOLD_MS)
        return float(level)

    def close(self):
        self.inlet = None


@pytest.fixture(params=[HandEnd, UdpEnd, OscEnd, SerialEnd, LslEnd])
def end(request, tmp_path):
    made = request.param(tmp_path)
    yield made
    made.close()


def test_opening_turns_off_and_what_is_said_arrives(end):
    driver = end.make()
    driver.open()
    assert end.heard() == 0.0
    driver.on(0.8)
    assert end.heard() == 0.8
    driver.on(1.0)
    assert end.heard() == 1.0
    driver.off()
    assert end.heard() == 0.0
    driver.off()
    assert end.heard() == 0.0, "off is safe at any time, also twice"
    driver.on(0.01)
    assert end.heard() == 0.01, "the smallest level is not off"
    driver.close()
    assert end.heard() == 0.0, "closing turns off"
    driver.close()


def test_it_has_a_name_and_can_be_made_in_another_process(end):
    driver = pickle.loads(pickle.dumps(end.make))()
    assert driver.name


def test_it_can_be_opened_again_after_it_was_closed(end):
    driver = end.make()
    driver.open()
    assert end.heard() == 0.0, "opening turns off"
    driver.close()
    assert end.heard() == 0.0, "closing turns off"
    end.inlet = None  # of a stream that ended with the driver
    driver.open()
    assert end.heard() == 0.0
    driver.on(0.5)
    assert end.heard() == pytest.approx(0.5, abs=0.01)
    driver.close()


def test_a_serial_port_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ActuatorUnavailable, match="no-such-port"):
        SerialDriver(port=str(tmp_path / "no-such-port")).open()


def test_a_host_that_does_not_exist_is_named():
    with pytest.raises(ActuatorUnavailable, match=r"nowhere\.invalid:9000"):
        UdpDriver(host="nowhere.invalid", port=9000).open()


def test_a_udp_receiver_that_is_gone_is_heard_of():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        driver = UdpDriver(host="127.0.0.1", port=receiver.getsockname()[1])
        driver.open()
    with pytest.raises(ConnectionRefusedError):
        for _ in range(100):
            driver.on(0.5)
            time.sleep(0.01)
    with suppress(ConnectionRefusedError):  # it says so at its end as well
        driver.close()


def test_a_serial_device_that_takes_nothing_is_an_error_and_not_a_wait():
    fd, device = pty.openpty()
    driver = SerialDriver(port=os.ttyname(device))
    driver.open()
    import serial

    with pytest.raises(serial.SerialTimeoutException):
        for _ in range(100_000):
            driver.on(0.5)
    with pytest.raises(serial.SerialTimeoutException):
        driver.close()
    os.close(fd)
    os.close(device)


trials = st.lists(
    st.builds(
        YokedTrial,
        side=st.sampled_from(["left", "rest"]),
        after_s=st.none() | st.floats(0.0, 4.0),
        decided=st.sampled_from(["left", "rest"]),
    ),
    max_size=8,
)


@given(trials, st.sampled_from(["left", "rest"]), st.integers(0, 40), st.floats(0.0, 5.0))
def test_a_yoke_answers_from_the_other_recording_alone(others, side, occurrence, after_s):
    own_side = [trial for trial in others if trial.side == side]
    decided = Yoke(others).decided(side, occurrence, after_s)
    if not own_side:
        assert decided is None
        return
    trial = own_side[occurrence % len(own_side)]
    due = trial.after_s is not None and after_s >= trial.after_s
    assert decided == (trial.decided if due else None)
