"""The tree of errors that people and programs may see.

    HaiheError
    ├── Invalid       the input is malformed; nothing was tried
    ├── Denied        the caller may not do this
    │   └── Unauthenticated   nobody is signed in, or the key opens nothing
    ├── NotFound      no such thing, or none that the caller may know of
    ├── Conflict      the present state, or another caller, stands in the way
    ├── Refused       a rule of the domain says no, with value and threshold
    ├── TooLarge      a limit of size, rate or number was reached
    ├── Unavailable   a part is down, full or busy; the same call may go through later
    └── Corrupt       stored facts contradict each other; a person must look

A concrete error is a keyword-only dataclass with a stable ``code`` and a ``template`` that says
what, which, the present state, and what to do. Nothing here knows HTTP or a terminal: the edges
map the class to a status and an exit code, and translate the template before filling it in.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar


def gettext_noop(text: str) -> str:
    """Mark ``text`` for the message catalogue without importing Django into domain code."""
    return text


class HaiheError(Exception):
    """Base of all errors that Haihe raises on purpose."""

    code: ClassVar[str] = "haihe.error"
    template: ClassVar[str] = gettext_noop("Something went wrong.")

    def params(self) -> dict[str, Any]:
        """The error's typed parameters by name, as the template names them."""
        if not hasattr(type(self), "__dataclass_fields__"):
            return {}
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def __str__(self) -> str:
        return self.template.format(**self.params())


class Invalid(HaiheError):
    """The input is malformed; nothing was tried."""


class Denied(HaiheError):
    """The caller may not do this."""


class Unauthenticated(Denied):
    """Nobody is signed in, or the key that was shown opens nothing."""


class NotFound(HaiheError):
    """No such thing, or none that the caller may know of."""


class Conflict(HaiheError):
    """The present state, or another caller, stands in the way."""


class Refused(HaiheError):
    """A rule of the domain says no, with value and threshold."""


class TooLarge(HaiheError):
    """A limit of size, rate or number was reached."""


class Unavailable(HaiheError):
    """A part is down, full or busy; the same call may go through later."""


class Corrupt(HaiheError):
    """Stored facts contradict each other; a person must look."""


@dataclass(kw_only=True, eq=False)
class InvalidField(Invalid):
    """One field of an input does not satisfy its rule."""

    code: ClassVar[str] = "input.invalid"
    template: ClassVar[str] = gettext_noop("{field} is {value!r}: {rule}.")

    field: str
    value: object
    rule: str


@dataclass(kw_only=True, eq=False)
class MissingRecord(NotFound):
    """An id that leads nowhere, or nowhere the caller may look: both read the same."""

    code: ClassVar[str] = "input.not_found"
    template: ClassVar[str] = gettext_noop(
        "There is no {kind} {id!r} that you can see. Check the id, or ask its owner for access."
    )

    kind: str
    id: str


@dataclass(kw_only=True, eq=False)
class WrongState(Conflict):
    """The thing exists but is in a state from which this step is not possible."""

    code: ClassVar[str] = "input.wrong_state"
    template: ClassVar[str] = gettext_noop(
        "{kind} {id} is {state}; this step needs it to be {needed}."
    )

    kind: str
    id: str
    state: str
    needed: str


@dataclass(kw_only=True, eq=False)
class IdempotencyMismatch(Conflict):
    """One idempotency key came with two different requests."""

    code: ClassVar[str] = "input.idempotency_mismatch"
    template: ClassVar[str] = gettext_noop(
        "Idempotency key {key!r} was used for another request. Send a new key for a new request."
    )

    key: str


@dataclass(kw_only=True, eq=False)
class IdempotencyKeyMissing(Invalid):
    """A request that creates or pays came without a key that makes it safe to repeat."""

    code: ClassVar[str] = "input.idempotency_key_missing"
    template: ClassVar[str] = gettext_noop(
        "Send a header Idempotency-Key with 1 to 200 characters of your choice: the same key makes "
        "a repeated request harmless."
    )


@dataclass(kw_only=True, eq=False)
class ShownOnce(Conflict):
    """A repeated request whose answer held a secret, which is kept nowhere."""

    code: ClassVar[str] = "input.shown_once"
    template: ClassVar[str] = gettext_noop(
        "The request with key {key!r} was carried out; its answer held a secret that is shown "
        "once. If you lost it, revoke it and create another."
    )

    key: str


@dataclass(kw_only=True, eq=False)
class StaleEdit(Conflict):
    """The thing was changed since it was read."""

    code: ClassVar[str] = "input.stale_edit"
    template: ClassVar[str] = gettext_noop(
        "{path} was changed by somebody else since you read it. Read it again, then change it."
    )

    path: str


@dataclass(kw_only=True, eq=False)
class FileTooLarge(TooLarge):
    """A file above the installation's limit."""

    code: ClassVar[str] = "input.file_too_large"
    template: ClassVar[str] = gettext_noop(
        "{name} has more than {limit_bytes} bytes, this installation's limit."
    )

    name: str
    limit_bytes: int


@dataclass(kw_only=True, eq=False)
class StorageUnavailable(Unavailable):
    """The disk or the database cannot take a write now."""

    code: ClassVar[str] = "kernel.storage_unavailable"
    template: ClassVar[str] = gettext_noop(
        "Cannot write to {place}: {reason}. Nothing was changed; free space or fix access, then "
        "try again."
    )

    place: str
    reason: str
