"""The actuator's process and its stand-by: off within 250 ms, whoever dies."""

import os
import pickle
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import session_bad_drivers as bad_drivers
from bci_rehab.errors import ActuatorUnavailable
from bci_rehab.session.actuator import ActuatorHost
from bci_rehab.session.drivers.hand import SimulatedHand, hand_state
from bci_rehab.session.host_status import HostState
from bci_rehab.session.interlock import Limits, Permit, StopReason
from bci_rehab.session.slot import Slot

WITHIN_S = 0.25


class Bench:
    """A started actuator with a simulated hand, and a session that is this test."""

    def __init__(self, folder: Path, kind=SimulatedHand, **options):
        Slot.create(folder / "hand").close()
        self.hand = Slot(folder / "hand")
        make = partial(kind, path=folder / "hand", **options)
        self.host = ActuatorHost(make, limits=Limits(), folder=folder)
        self.number = 0

    def renew(self, level=1.0, reason=None):
        self.number += 1
        now_s = time.monotonic()
        self.host.renew(
            Permit(number=self.number, stamp_s=now_s, level=level, epoch=1, reason=reason)
        )

    def state(self):
        return hand_state(self.hand, time.monotonic())

    def until(self, met, *, renewing, within_s=5.0):
        end_s = time.monotonic() + within_s
        while not met():
            assert time.monotonic() < end_s, f"waited in vain: {self.state()}"
            if renewing:
                self.renew()
            time.sleep(0.005)

    def move(self):
        self.until(lambda: self.state().level > 0.0, renewing=True)

    def stopped_after_s(self, cause_s, *, renewing):
        self.until(lambda: self.state().level == 0.0, renewing=renewing)
        return self.state().since_s - cause_s


@pytest.fixture
def bench(tmp_path):
    benches = []

    def start(kind=SimulatedHand, **options):
        made = Bench(tmp_path, kind, **options)
        benches.append(made)
        made.host.start()
        return made

    yield start
    for made in benches:
        made.host.close()


def test_it_is_off_until_a_permit_comes_and_moves_with_it(bench):
    made = bench()
    time.sleep(0.1)
    assert made.state().level == 0.0
    assert made.host.status().why_off is StopReason.NOT_ARMED
    made.move()
    made.until(lambda: made.host.status().level == 1.0, renewing=True)
    assert [transition.level for transition in made.host.news()] == [1.0]


def test_permits_that_cease_turn_it_off(bench):
    made = bench()
    made.move()
    ceased_s = time.monotonic()
    assert made.stopped_after_s(ceased_s, renewing=False) <= WITHIN_S
    made.until(lambda: made.host.status().level == 0.0, renewing=False)
    assert made.host.news()[-1].reason is StopReason.PERMIT_LATE


def test_a_stop_is_carried_out_at_once_and_reported(bench):
    made = bench()
    made.move()
    stop_s = time.monotonic()
    made.renew(level=0.0, reason=StopReason.EMERGENCY_KEY)
    assert made.stopped_after_s(stop_s, renewing=False) <= WITHIN_S
    made.until(lambda: made.host.status().level == 0.0, renewing=False)
    assert made.host.news()[-1].reason is StopReason.EMERGENCY_KEY


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_the_stand_by_turns_off_when_the_host_is_gone(bench, how):
    made = bench()
    made.move()
    pid, _ = made.host.pids
    cause_s = time.monotonic()
    os.kill(pid, how)
    assert made.stopped_after_s(cause_s, renewing=True) <= WITHIN_S
    made.until(lambda: made.host.fault(time.monotonic()) is not None, renewing=True)
    assert made.host.fault(time.monotonic()).reason is StopReason.DRIVER_FAILED
    made.until(made.host.news, renewing=True)
    movements = made.state().movements
    if how is signal.SIGSTOP:
        os.kill(pid, signal.SIGCONT)
        made.renew(level=0.0, reason=StopReason.DRIVER_FAILED)
        time.sleep(0.3)
    assert made.state().level == 0.0
    assert made.state().movements == movements


def test_a_host_that_was_only_late_is_watched_again(bench):
    made = bench()
    pid, standby = made.host.pids
    for _ in range(2):
        made.host.news()
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.16)  # longer than a heartbeat may be old, not yet ended by its own watch
        os.kill(pid, signal.SIGCONT)
        made.until(lambda: made.host.fault(time.monotonic()) is None, renewing=False)
        made.until(made.host.news, renewing=False)
    os.kill(standby, signal.SIGKILL)
    made.until(lambda: made.host.fault(time.monotonic()) is not None, renewing=False)
    assert "stands by" in made.host.fault(time.monotonic()).detail


