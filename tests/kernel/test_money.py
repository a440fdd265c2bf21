"""Money: exact in, exact out, and no fen lost or made when a sum is shared."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haihe.kernel.errors import InvalidField
from haihe.kernel.money import (
    FEN_MICRO,
    MAX_AMOUNT_MICRO,
    check_amount_micro,
    check_asset,
    format_micro,
    parse_amount_micro,
    round_to_fen,
    share_out,
)


@pytest.mark.parametrize(
    "bad", [0, -1, 1.5, float("nan"), float("inf"), True, "1", None, MAX_AMOUNT_MICRO + 1]
)
def test_an_amount_that_is_no_positive_whole_number_is_refused(bad: object) -> None:
    with pytest.raises(InvalidField):
        check_amount_micro(bad)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "abc",
        "NaN",
        "Infinity",
        "-1",
        "0",
        "1.0000001",
        "1e30",
        "1e999999",
        "1e-999999",
        "1_0",
        "１０",
        "1e3",
        "+1",
        ".",
        "9" * 5_000,
    ],
)
def test_a_text_that_is_no_exact_amount_is_refused(bad: str) -> None:
    with pytest.raises(InvalidField):
        parse_amount_micro(bad)


@given(st.integers(1, MAX_AMOUNT_MICRO))
def test_what_is_written_reads_back(amount_micro: int) -> None:
    text, asset = format_micro(amount_micro).rsplit(" ", 1)
    assert asset == "CNY"
    assert parse_amount_micro(text.replace(",", "")) == amount_micro


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**12), min_size=1, max_size=8))
def test_shares_add_up_and_stay_within_a_fen_of_exact(fen: int, weights: list[int]) -> None:
    total = fen * FEN_MICRO if sum(weights) else 0
    shares = share_out(total, weights)
    assert sum(shares) == total
    for share, weight in zip(shares, weights, strict=True):
        exact = Fraction(total * weight, sum(weights) or 1)
        assert share % FEN_MICRO == 0
        assert abs(share - exact) < FEN_MICRO


@given(st.integers(0, 10**15))
def test_rounding_moves_by_half_a_fen_at_most(amount_micro: int) -> None:
    rounded = round_to_fen(amount_micro)
    assert rounded % FEN_MICRO == 0
    assert abs(rounded - amount_micro) * 2 <= FEN_MICRO


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_rounding_keeps_order(a: int, b: int) -> None:
    """A bill within its quote stays so after both are rounded."""
    small, large = sorted((a, b))
    assert round_to_fen(small) <= round_to_fen(large)


@pytest.mark.parametrize("good", ["CNY", "USD", "voucher:beijing-2023"])
def test_assets(good: str) -> None:
    assert check_asset(good) == good


@pytest.mark.parametrize("bad", ["cny", "CNYX", "voucher:", "voucher:A", "", "voucher:a b"])
def test_bad_assets(bad: str) -> None:
    with pytest.raises(InvalidField):
        check_asset(bad)
