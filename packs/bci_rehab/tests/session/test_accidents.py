"""Every accident of the hazard log, done to a running session with real processes."""

import json
from dataclasses import replace

import pytest
from bci_rehab.session.accidents import Row, accidents, run_accidents

TRIES = 3
SAYS = {
    "stream_stops": "No fresh samples",
    # Whichever is seen first: the stream as a whole, or channel by channel.
    "stream_freezes": ("The same values have come", "Too many electrodes"),
    "stream_doubles": "samples came twice",
    "stream_jumps_in_time": "clock jumped by 5.000 s",
    "stream_late_in_bursts": "No fresh samples",
    "samples_lost": "lost",
    "channel_detached": "2 channels",
    "units_10000_times_off": "The unit or the gain",
    "wrong_rate_in_header": "its header says 500.0",
    "file_cut_short": "The header promises 30 records and 20 are there",
    "two_sources_of_one_name": "2 sources are called",
    "channel_labels_swapped": "was made for the channels F3, F4, C3, Cz, C4",
    "class_labels_swapped": "says the opposite",
    "decoder_raises": "not positive definite",
    "decoder_takes_2_s": "does not answer in time",
    "disk_full": "cannot be written",
    "browser_closed": "page is closed",
    "driver_hangs": "did not return within 80 ms",
    "acquisition_process_killed": "ended from outside",
    "actuator_process_killed": "does not answer",
    "decoder_process_killed": "process ended",
    "session_killed_1": "resume the session",
    "session_killed_2": "resume the session",
    "session_killed_3": "resume the session",
}


def test_every_accident_has_its_message_here():
    assert set(accidents()) == set(SAYS)


@pytest.mark.faults
@pytest.mark.parametrize("name", SAYS)
def test_it_ends_with_the_hand_at_rest_a_plain_message_and_the_recording(name):
    words = SAYS[name] if isinstance(SAYS[name], tuple) else (SAYS[name],)
    # A machine that is busy for 150 ms is an accident too, and may come before the one that is
    # meant: then the session stopped for it, and the accident is tried again.
    for _ in range(TRIES):
        (row,) = run_accidents([name])
        assert row.stopped, row
        assert row.stop_ms <= 250.0, row
        assert row.lost_s <= (0.5 if name.startswith("session_killed") else 0.1), row
        assert row.is_safe
        if any(word in row.message for word in words):
            break
    assert any(word in row.message for word in words), row
    assert json.loads(json.dumps(row.to_json()))["accident"] == name


@pytest.mark.parametrize(
    "change",
    [{"stopped": False}, {"stop_ms": 250.1}, {"lost_s": 0.2}, {"message": ""}],
)
def test_what_is_not_as_promised_is_not_safe(change):
    row = Row(accident="disk_full", stop_ms=100.0, lost_s=0.0, message="It stopped.")
    assert row.is_safe
    assert not replace(row, moved=False).is_safe, "nothing was measured"
    assert replace(row, accident="wrong_rate_in_header", moved=False).is_safe
    assert not replace(row, **change).is_safe
    assert replace(row, accident="session_killed_1", lost_s=0.4).is_safe
