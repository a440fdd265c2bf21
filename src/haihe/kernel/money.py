"""Money: integers in micro-units of an asset.

An asset is a currency (``CNY``) or a voucher scheme (``voucher:beijing-2023``). Amounts are
integers of one millionth of the asset's unit, so that a price per CPU-second is exact and no sum
drifts. What a person pays is rounded to fen once, at settlement, and :func:`share_out` divides a
rounded total without losing or inventing a fen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal

from haihe.kernel.errors import InvalidField

MICRO = 1_000_000
FEN_MICRO = MICRO // 100
CNY = "CNY"
# The largest integer that every reader of JSON holds exactly (RFC 7493), and that evidence admits:
# nine thousand million yuan. 64-bit columns leave room for the sums of a thousand such amounts.
MAX_AMOUNT_MICRO = 2**53 - 1

_LONGEST = 24  # characters; more digits than the limit has, and few enough to stay exact
_DECIMAL = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+")
_ASSET = re.compile(r"[A-Z]{3}|voucher:[a-z0-9]+(?:-[a-z0-9]+)*")


def check_asset(asset: str) -> str:
    """Return ``asset`` if it is an ISO 4217 code or ``voucher:<scheme slug>``."""
    if len(asset) > 64 or not _ASSET.fullmatch(asset):
        raise InvalidField(
            field="asset",
            value=asset[:64],
            rule="use a three-letter currency code such as CNY, or voucher:<scheme>",
        )
    return asset


def check_amount_micro(amount_micro: object, *, field: str = "amount_micro") -> int:
    """Return the amount if it is an integer from 1 to :data:`MAX_AMOUNT_MICRO`.

    Booleans, floats (NaN and infinities among them), zero and negative numbers are refused: money
    only ever moves in the direction that a transfer names.
    """
    whole = isinstance(amount_micro, int) and not isinstance(amount_micro, bool)
    if not whole or not 0 < amount_micro <= MAX_AMOUNT_MICRO:  # type: ignore[operator]
        raise InvalidField(
            field=field,
            value=amount_micro,
            rule=f"give a whole number of micro-units from 1 to {MAX_AMOUNT_MICRO}",
        )
    assert isinstance(amount_micro, int)
    return amount_micro


def parse_amount_micro(text: str, *, field: str = "amount") -> int:
    """Read a decimal amount such as ``"12.50"`` into micro-units, exactly or not at all.

    What :class:`Decimal` takes beyond that (``1_0``, digits of other scripts, exponents) is no way
    to write money.
    """
    text = text.strip()
    plain = len(text) <= _LONGEST and _DECIMAL.fullmatch(text)
    amount_micro = Decimal(text) * MICRO if plain else Decimal(0)
    exact = amount_micro == amount_micro.to_integral_value()
    if not exact or not 0 < amount_micro <= MAX_AMOUNT_MICRO:
        raise InvalidField(
            field=field, value=text[:64], rule="give a positive amount with at most six decimals"
        )
    return int(amount_micro)


def format_micro(amount_micro: int, asset: str = CNY) -> str:
    """Write an amount for people: at least two decimals, no more than it needs, then the asset."""
    sign = "-" if amount_micro < 0 else ""
    whole, part = divmod(abs(amount_micro), MICRO)
    decimals = f"{part:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole:,}.{decimals} {asset}"


def round_to_fen(amount_micro: int) -> int:
    """Round to whole fen, halves to the even fen so that many roundings do not drift."""
    fen = (Decimal(amount_micro) / FEN_MICRO).quantize(Decimal(1), rounding=ROUND_HALF_EVEN)
    return int(fen) * FEN_MICRO


def share_out(total_micro: int, weights: Sequence[int]) -> list[int]:
    """Divide a total of whole fen by ``weights`` with the largest-remainder method (Hamilton).

    Parameters
    ----------
    total_micro : int
        Non-negative, a multiple of :data:`FEN_MICRO`.
    weights : sequence of int
        Non-negative, at least one positive unless ``total_micro`` is zero.

    Returns
    -------
    list of int
        One share per weight, each whole fen, summing to ``total_micro`` exactly. Ties of
        remainders go to the earlier weight.
    """
    assert total_micro >= 0
    assert total_micro % FEN_MICRO == 0
    assert all(weight >= 0 for weight in weights)
    total_fen = total_micro // FEN_MICRO
    weight_sum = sum(weights)
    if weight_sum == 0:
        assert total_fen == 0, "a positive total needs a positive weight"
        return [0] * len(weights)
    shares = [total_fen * weight // weight_sum for weight in weights]
    remainders = [total_fen * weight % weight_sum for weight in weights]
    left = total_fen - sum(shares)
    for index in sorted(range(len(weights)), key=lambda i: (-remainders[i], i))[:left]:
        shares[index] += 1
    assert sum(shares) == total_fen
    return [share * FEN_MICRO for share in shares]
