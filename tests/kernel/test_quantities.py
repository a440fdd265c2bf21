"""Quantities as people write them."""

from __future__ import annotations

import pytest

from haihe.kernel.errors import InvalidField
from haihe.kernel.quantities import whole_units


def test_a_quantity_is_kept_in_whole_small_units() -> None:
    assert whole_units(1.5, 1_000, field="cpu") == 1_500
    assert whole_units(0, 1_000, field="cpu") == 0


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf"), 1e300])
def test_what_is_no_number_of_anything_is_refused(wrong: float) -> None:
    with pytest.raises(InvalidField) as caught:
        whole_units(wrong, 1_000, field="cpu")
    assert caught.value.field == "cpu"
