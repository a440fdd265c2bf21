from __future__ import annotations

import math

import numpy as np
import pytest
from bci_rehab.errors import ChannelUnknown
from bci_rehab.signal import layout


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Fc5.", "FC5"), ("Cz..", "Cz"), ("Af3.", "AF3"), ("EEG FP1-REF", "Fp1"), ("C3-A2", "C3"),
        ("T3", "T7"), ("t6", "P8"), ("POZ", "POz"), ("EMG left", "EMG left"), (" iz ", "Iz"),
    ],
)  # fmt: skip
def test_a_name_is_brought_to_the_10_10_spelling(written: str, meant: str) -> None:
    assert layout.normalise(written) == meant


def test_all_places_lie_on_the_unit_sphere() -> None:
    lengths = np.linalg.norm(layout.positions(layout.montage(64)), axis=1)
    np.testing.assert_allclose(lengths, 1.0, atol=2e-3)


def test_left_is_left_and_the_nose_is_in_front() -> None:
    assert layout.position_2d("C3")[0] < -0.3 < 0.3 < layout.position_2d("C4")[0]
    assert layout.position_2d("Oz")[1] < -0.8 < 0.8 < layout.position_2d("Fpz")[1]
    assert math.hypot(*layout.position_2d("Cz")) < 0.1


def test_the_neighbours_of_c3_are_those_around_it() -> None:
    assert set(layout.neighbours("C3", layout.montage(64))) == {"FC3", "CP3", "C1", "C5"}


def test_neighbours_pass_over_what_is_no_electrode() -> None:
    assert layout.neighbours("C3", ["C3", "EMG left", "Cz"], count=4) == ("Cz",)


def test_each_montage_has_distinct_electrodes_and_the_smallest_sees_hands_and_vision() -> None:
    for count in range(8, 65):
        assert len(set(layout.montage(count))) == count
    assert {"C3", "C4", "Cz", "Oz", "Pz"} <= set(layout.montage(8))


def test_a_place_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(ChannelUnknown, match="X99"):
        layout.position("X99")
