"""Errors of authorisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haihe.kernel.errors import Corrupt, Denied, Invalid, Unauthenticated, gettext_noop


@dataclass(kw_only=True, eq=False)
class NotSignedIn(Unauthenticated):
    """Nobody is signed in, and the action needs somebody."""

    code: ClassVar[str] = "policy.not_signed_in"
    template: ClassVar[str] = gettext_noop("Sign in to {text}.")

    text: str


@dataclass(kw_only=True, eq=False)
class NotAllowed(Denied):
    """The policies do not permit the action to this caller."""

    code: ClassVar[str] = "policy.not_allowed"
    template: ClassVar[str] = gettext_noop(
        "You may not {text} here ({action} on {kind} {id}). Ask an owner of the organisation, or "
        "the platform's operator, for the role that may."
    )

    action: str
    text: str
    kind: str
    id: str


@dataclass(kw_only=True, eq=False)
class ScopeMissing(Denied):
    """The API token was not given the scope that the action needs."""

    code: ClassVar[str] = "policy.scope_missing"
    template: ClassVar[str] = gettext_noop(
        "This token lacks the scope {scope!r} that {action} needs. Create a token with it."
    )

    action: str
    scope: str


@dataclass(kw_only=True, eq=False)
class PersonNeeded(Invalid):
    """Something is done in a person's name, and the caller is none."""

    code: ClassVar[str] = "policy.person_needed"
    template: ClassVar[str] = gettext_noop(
        "This is done in a person's name. Sign in; on the command line say who: "
        "haihe --as EMAIL ..., or set HAIHE_AS."
    )


@dataclass(kw_only=True, eq=False)
class PolicyBroken(Corrupt):
    """A policy could not be evaluated; the action is not permitted."""

    code: ClassVar[str] = "policy.broken"
    template: ClassVar[str] = gettext_noop(
        "The policies for {action} cannot be evaluated: {reason}. Nothing was permitted; tell the "
        "platform's operator."
    )

    action: str
    reason: str
