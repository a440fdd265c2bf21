"""Cards by the names that people, drivers and price lists give them, and what they count."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haihe.compute.domain.accelerators import (
    MODELS,
    Maker,
    accelerator_of,
    accepts,
    card_hours,
    is_known,
)

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("A100", "A100-40GB"),
        ("NVIDIA A100-SXM4-80GB", "A100-80GB"),
        ("A100 80GB PCIe", "A100-80GB"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("h100", "H100"),
        ("NVIDIA H800", "H800"),
        ("NVIDIA A800-SXM4-80GB", "A800-80GB"),
        ("Tesla V100-SXM2-32GB", "V100M32"),
        ("V100M16", "V100M16"),
        ("Tesla T4", "T4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA GeForce RTX 4090", "RTX4090"),
        ("Ascend 910B3", "910B"),
        ("nvidia_h200", "H200"),
    ],
)
def test_a_card_is_known_by_each_of_its_names(name: str, model: str) -> None:
    assert accelerator_of(name).model == model


@pytest.mark.parametrize("name", ["", "BW1000", "K100_AI", "910C", "A1000", "H2000"])
def test_a_card_that_is_not_in_the_table_is_no_other_card(name: str) -> None:
    assert accelerator_of(name).maker is Maker.OTHER
    assert not is_known(name)
    assert card_hours(HOUR_MS * 1_000, accelerator_of(name)) == 0


@pytest.mark.parametrize(
    ("wish", "model", "is_good"),
    [
        ("", "anything", True),
        ("A100", "A100-SXM4-80GB", True),
        ("A100", "A100-40GB", True),
        ("A100-80GB", "NVIDIA A100-SXM4-80GB", True),
        ("A100-SXM4-80GB", "A100-80GB", True),
        ("A100-80GB", "A100-40GB", False),
        ("A100-80GB", "A100", False),
        ("H100", "NVIDIA H100 80GB HBM3", True),
        ("H100", "H200", False),
        ("nvidia", "A100-SXM4-80GB", True),
        ("nvidia", "910B3", False),
        ("ascend", "Ascend 910B3", True),
        ("npu", "910B3", True),
        ("910B", "910B3", True),
        ("BW1000", "BW1000", True),
        ("BW1000", "K100", False),
        ("H200", "", False),
    ],
)
def test_a_wish_means_a_model_a_maker_or_a_class(wish: str, model: str, is_good: bool) -> None:
    assert accepts(wish, model) == is_good


@given(st.sampled_from(sorted(MODELS)), st.integers(0, 10**12))
def test_card_hours_count_each_card_by_its_peak(model: str, gpu_milli_ms: int) -> None:
    card = MODELS[model]
    whole = Fraction(gpu_milli_ms, HOUR_MS * 1_000)
    assert card_hours(gpu_milli_ms, card) == whole * Fraction(card.tflops, 312)
    assert accepts(card.model, card.model)
    assert accepts(card.maker, card.model)
