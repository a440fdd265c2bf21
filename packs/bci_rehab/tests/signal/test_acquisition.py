from __future__ import annotations

import functools
import os
import signal
import time

import pytest
from bci_rehab.errors import SourceClosed, SourceFailed, SourceNotFound
from bci_rehab.signal.acquisition import Acquisition
from bci_rehab.signal.ring import Phase, RingReader
from signal_makers import Steady, Unfindable


def read_until_it_fails(reader: RingReader, *, limit_s: float = 10.0) -> int:
    rows = 0
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        got = reader.read(0.02)
        rows += len(got) if got else 0
    return rows


def test_samples_come_from_another_process_and_it_says_how_it_is_scheduled() -> None:
    with Acquisition(Steady) as acquisition:
        reader = acquisition.reader(from_oldest=True)
        got = reader.read(5.0)
        assert got is not None
        assert got.samples[0, 0] == got.first
        state = acquisition.state()
        assert (state.phase, state.alive) == (Phase.RUNNING, True)
        assert any(word in state.scheduling for word in ("SCHED_FIFO", "niceness", "ordinary"))
        assert reader.state().pid != os.getpid()
        reader.close()
    assert acquisition.state().alive is False
    with pytest.raises(SourceClosed):
        acquisition.reader()


def test_a_source_that_raises_is_told_to_readers_in_its_words() -> None:
    with Acquisition(functools.partial(Steady, fails_after=50)) as acquisition:
        reader = acquisition.reader(from_oldest=True)
        with pytest.raises(SourceFailed, match="caught fire"):
            read_until_it_fails(reader)
        state = acquisition.state()
        assert (state.phase, state.samples) == (Phase.FAILED, 50)
        assert "caught fire" in state.error
        reader.close()


def test_a_killed_acquisition_is_noticed_within_100_ms() -> None:
    with Acquisition(Steady) as acquisition:
        reader = acquisition.reader()
        assert reader.read(5.0) is not None
        os.kill(reader.state().pid, signal.SIGKILL)
        killed_s = time.monotonic()
        with pytest.raises(SourceFailed, match="ended from outside"):
            read_until_it_fails(reader)
        assert time.monotonic() - killed_s < 0.1
        reader.close()


def test_a_source_that_cannot_be_opened_is_told_to_who_started_it() -> None:
    with pytest.raises(SourceFailed, match="the plug is out"):
        Acquisition(functools.partial(Steady, fails_on_open=True)).start()
    with pytest.raises(SourceNotFound, match="x-1") as caught:
        Acquisition(Unfindable).start()
    assert caught.value.timeout_s == 2.0


def test_a_process_that_dies_while_opening_is_told_too() -> None:
    with pytest.raises(SourceFailed, match="ended with code 3"):
        Acquisition(functools.partial(os._exit, 3)).start()


def test_orders_are_carried_out_and_a_wrong_one_leaves_the_samples_flowing() -> None:
    with Acquisition(Steady) as acquisition:
        reader = acquisition.reader()
        assert acquisition.ask("double", 21) == 42
        with pytest.raises(SourceFailed, match="no command"):
            acquisition.ask("close")
        with pytest.raises(SourceFailed, match="no such electrode"):
            acquisition.ask("trip")
        while reader.read(0.0) is not None:
            pass
        assert reader.read(5.0) is not None
        assert acquisition.state().phase is Phase.RUNNING
        reader.close()


def test_an_answer_that_came_too_late_is_not_taken_for_the_next() -> None:
    with Acquisition(Steady) as acquisition:
        with pytest.raises(SourceFailed, match="no answer"):
            acquisition.ask("slow", 1, timeout_s=0.05)
        assert acquisition.ask("double", 4) == 8
        with pytest.raises(SourceFailed, match="too many to pass"):
            acquisition.ask("shout")


def test_it_can_be_started_again_after_it_failed() -> None:
    acquisition = Acquisition(Steady)
    acquisition.start()
    os.kill(acquisition.reader().state().pid, signal.SIGKILL)
    acquisition.start()
    reader = acquisition.reader(from_oldest=True)
    assert reader.read(5.0) is not None
    reader.close()
    acquisition.stop()
    acquisition.stop()
