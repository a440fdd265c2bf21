"""The live path of the motor decoder under bursts, flat leads and their end."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from bci_rehab.session.motor_live import practised
from bci_rehab.signal.blocks import Block, Channel, ChannelKind, StreamInfo
from bci_rehab.signal.layout import montage

RATE_HZ = 250.0
INFO = StreamInfo(
    name="s",
    source_id="s",
    rate_hz=RATE_HZ,
    channels=tuple(Channel(name=name) for name in montage(16)),
)
Said = dict[int, tuple[Mapping[str, float], bool]]


def _said(samples: np.ndarray) -> Said:
    """What a decoder says of a stream, by the window's end."""
    decoder, said = practised(INFO), {}
    for first in range(0, len(samples), 5):
        part = samples[first : first + 5]
        block = Block(first=first, samples=part, device_s=np.zeros(len(part)), host_s=0.0)
        said |= {end: (odds, clean) for end, odds, clean in decoder.push(block)}
    return said


def _noise(seconds: float) -> np.ndarray:
    shape = (round(seconds * RATE_HZ), len(INFO.channels))
    return 10.0 * np.random.default_rng(0).standard_normal(shape)


def test_a_burst_is_no_evidence_and_leaves_nothing_behind() -> None:
    calm = _noise(40.0)
    burst = calm.copy()
    rows = slice(round(10 * RATE_HZ), round(13 * RATE_HZ))
    touched_electrodes = [INFO.named(ChannelKind.EEG).index(name) for name in ("C3", "Cz", "C4")]
    shake = 500.0 * np.random.default_rng(1).standard_normal((round(3 * RATE_HZ), 3))
    burst[rows, touched_electrodes] += shake
    without, with_burst = _said(calm), _said(burst)
    touched = [end for end in with_burst if rows.start < end <= rows.stop + RATE_HZ]
    assert touched
    assert all(with_burst[end] == ({"rest": 0.0, "right": 0.0}, False) for end in touched)
    late = [end for end in with_burst if end > rows.stop + 20 * RATE_HZ]
    moved = [abs(with_burst[end][0]["right"] - without[end][0]["right"]) for end in late]
    usual = np.std([without[end][0]["right"] for end in late])
    assert max(moved) < 0.2 * usual


def test_a_flat_strip_is_not_clean_and_the_decoder_outlives_it() -> None:
    for level in (0.0, 37.0):
        samples = _noise(20.0)
        samples[: round(8 * RATE_HZ)] = level
        said = _said(samples)
        flat = [clean for end, (_, clean) in said.items() if end <= 8 * RATE_HZ]
        back = [clean for end, (_, clean) in said.items() if end > 12 * RATE_HZ]
        assert flat
        assert not any(flat)
        assert all(back)
