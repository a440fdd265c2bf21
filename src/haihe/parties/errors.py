"""Errors about organisations, people, invitations and tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haihe.kernel.errors import (
    Conflict,
    Denied,
    Invalid,
    NotFound,
    Refused,
    Unauthenticated,
    Unavailable,
    gettext_noop,
)


@dataclass(kw_only=True, eq=False)
class BadCreditCode(Invalid):
    """A unified social credit code that GB 32100-2015 does not admit."""

    code: ClassVar[str] = "parties.bad_credit_code"
    template: ClassVar[str] = gettext_noop(
        "{value!r} is no unified social credit code: {reason}. Copy it from the business licence."
    )

    value: str
    reason: str


@dataclass(kw_only=True, eq=False)
class AlreadyRegistered(Conflict):
    """Another organisation has this slug or credit code."""

    code: ClassVar[str] = "parties.already_registered"
    template: ClassVar[str] = gettext_noop(
        "An organisation with {field} {value!r} is registered. Ask one of its owners to invite you."
    )

    field: str
    value: str


@dataclass(kw_only=True, eq=False)
class LastOwner(Conflict):
    """An organisation keeps at least one owner."""

    code: ClassVar[str] = "parties.last_owner"
    template: ClassVar[str] = gettext_noop(
        "{person} is the last owner of {organisation}. Make somebody else an owner first."
    )

    person: str
    organisation: str


@dataclass(kw_only=True, eq=False)
class DeadInvitation(NotFound):
    """An invitation link that leads nowhere."""

    code: ClassVar[str] = "parties.dead_invitation"
    template: ClassVar[str] = gettext_noop(
        "This invitation is {reason}. Ask the organisation for a new link."
    )

    reason: str


@dataclass(kw_only=True, eq=False)
class BadToken(Unauthenticated):
    """An API token that opens nothing."""

    code: ClassVar[str] = "parties.bad_token"
    template: ClassVar[str] = gettext_noop(
        "The API token is {reason}. Create a new one under your profile."
    )

    reason: str


@dataclass(kw_only=True, eq=False)
class BeyondToken(Denied):
    """A token was to make another one that may more than itself."""

    code: ClassVar[str] = "parties.beyond_token"
    template: ClassVar[str] = gettext_noop(
        "This token lacks the scope {scope!r}, so it gives it to no other. Sign in to create a "
        "token with it."
    )

    scope: str


@dataclass(kw_only=True, eq=False)
class UnverifiedEmail(Denied):
    """An identity provider that does not say that it checked the e-mail address."""

    code: ClassVar[str] = "parties.unverified_email"
    template: ClassVar[str] = gettext_noop(
        "{provider} has not verified the e-mail address {email}. Confirm it there, then sign in "
        "again."
    )

    provider: str
    email: str


@dataclass(kw_only=True, eq=False)
class UnverifiedAddress(Refused):
    """A role was to go to an address of which nobody knows whose it is."""

    code: ClassVar[str] = "parties.unverified_address"
    template: ClassVar[str] = gettext_noop(
        "Nobody has confirmed that {email} belongs to the person of this account. Have them "
        "confirm it under their account, or do it on the machine: haihe people confirm {email}"
    )

    email: str


@dataclass(kw_only=True, eq=False)
class WeakPassword(Invalid):
    """A password that is guessed too easily."""

    code: ClassVar[str] = "parties.weak_password"
    template: ClassVar[str] = gettext_noop("This password is refused: {reason}")

    reason: str


@dataclass(kw_only=True, eq=False)
class AccountExists(Conflict):
    """Somebody who comes from a provider with the address of an account that is not connected."""

    code: ClassVar[str] = "parties.account_exists"
    template: ClassVar[str] = gettext_noop(
        "There is an account with {email}. Sign in to it with its password, then connect "
        "{provider} under your account."
    )

    provider: str
    email: str


@dataclass(kw_only=True, eq=False)
class ProviderUnavailable(Unavailable):
    """An identity provider that cannot be asked."""

    code: ClassVar[str] = "parties.provider_unavailable"
    template: ClassVar[str] = gettext_noop(
        "The identity provider cannot be asked: {reason}. Sign in with your password, or try again "
        "later."
    )

    reason: str


@dataclass(kw_only=True, eq=False)
class EmailTaken(Conflict):
    """Another person signs in with this e-mail address."""

    code: ClassVar[str] = "parties.email_taken"
    template: ClassVar[str] = gettext_noop("Somebody is registered with {email}.")

    email: str
