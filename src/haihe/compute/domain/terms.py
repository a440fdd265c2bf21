"""What an operator says of a centre and of a pool beside its size and price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from haihe.kernel.errors import InvalidField

REGION_LENGTH = 80
WORD_LENGTH = 80
SOFTWARE_LIMIT = 200
WATTS_LIMIT = 1_000_000_000
CARBON_LIMIT = 5_000
LINK_LIMIT = 10**15
PENDING_LIMIT = 100_000
REASON_LENGTH = 400


@dataclass(frozen=True, kw_only=True)
class CentreTerms:
    """Where a centre is, how clean its power is, how fast data gets there.

    ``carbon_g_per_kwh`` is None where it is not known; ``link_bytes_per_s`` where the centre shares
    a disk with the platform, so that nothing has to move.
    """

    region: str = ""
    carbon_g_per_kwh: int | None = None
    link_bytes_per_s: int | None = None

    def check(self) -> None:
        """Refuse what cannot be.

        Raises
        ------
        InvalidField
            That names the field.
        """
        _check_words("region", [self.region], REGION_LENGTH)
        _check_number("carbon_g_per_kwh", self.carbon_g_per_kwh, 0, CARBON_LIMIT)
        _check_number("link_bytes_per_s", self.link_bytes_per_s, 1, LINK_LIMIT)


@dataclass(frozen=True, kw_only=True)
class PoolTerms:
    """How a pool is reached, what it has beside processors, and whom it takes.

    ``software`` are names that a job may ask for. ``watts_idle`` and ``watts_busy`` are of the
    whole pool. ``pending_limit`` is how many jobs may wait in the scheduler's own queue; 0 where
    jobs are placed only when there is room.
    """

    backend: str = "local"
    partition: str = ""
    software: Sequence[str] = ()
    watts_idle: int | None = None
    watts_busy: int | None = None
    needs_allocation: bool = False
    needs_account: bool = False
    pending_limit: int = 0

    def check(self) -> None:
        """Refuse what cannot be.

        Raises
        ------
        InvalidField
            That names the field.
        """
        _check_words("partition", [self.partition], WORD_LENGTH)
        _check_words("software", self.software, WORD_LENGTH)
        if len(self.software) > SOFTWARE_LIMIT:
            rule = f"give at most {SOFTWARE_LIMIT} names"
            raise InvalidField(field="software", value=len(self.software), rule=rule)
        _check_number("watts_idle", self.watts_idle, 0, WATTS_LIMIT)
        _check_number("watts_busy", self.watts_busy, self.watts_idle or 0, WATTS_LIMIT)
        _check_number("pending_limit", self.pending_limit, 0, PENDING_LIMIT)


def check_period(begins: date | datetime, ends: date | datetime, *, field: str) -> None:
    """Refuse a period that ends before it begins.

    Raises
    ------
    InvalidField
        That names ``field``.
    """
    if ends < begins:
        raise InvalidField(field=field, value=ends.isoformat(), rule="it ends before it begins")


def _check_number(field: str, value: int | None, least: int, most: int) -> None:
    if value is not None and not least <= value <= most:
        rule = f"give a whole number {least} to {most}"
        raise InvalidField(field=field, value=value, rule=rule)


def _check_words(field: str, words: Sequence[str], length: int) -> None:
    for word in words:
        if len(word) > length or word != word.strip() or not word.isprintable():
            rule = f"give at most {length} characters, without spaces around them"
            raise InvalidField(field=field, value=word[:40], rule=rule)
