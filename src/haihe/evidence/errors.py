"""Errors of the evidence log.

HaiheError
Invalid
├── NotCanonical         a value that has no one canonical text
├── NotAnExport          a file that is no export of an evidence log
├── NotAKey              what should name a public key names none
├── NotAProof            a file that is no proof of an entry
└── NotATrustFile        a file that pins no log
TooLarge
├── EntryTooLarge        one entry over its limit
└── TooManyEntries       one transaction over its limit
Conflict
└── TrustOfOtherLog      an export over the memory of another log
Unavailable
└── SigningKeyMissing    the key that signs checkpoints cannot be used
Corrupt
├── LineUnreadable       a line of an export that cannot be read
├── HeaderWrong          an export's first line contradicts the rest
├── EntryWrong           an entry is not the one that was logged
├── EntryMisplaced       an entry stands where another belongs
├── EntriesMissing       entries were deleted, or the copy is an older one
├── EntriesRewritten     entries are not those that a checkpoint was signed for
├── EntriesUncovered     no checkpoint was signed for the newest entries
├── CheckpointWrong      a checkpoint that the log's keys did not sign
├── OtherLog             another log stands in the place of the known one
└── LogContradicts       the database and what is known of it disagree
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haihe.kernel.errors import Conflict, Corrupt, Invalid, TooLarge, Unavailable, gettext_noop


@dataclass(kw_only=True, eq=False)
class NotCanonical(Invalid):
    """A value outside the subset of JSON whose RFC 8785 text every reader agrees on."""

    code: ClassVar[str] = "evidence.not_canonical"
    template: ClassVar[str] = gettext_noop("This cannot be evidence: {path} {reason}.")

    path: str
    reason: str


@dataclass(kw_only=True, eq=False)
class NotAnExport(Invalid):
    """A file that is no export of an evidence log."""

    code: ClassVar[str] = "evidence.not_an_export"
    template: ClassVar[str] = gettext_noop("{place} is no evidence export: {reason}.")

    place: str
    reason: str


@dataclass(kw_only=True, eq=False)
class NotAKey(Invalid):
    """What was given as the key of a log is none."""

    code: ClassVar[str] = "evidence.not_a_key"
    template: ClassVar[str] = gettext_noop(
        "{given} names no key: {reason}. Give its id, its 64 hexadecimal digits, or a PEM file."
    )

    given: str
    reason: str


@dataclass(kw_only=True, eq=False)
class NotAProof(Invalid):
    """A file that is no proof of an entry."""

    code: ClassVar[str] = "evidence.not_a_proof"
    template: ClassVar[str] = gettext_noop("{place} is no proof of an evidence entry: {reason}.")

    place: str
    reason: str


@dataclass(kw_only=True, eq=False)
class NotATrustFile(Invalid):
    """A file that was given as memory of a log and is none."""

    code: ClassVar[str] = "evidence.not_a_trust_file"
    template: ClassVar[str] = gettext_noop(
        "{place} is no trust file: {reason}. Give the one that was written beside an export."
    )

    place: str
    reason: str


@dataclass(kw_only=True, eq=False)
class EntryTooLarge(TooLarge):
    """An entry holds facts and references, never content."""

    code: ClassVar[str] = "evidence.entry_too_large"
    template: ClassVar[str] = gettext_noop(
        "The data of a {kind!r} entry takes {size_bytes} bytes; at most {limit_bytes} are kept. "
        "Log a hash of the content instead."
    )

    kind: str
    size_bytes: int
    limit_bytes: int


@dataclass(kw_only=True, eq=False)
class TooManyEntries(TooLarge):
    """One transaction writes more evidence than memory should hold."""

    code: ClassVar[str] = "evidence.too_many_entries"
    template: ClassVar[str] = gettext_noop(
        "One transaction may log {limit} entries. Split the work into several."
    )

    limit: int


@dataclass(kw_only=True, eq=False)
class TrustOfOtherLog(Conflict):
    """The trust file beside an export remembers another log: it is not overwritten."""

    code: ClassVar[str] = "evidence.trust_of_other_log"
    template: ClassVar[str] = gettext_noop(
        "{place} remembers log {trusted}, and this database holds log {log}. If the database was "
        "replaced on purpose, export to another file; otherwise restore the log."
    )

    place: str
    trusted: str
    log: str


@dataclass(kw_only=True, eq=False)
class SigningKeyMissing(Unavailable):
    """Without its private key the log takes no entries, and so nothing that must leave evidence."""

    code: ClassVar[str] = "evidence.signing_key_missing"
    template: ClassVar[str] = gettext_noop(
        "The private key {key} of the evidence log cannot be used: {place} {reason}. Nothing was "
        "changed; restore the file from the backup of the home folder."
    )

    key: str
    place: str
    reason: str


@dataclass(kw_only=True, eq=False)
class LineUnreadable(Corrupt):
    """A line of an export that is neither entry nor checkpoint."""

    code: ClassVar[str] = "evidence.line_unreadable"
    template: ClassVar[str] = gettext_noop(
        "Line {line}, where entry {index} or a checkpoint belongs, is neither: {reason}."
    )

    line: int
    index: int
    reason: str


@dataclass(kw_only=True, eq=False)
class HeaderWrong(Corrupt):
    """The first line of an export contradicts the lines after it."""

    code: ClassVar[str] = "evidence.header_wrong"
    template: ClassVar[str] = gettext_noop("The header was changed: {reason}.")

    reason: str


@dataclass(kw_only=True, eq=False)
class EntryWrong(Corrupt):
    """An entry is not the one that was logged."""

    code: ClassVar[str] = "evidence.entry_wrong"
    template: ClassVar[str] = gettext_noop("Entry {index} ({id}) is wrong: {reason}.")

    index: int
    id: str
    reason: str


@dataclass(kw_only=True, eq=False)
class EntryMisplaced(Corrupt):
    """Entries were put into another order, or one stands twice."""

    code: ClassVar[str] = "evidence.entry_misplaced"
    template: ClassVar[str] = gettext_noop(
        "Entry {index} ({id}) is misplaced: it stands where entry {expected} belongs."
    )

    index: int
    id: str
    expected: int


@dataclass(kw_only=True, eq=False)
class EntriesMissing(Corrupt):
    """Entries that must be there are not."""

    code: ClassVar[str] = "evidence.entries_missing"
    template: ClassVar[str] = gettext_noop("Entries {first} to {last} are missing: {reason}.")

    first: int
    last: int
    reason: str


@dataclass(kw_only=True, eq=False)
class EntriesRewritten(Corrupt):
    """The entries agree with themselves, and not with what was signed or seen of them before."""

    code: ClassVar[str] = "evidence.entries_rewritten"
    template: ClassVar[str] = gettext_noop(
        "At least one of the entries {first} to {last} was rewritten: {reason}."
    )

    first: int
    last: int
    reason: str


@dataclass(kw_only=True, eq=False)
class EntriesUncovered(Corrupt):
    """The log signs a checkpoint in each transaction; entries without one are not the log's."""

    code: ClassVar[str] = "evidence.entries_uncovered"
    template: ClassVar[str] = gettext_noop(
        "Entries {first} to {last} are covered by no checkpoint: they were added by hand, or "
        "checkpoints were deleted."
    )

    first: int
    last: int


@dataclass(kw_only=True, eq=False)
class CheckpointWrong(Corrupt):
    """A checkpoint that the log's keys did not sign."""

    code: ClassVar[str] = "evidence.checkpoint_wrong"
    template: ClassVar[str] = gettext_noop("The checkpoint of size {size} is wrong: {reason}.")

    size: int
    reason: str


@dataclass(kw_only=True, eq=False)
class OtherLog(Corrupt):
    """A log that may be whole in itself, and is not the one that is known."""

    code: ClassVar[str] = "evidence.other_log"
    template: ClassVar[str] = gettext_noop(
        "This is another log: its {what} is {found}, and {expected} is known."
    )

    what: str
    found: str
    expected: str


@dataclass(kw_only=True, eq=False)
class LogContradicts(Corrupt):
    """What the database says of its evidence is not what is known of it."""

    code: ClassVar[str] = "evidence.log_contradicts"
    template: ClassVar[str] = gettext_noop(
        "The evidence log in the database cannot be right: {reason}. Stop writing, export the log, "
        "and compare it with the last good copy."
    )

    reason: str