@pytest.mark.parametrize("kind", ["Raises", "Hangs", "HoldsTheInterpreter"])
def test_a_driver_that_fails_is_cut_off_and_the_session_is_told(bench, kind):
    made = bench(getattr(bad_drivers, kind))
    made.move()
    assert made.stopped_after_s(made.state().since_s, renewing=True) <= WITHIN_S
    made.until(lambda: made.host.fault(time.monotonic()) is not None, renewing=True)
    said = made.host.fault(time.monotonic()).detail
    words = {
        "Raises": "OSError: the stimulator reports a short circuit",
        "Hangs": "a call did not return within 80 ms",
        "HoldsTheInterpreter": "the actuator's process does not answer",
    }
    assert said == words[kind]
    time.sleep(0.3)
    assert made.state().level == 0.0, "no late word moves it again"


def test_a_device_that_cannot_be_opened_is_named_with_its_own_words(bench):
    with pytest.raises(ActuatorUnavailable) as refused:
        bench(bad_drivers.NotThere)
    assert "OSError: no such device" in str(refused.value)


def test_on_is_repeated_within_the_devices_lease_and_off_more_than_once(bench, tmp_path):
    made = bench(bad_drivers.LogsCalls, log=tmp_path / "log")
    made.move()
    end_s = time.monotonic() + 0.6
    made.until(lambda: time.monotonic() > end_s, renewing=True)
    made.renew(level=0.0)
    time.sleep(0.3)
    said = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert sum(word == "on" for word, *_ in said) >= 6
    after = len(said) - 1 - [word for word, *_ in said][::-1].index("on")
    assert len(said) - 1 - after >= 3


def test_closing_turns_off_and_ends_both_processes(bench):
    made = bench()
    made.move()
    made.host.close()
    assert made.state().level == 0.0
    assert made.host.status().state is HostState.CLOSED
    for pid in made.host.pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


SESSION = """
import pickle, sys, time
from pathlib import Path
from functools import partial
from bci_rehab.session.actuator import ActuatorHost
from bci_rehab.session.drivers.hand import SimulatedHand
from bci_rehab.session.interlock import Limits, Permit
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    make = partial(SimulatedHand, path=folder / "hand")
    host = ActuatorHost(make, limits=Limits(), folder=folder)
    host.start()
    print(*host.pids, flush=True)
    for number in range(1, 10_000):
        host.renew(Permit(number=number, stamp_s=time.monotonic(), level=1.0, epoch=1))
        time.sleep(0.02)
"""


def test_killing_the_session_turns_off_and_leaves_no_process(tmp_path):
    script = tmp_path / "session.py"
    script.write_text(SESSION)
    Slot.create(tmp_path / "hand").close()
    hand = Slot(tmp_path / "hand")
    with subprocess.Popen(
        [sys.executable, script, tmp_path], stdout=subprocess.PIPE, text=True
    ) as session:
        pids = [int(word) for word in session.stdout.readline().split()]
        while hand_state(hand, time.monotonic()).level == 0.0:
            time.sleep(0.005)
        time.sleep(0.2)
        cause_s = time.monotonic()
        session.kill()
    while hand_state(hand, time.monotonic()).level > 0.0:
        assert time.monotonic() < cause_s + 2.0
        time.sleep(0.005)
    assert hand_state(hand, time.monotonic()).since_s - cause_s <= WITHIN_S
    until_s = time.monotonic() + 5.0
    while any(Path(f"/proc/{pid}/cmdline").exists() for pid in pids):
        assert time.monotonic() < until_s, "a process outlived the session"
        time.sleep(0.02)


def test_a_hand_that_hears_nothing_stops_by_itself(tmp_path):
    hand = SimulatedHand(path=tmp_path / "hand")
    hand.open()
    hand.on(0.7)
    slot = Slot(tmp_path / "hand")
    said_s = slot.read().stamp_s
    assert hand_state(slot, said_s + 0.199).level == 0.7
    assert hand_state(slot, said_s + 0.2).level == 0.0


def test_a_driver_travels_to_another_process_closed(tmp_path):
    hand = SimulatedHand(path=tmp_path / "hand")
    hand.open()
    assert pickle.loads(pickle.dumps(hand)) == SimulatedHand(path=tmp_path / "hand")
