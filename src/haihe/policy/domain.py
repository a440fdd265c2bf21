"""Who asks, for what, on what: the values that an authorisation decision is a pure function of.

A :class:`Principal` carries everything that is known of the caller, a :class:`Resource` everything
that matters of the thing; both are plain values, so a decision needs no database, can be replayed,
and can be compared with the reference authoriser.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from haihe.policy.errors import PersonNeeded


class Role(StrEnum):
    """What a person is in an organisation."""

    OWNER = "owner"
    MANAGER = "manager"
    MEMBER = "member"
    AUDITOR = "auditor"


class PlatformRole(StrEnum):
    """What a person is for the platform as a whole."""

    OFFICER = "officer"
    OPERATOR = "operator"
    AUDITOR = "auditor"


WORKING = (Role.OWNER, Role.MANAGER, Role.MEMBER)
MANAGING = (Role.OWNER, Role.MANAGER)


@dataclass(frozen=True)
class Principal:
    """The caller.

    ``id`` is None for somebody not signed in. ``duties`` are what organisations entrust the caller
    with in packs, by the pack's word for it (``bci_rehab.therapist``). ``scopes`` is None for a
    signed-in session, and for an API token the set of scopes it was given: a token never may more
    than its person, and may less.
    """

    id: UUID | None = None
    name: str = ""
    memberships: frozenset[tuple[UUID, Role]] = frozenset()
    duties: frozenset[tuple[UUID, str]] = frozenset()
    platform_roles: frozenset[PlatformRole] = frozenset()
    scopes: frozenset[str] | None = None
    system: bool = False

    def organisations(self, *roles: Role) -> frozenset[UUID]:
        """The organisations in which the caller has one of ``roles``; of any role if none given."""
        return frozenset(org for org, role in self.memberships if not roles or role in roles)

    def entrusted_by(self, duty: str) -> frozenset[UUID]:
        """The organisations in which the caller has a duty."""
        return frozenset(org for org, held in self.duties if held == duty)

    @property
    def person_id(self) -> UUID:
        """The person in whose name something is done.

        Raises
        ------
        PersonNeeded
            If the caller is nobody, or the platform itself.
        """
        if self.id is None:
            raise PersonNeeded
        return self.id

    @property
    def actor(self) -> str:
        """How evidence and logs name the caller."""
        if self.system:
            return f"system:{self.name}"
        return f"person:{self.id}" if self.id else "anonymous"


ANONYMOUS = Principal()


def system_principal(name: str) -> Principal:
    """The platform itself, at work for no person: the dispatcher, the outbox, the settlement."""
    return Principal(name=name, system=True)


@dataclass(frozen=True)
class Resource:
    """The thing an action is on.

    ``organisation`` owns it. ``parties`` have a contractual part in it, as the provider of a job
    or the consumer of an agreement. ``creator`` made it, so that nobody reviews their own.
    """

    kind: str
    id: str = ""
    organisation: UUID | None = None
    parties: frozenset[UUID] = frozenset()
    public: bool = False
    creator: UUID | None = None


@dataclass(frozen=True)
class Action:
    """One thing that can be done, with the token scope it needs."""

    name: str
    scope: str
    text: str


@dataclass
class ActionRegistry:
    """All actions by name: ``authorize`` refuses to decide on one that is not here."""

    actions: dict[str, Action] = field(default_factory=dict)

    def add(self, scope: str, entries: Iterable[tuple[str, str]]) -> None:
        """Register actions of one scope as pairs of name and description."""
        for name, text in entries:
            assert name not in self.actions, f"action {name} is registered twice"
            self.actions[name] = Action(name, scope, text)


@dataclass(frozen=True)
class Duty:
    """What an organisation may entrust a member with in a pack, beside their role."""

    name: str
    zh: str
    en: str


@dataclass
class DutyRegistry:
    """All duties by name: the policies may ask for each, and no member has another."""

    duties: dict[str, Duty] = field(default_factory=dict)

    def add(self, duty: Duty) -> None:
        """Make a duty known."""
        assert self.duties.setdefault(duty.name, duty) == duty, f"{duty.name} is registered twice"


DUTIES = DutyRegistry()

READ = "read"
PACKS_SCOPE = "packs"
SCOPES = (
    READ, "parties", "ledger", "evidence", "data", "compute", PACKS_SCOPE, "programme", "admin",
)  # fmt: skip
ACTIONS = ActionRegistry()

ACTIONS.add(
    READ,
    [
        ("organisation.list", "see the directory of organisations"),
        ("organisation.read", "see an organisation's public card"),
        ("organisation.read_members", "see who belongs to an organisation"),
        ("evidence.list", "see heads and proofs of the evidence log"),
        ("evidence.read", "read the content of an evidence entry"),
        ("evidence.export", "export the whole evidence log"),
        ("account.read", "read an account's balance and statement"),
        ("ledger.audit", "check all books"),
        ("dataset.read", "see a dataset's card and versions"),
        ("dataset.read_usage", "see who read a dataset, and when"),
        ("agreement.read", "read an agreement"),
        ("centre.read", "see a centre, its pools and offers"),
        ("contract.read", "read a compute contract"),
        ("quote.read", "read a quote"),
        ("job.read", "see a job, its attempts, usage and settlement"),
        ("job.read_log", "read what a job printed and wrote"),
        ("plan.read", "see a plan, its targets and measures"),
        ("indicator.read", "see an indicator and the records behind it"),
        ("scheme.read", "see a voucher scheme and its rules"),
        ("voucher.read", "read a voucher and its history"),
        ("pack.read", "see installed packs"),
        ("evaluation.read", "see an evaluation and its scores"),
        ("scenario.read", "see a scenario"),
        ("system.read", "see settings, health and the outbox"),
    ],
)
ACTIONS.add(
    "parties",
    [
        ("organisation.create", "register an organisation"),
        ("organisation.update", "change an organisation's card"),
        ("organisation.manage_members", "change roles and remove members"),
        ("organisation.invite", "invite people"),
        ("invitation.accept", "accept an invitation"),
        ("person.update", "change one's own profile"),
    ],
)
ACTIONS.add(
    "admin",
    [
        ("token.manage", "create and revoke one's own API tokens"),
        ("organisation.verify", "confirm an organisation's credit code and kind"),
        ("platform.grant_role", "give and take platform roles"),
        ("evidence.rotate_key", "replace the key that signs checkpoints"),
        ("system.manage", "retry dead letters and run periodic work"),
    ],
)
ACTIONS.add("ledger", [("account.deposit", "record money that reached an account from outside")])
ACTIONS.add("evidence", [("evidence.verify", "check the evidence log, and log that it held")])
ACTIONS.add(
    "data",
    [
        ("dataset.create", "register a dataset"),
        ("dataset.update", "change, publish or withdraw a dataset"),
        ("dataset.add_version", "add a version to a dataset"),
        ("dataset.download", "read the content of a version"),
        ("agreement.propose", "offer terms of use to an organisation"),
        ("agreement.accept", "accept terms of use for an organisation"),
        ("agreement.end", "end an agreement"),
    ],
)
ACTIONS.add(
    "compute",
    [
        ("centre.create", "connect a centre"),
        ("centre.update", "change a centre, its pools and offers"),
        ("contract.create", "draw up a compute contract"),
        ("contract.sign", "sign a compute contract for its provider"),
        ("quote.create", "ask for a quote"),
        ("job.submit", "accept a quote and submit its job"),
        ("job.cancel", "cancel a job"),
        ("job.dispatch", "place, run, meter and settle jobs"),
    ],
)
ACTIONS.add(
    PACKS_SCOPE,
    [
        ("pack.run", "run a pack for an organisation"),
        ("evaluation.record", "score raw predictions"),
    ],
)
ACTIONS.add(
    "programme",
    [
        ("plan.import", "bring in or supersede a plan"),
        ("scheme.manage", "open, fund and close a voucher scheme"),
        ("voucher.apply", "apply for a voucher"),
        ("voucher.withdraw", "withdraw an application"),
        ("voucher.review", "approve or refuse an application"),
        ("voucher.pay", "pay redeemed vouchers out to providers"),
        ("scenario.propose", "propose a pack's result as a scenario"),
        ("scenario.accept", "accept or decline a proposed scenario"),
    ],
)
