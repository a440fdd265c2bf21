"""The reference authoriser: the same rules as ``policies/*.cedar``, read again in plain Python.

It shares no code with the policies, so that a slip in either is seen when hypothesis compares
them. Under a hundred lines, so that a person can check it by reading.
"""

from __future__ import annotations

from collections.abc import Callable

from haihe.policy.domain import ACTIONS, PlatformRole, Principal, Resource, Role

Rule = Callable[[Principal, Resource], bool]


def nobody(p: Principal, r: Resource) -> bool:
    return p.id is None


def published(p: Principal, r: Resource) -> bool:
    return r.public


def oneself(p: Principal, r: Resource) -> bool:
    return p.id is not None and p.id == r.creator


def member(*roles: Role) -> Rule:
    return lambda p, r: any((r.organisation, role) in p.memberships for role in roles)


def party(*roles: Role) -> Rule:
    return lambda p, r: any(org in r.parties and role in roles for org, role in p.memberships)


def entrusted(*duties: str) -> Rule:
    return lambda p, r: any((r.organisation, f"bci_rehab.{duty}") in p.duties for duty in duties)


def platform(*roles: PlatformRole) -> Rule:
    return lambda p, r: any(role in p.platform_roles for role in roles)


def both(*rules: Rule) -> Rule:
    return lambda p, r: all(rule(p, r) for rule in rules)


def neither(*rules: Rule) -> Rule:
    return lambda p, r: not any(rule(p, r) for rule in rules)


belongs, works = member(*Role), member(Role.OWNER, Role.MANAGER, Role.MEMBER)
manages, owns = member(Role.OWNER, Role.MANAGER), member(Role.OWNER)
partner, binds = party(*Role), party(Role.OWNER, Role.MANAGER)
officer, operator, auditor = map(platform, PlatformRole)
treats, attends = entrusted("therapist"), entrusted("therapist", "technician")

RULES: dict[tuple[Rule, ...], str] = {
    (neither(),): "plan.read indicator.read scheme.read centre.read pack.read evidence.list",
    (neither(nobody),): "organisation.list organisation.read organisation.create invitation.accept",
    (oneself,): "token.manage person.update",
    (belongs, operator, auditor): "organisation.read_members",
    (belongs, auditor): "account.read",
    (belongs, partner, published): "dataset.read",
    (belongs,): "dataset.read_usage quote.read",
    (belongs, partner, auditor): "agreement.read job.read evidence.read",
    (belongs, partner, officer, auditor): "contract.read voucher.read",
    (belongs, officer, auditor, published): "evaluation.read scenario.read",
    (works,): "job.read_log quote.create job.submit pack.run evaluation.record dataset.create "
    "dataset.add_version dataset.download scenario.propose",
    (both(works, oneself), manages): "job.cancel",
    (manages,): "organisation.update organisation.invite dataset.update agreement.propose "
    "centre.create centre.update contract.create voucher.apply voucher.withdraw",
    (owns,): "organisation.manage_members",
    (binds,): "agreement.accept contract.sign agreement.end",
    (officer,): "plan.import scheme.manage voucher.pay",
    (officer, operator, auditor): "ledger.audit",
    (both(officer, neither(oneself, belongs)),): "voucher.review scenario.accept",
    (operator,): "organisation.verify evidence.rotate_key system.manage account.deposit",
    (both(operator, neither(oneself)),): "platform.grant_role",
    (operator, auditor): "system.read evidence.verify",
    (auditor,): "evidence.export",
    (attends,): "bci_rehab.list_patients bci_rehab.read_patient bci_rehab.write_note "
    "bci_rehab.check_signal",
    (treats,): "bci_rehab.enrol_patient bci_rehab.read_identity bci_rehab.treat "
    "bci_rehab.run_session",
    (entrusted("researcher"),): "bci_rehab.export_outcomes",
    (): "job.dispatch",
}
PERMITS = {name: rules for rules, names in RULES.items() for name in names.split()}


def permits(principal: Principal, action: str, resource: Resource) -> bool:
    """Whether the rules permit ``action``."""
    if principal.system:  # the platform's own processes
        return True
    if principal.scopes is not None and ACTIONS.actions[action].scope not in principal.scopes:
        return False
    return any(rule(principal, resource) for rule in PERMITS[action])
