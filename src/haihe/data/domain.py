"""Rules of datasets: usage policies, and what a CSV file must look like."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from haihe.data.errors import RaggedRows, TermRefused, UnreadableFile, WrongEncoding
from haihe.kernel.errors import InvalidField
from haihe.kernel.ids import check_slug

FORMATS = ("csv", "parquet")
PURPOSES = ("research", "training", "evaluation", "service")
MAX_DAYS = 3_660
CENTRES_LIMIT = 100
COLUMN_LIMIT = 10_000
COLUMN_NAME_LENGTH = 200
LINE_LIMIT_BYTES = 16_000_000


@dataclass(frozen=True, kw_only=True)
class UsagePolicy:
    """The terms on which a holder lets others use a dataset.

    ``purposes`` says what for, ``days`` how long one agreement lasts at most, ``download`` whether
    the content may leave the platform (a job inside it may always read), ``standing`` whether any
    verified organisation may accept the terms without asking, ``centres`` the slugs of those that
    jobs may take it to; any, if it names none.
    """

    purposes: tuple[str, ...]
    days: int
    download: bool = False
    standing: bool = False
    centres: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The policy as JSON."""
        return {**asdict(self), "purposes": list(self.purposes), "centres": list(self.centres)}


def policy_from(data: Mapping[str, Any]) -> UsagePolicy:
    """Read a policy from JSON or a form, and check it.

    Raises
    ------
    InvalidField
        If a purpose is unknown, none is given, the days are out of range, or a centre's name is
        none.
    """
    purposes = tuple(data.get("purposes", ()))
    unknown = [purpose for purpose in purposes if purpose not in PURPOSES]
    if unknown or not purposes:
        raise InvalidField(
            field="purposes", value=", ".join(unknown), rule="choose from " + ", ".join(PURPOSES)
        )
    days = data.get("days", 365)
    if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= MAX_DAYS:
        raise InvalidField(field="days", value=days, rule=f"give 1 to {MAX_DAYS}")
    centres = tuple(data.get("centres", ()))
    if len(centres) > CENTRES_LIMIT:
        rule = f"give at most {CENTRES_LIMIT}"
        raise InvalidField(field="centres", value=len(centres), rule=rule)
    for centre in centres:
        check_slug(centre, field="centres")
    return UsagePolicy(
        purposes=purposes,
        days=days,
        centres=centres,
        download=bool(data.get("download", False)),
        standing=bool(data.get("standing", False)),
    )


def check_terms(policy: UsagePolicy, *, dataset: str, purpose: str, days: int) -> None:
    """Refuse terms that the policy does not admit."""
    if purpose not in policy.purposes:
        raise TermRefused(
            dataset=dataset, term="purpose", allowed=", ".join(policy.purposes), asked=purpose
        )
    if not 1 <= days <= policy.days:
        raise TermRefused(
            dataset=dataset, term="days", allowed=f"1 to {policy.days}", asked=str(days)
        )


def grant_expiry(
    at: datetime, *, agreement_ends: datetime | None, job_limit: timedelta
) -> datetime:
    """When a job's permission to read ends: with the job's longest life, or with the agreement."""
    ends = at + job_limit
    return min(ends, agreement_ends) if agreement_ends else ends


def check_csv(lines: Iterable[bytes], *, name: str) -> int:
    """Check that each record of a CSV file has the header's fields; return the number of records.

    A reader that fills short rows with nulls would hide a shifted column: such files are refused,
    with the line. A blank line is a row without fields; only where there is one column it is a row
    with an empty field.

    Raises
    ------
    WrongEncoding, RaggedRows, UnreadableFile
    """
    reader = csv.reader(_decoded(lines, name=name), strict=True)
    try:
        header = next(reader, None)
        if not header:
            raise UnreadableFile(name=name, reason="it has no header line")
        check_columns(header, name=name)
        records = 0
        for row in reader:
            found = len(row) or int(len(header) == 1)
            if found != len(header):
                raise RaggedRows(name=name, line=reader.line_num, found=found, expected=len(header))
            records += 1
    except csv.Error as error:
        raise UnreadableFile(name=name, reason=f"line {reader.line_num}: {error}") from None
    if records == 0:
        raise UnreadableFile(name=name, reason="it has a header and no rows")
    return records


def check_columns(header: list[str], *, name: str) -> None:
    """Refuse columns that are too many, that have no name, a name of two, or one without end."""
    if len(header) > COLUMN_LIMIT:
        raise UnreadableFile(name=name, reason=f"it has more than {COLUMN_LIMIT} columns")
    seen: set[str] = set()
    for column in header:
        if not column.strip():
            raise UnreadableFile(name=name, reason="a column has no name")
        if len(column) > COLUMN_NAME_LENGTH:
            raise UnreadableFile(
                name=name,
                reason=f"the name of a column is longer than {COLUMN_NAME_LENGTH} characters",
            )
        if column in seen:
            raise UnreadableFile(name=name, reason=f"the column {column!r} occurs twice")
        seen.add(column)


def _decoded(lines: Iterable[bytes], *, name: str) -> Iterator[str]:
    for number, line in enumerate(lines):
        if len(line) > LINE_LIMIT_BYTES:
            reason = f"line {number + 1} is longer than {LINE_LIMIT_BYTES} bytes"
            raise UnreadableFile(name=name, reason=reason)
        if b"\0" in line:
            raise WrongEncoding(name=name, line=number, byte="0x00")
        try:
            yield line.decode("utf-8-sig" if number == 0 else "utf-8")
        except UnicodeDecodeError as error:
            byte = f"0x{line[error.start]:02x}"
            raise WrongEncoding(name=name, line=number, byte=byte) from None
