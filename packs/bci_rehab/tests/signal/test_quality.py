from __future__ import annotations

import numpy as np
import pytest
from bci_rehab.signal.quality import ContactGrade, contact_grade, mains_uv, spread, still_rows
from signal_makers import noise


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
def test_mains_is_measured_within_noise_and_offset(mains_hz: float) -> None:
    seconds = np.arange(1_000) / 500.0
    samples = noise(1_000, 3, uv=10.0) + 4_000.0
    samples[:, 1] += 30.0 * np.sqrt(2.0) * np.sin(2 * np.pi * mains_hz * seconds + 1.0)
    found = mains_uv(samples, rate_hz=500.0, mains_hz=mains_hz)
    assert found[1] == pytest.approx(30.0, rel=0.05)
    assert found[[0, 2]].max() < 2.0


def test_above_half_the_rate_there_is_no_mains_to_measure() -> None:
    assert (mains_uv(noise(200, 2), rate_hz=90.0, mains_hz=50.0) == 0.0).all()


def test_a_clipped_channel_stands_at_its_edge() -> None:
    samples = noise(400, 2)
    samples[:, 1] = np.clip(samples[:, 1], -5.0, 5.0)
    found = spread(samples)
    assert found.edge_share[0] < 0.05
    assert found.edge_share[1] > 0.3
    assert found.span[1] == 10.0


def test_a_row_is_still_only_where_every_channel_repeats() -> None:
    samples = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 3.0], [1.0, 3.0]])
    assert still_rows(samples, None).tolist() == [False, True, False, True]
    assert still_rows(samples, samples[0]).tolist() == [True, True, False, True]


@pytest.mark.parametrize(
    ("kohm", "grade"),
    [
        (0.0, ContactGrade.GOOD), (10.0, ContactGrade.GOOD), (10.1, ContactGrade.FAIR),
        (60.0, ContactGrade.POOR), (500.0, ContactGrade.OFF), (float("inf"), ContactGrade.OFF),
    ],
)  # fmt: skip
def test_an_impedance_is_graded(kohm: float, grade: ContactGrade) -> None:
    assert contact_grade(kohm) is grade


def test_a_dry_electrode_is_held_to_its_own_limit_and_nonsense_is_refused() -> None:
    assert contact_grade(90.0, good_kohm=100.0) is ContactGrade.GOOD
    for wrong in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="impedance"):
            contact_grade(wrong)
