"""Errors of data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haihe.kernel.errors import Conflict, Corrupt, Denied, Invalid, Refused, gettext_noop


@dataclass(kw_only=True, eq=False)
class UnreadableFile(Invalid):
    """A file that cannot be registered; the error says where reading stopped."""

    code: ClassVar[str] = "data.unreadable_file"
    template: ClassVar[str] = gettext_noop("{name} cannot be registered: {reason}.")

    name: str
    reason: str


@dataclass(kw_only=True, eq=False)
class RaggedRows(Invalid):
    """A row of a CSV file has more or fewer fields than the header."""

    code: ClassVar[str] = "data.ragged_rows"
    template: ClassVar[str] = gettext_noop(
        "{name}, line {line}: {found} fields where the header has {expected}. Mend the line, or "
        "quote fields that contain commas."
    )

    name: str
    line: int
    found: int
    expected: int


@dataclass(kw_only=True, eq=False)
class WrongEncoding(Invalid):
    """A CSV file is not UTF-8."""

    code: ClassVar[str] = "data.wrong_encoding"
    template: ClassVar[str] = gettext_noop(
        "{name} is not UTF-8: byte {byte} after line {line}. Save it as UTF-8 (it may be GB 18030)."
    )

    name: str
    line: int
    byte: str


@dataclass(kw_only=True, eq=False)
class SlugTaken(Conflict):
    """Another dataset has this slug."""

    code: ClassVar[str] = "data.slug_taken"
    template: ClassVar[str] = gettext_noop("A dataset {slug!r} exists. Choose another slug.")

    slug: str


@dataclass(kw_only=True, eq=False)
class SameContent(Conflict):
    """The newest version already has this content."""

    code: ClassVar[str] = "data.same_content"
    template: ClassVar[str] = gettext_noop(
        "Version {version} of {dataset} has this very content; no new version was made."
    )

    dataset: str
    version: int


@dataclass(kw_only=True, eq=False)
class NoAgreement(Denied):
    """The organisation has no agreement in force on the dataset."""

    code: ClassVar[str] = "data.no_agreement"
    template: ClassVar[str] = gettext_noop(
        "{organisation} has no agreement in force on {dataset}. Ask its holder, or accept the "
        "terms it published."
    )

    organisation: str
    dataset: str


@dataclass(kw_only=True, eq=False)
class TermRefused(Refused):
    """The dataset's usage policy does not admit the terms asked for."""

    code: ClassVar[str] = "data.term_refused"
    template: ClassVar[str] = gettext_noop(
        "The policy of {dataset} admits {term} {allowed}; asked for was {asked}."
    )

    dataset: str
    term: str
    allowed: str
    asked: str


@dataclass(kw_only=True, eq=False)
class GrantExpired(Denied):
    """A job's permission to read has run out."""

    code: ClassVar[str] = "data.grant_expired"
    template: ClassVar[str] = gettext_noop(
        "Job {job} may no longer read {dataset}: its grant ended at {expired_at}."
    )

    job: str
    dataset: str
    expired_at: str


@dataclass(kw_only=True, eq=False)
class BlobCorrupt(Corrupt):
    """Stored content no longer has the hash it was registered with."""

    code: ClassVar[str] = "data.blob_corrupt"
    template: ClassVar[str] = gettext_noop(
        "The stored content of {dataset} version {version} is damaged: expected {expected}, found "
        "{found}. Restore {path} from a backup."
    )

    dataset: str
    version: int
    expected: str
    found: str
    path: str
