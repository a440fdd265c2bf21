"""What the kinds and subjects of entries are called on pages, and where a subject's page is.

Kinds are the words of the domains that record, and stable; this table only translates. A kind or
subject that is not here is shown as it is. A subject's page is named by its URL, as menus name
pages, so that no floor above is imported; a page that is not installed is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from haihe.kernel.texts import spoken

KINDS: Mapping[str, str | Promise] = {
    "account.deposited": _("Deposit recorded"),
    "account.mapped": _("Account of a person set"),
    "account.unmapped": _("Account of a person dropped"),
    "agent.enrolled": _("Agent joined"),
    "agent.gave_up": _("Work of an agent given up"),
    "agent.invited": _("Agent invited"),
    "agent.revoked": _("Agent revoked"),
    "agreement.accepted": _("Agreement accepted"),
    "agreement.ended": _("Agreement ended"),
    "agreement.proposed": _("Agreement proposed"),
    "allocation.set": _("Allocation set"),
    "centre.connected": _("Centre connected"),
    "centre.updated": _("Terms of a centre changed"),
    "contract.drawn_up": _("Contract drawn up"),
    "contract.signed": _("Contract signed"),
    "dataset.changed": _("Card of a dataset changed"),
    "dataset.granted": _("Reading of a dataset granted"),
    "dataset.policy_changed": _("Usage policy changed"),
    "dataset.published": _("Dataset published"),
    "dataset.read": _("Dataset read"),
    "dataset.registered": _("Dataset registered"),
    "dataset.version_registered": _("Dataset version registered"),
    "dataset.withdrawn": _("Dataset withdrawn"),
    "evaluation.recorded": _("Evaluation recorded"),
    "evidence.key_rotated": _("Signing key replaced"),
    "invitation.made": _("Invitation made"),
    "invitation.withdrawn": _("Invitation withdrawn"),
    "job.cancel_requested": _("Cancelling of a job asked for"),
    "job.metered": _("Job metered"),
    "job.moved": _("Job moved to another pool"),
    "job.requeued": _("Job put back in line"),
    "job.settled": _("Job settled"),
    "job.submitted": _("Job submitted"),
    "job.usage_doubted": _("Use of a job doubted"),
    "job.usage_late": _("Late word of use"),
    "log.verified": _("Evidence log checked"),
    "maintenance.planned": _("Maintenance planned"),
    "maintenance.withdrawn": _("Maintenance called off"),
    "membership.changed": _("Role of a member changed"),
    "membership.entrusted": _("Duties of a member changed"),
    "membership.joined": _("Member joined"),
    "membership.removed": _("Member removed"),
    "offer.set": _("Offer set"),
    "organisation.ownership_recorded": _("Holding recorded"),
    "organisation.registered": _("Organisation registered"),
    "organisation.updated": _("Organisation updated"),
    "organisation.verified": _("Organisation verified"),
    "pack.checked": _("Pack checked"),
    "person.email_confirmed": _("Address of a person confirmed"),
    "plan.imported": _("Plan imported"),
    "platform.role_granted": _("Platform role granted"),
    "platform.role_revoked": _("Platform role taken away"),
    "pool.added": _("Pool added"),
    "pool.drained": _("Pool drained"),
    "pool.opened": _("Pool opened"),
    "pool.updated": _("Terms of a pool changed"),
    "scenario.accepted": _("Scenario accepted"),
    "scenario.declined": _("Scenario declined"),
    "scenario.proposed": _("Scenario proposed"),
    "scenario.revoked": _("Acceptance of a scenario revoked"),
    "scheme.funded": _("Voucher scheme funded"),
    "scheme.opened": _("Voucher scheme opened"),
    "voucher.applied": _("Voucher applied for"),
    "voucher.closed": _("Voucher closed"),
    "voucher.paid": _("Voucher paid out"),
    "voucher.refused": _("Voucher refused"),
    "voucher.reserved": _("Voucher reserved"),
    "voucher.withdrawn": _("Application withdrawn"),
}
SUBJECTS: Mapping[str, str | Promise] = {
    "agreement": _("Agreement"),
    "centre": _("Centre"),
    "contract": _("Contract"),
    "dataset": _("Dataset"),
    "dataset-version": _("Dataset version"),
    "evaluation": _("Evaluation"),
    "evidence-key": _("Signing key"),
    "evidence-log": _("Evidence log"),
    "job": _("Job"),
    "organisation": _("Organisation"),
    "pack": _("Pack"),
    "person": _("Person"),
    "plan": _("Plan"),
    "scenario": _("Scenario"),
    "scheme": _("Voucher scheme"),
    "system": _("Platform"),
    "voucher": _("Voucher"),
}
SYSTEMS: Mapping[str, str | Promise] = {
    "console": _("command line"),
    "dispatcher": _("dispatcher"),
    "evaluator": _("evaluator"),
}
_PAGES: Mapping[str, str] = {
    "agreement": "data:agreement",
    "centre": "compute:centre_by_id",
    "contract": "compute:contract",
    "dataset": "data:dataset_by_id",
    "dataset-version": "data:version_by_id",
    "evaluation": "packs:evaluation",
    "job": "compute:job",
    "organisation": "parties:organisation_by_id",
    "pack": "packs:pack",
    "plan": "programme:plan_by_id",
    "scenario": "programme:scenario",
    "scheme": "programme:scheme_by_id",
    "voucher": "programme:voucher",
}
# The ledger names a scheme by its slug, as its accounts do; evidence names it by id.
_PAGES_BY_SLUG: Mapping[str, str] = {"scheme": "programme:scheme"}


# Kinds that packs record, with their names in both languages (see haihe.packs.portals).
BROUGHT_KINDS: dict[str, Any] = {}


def kind_label(kind: str) -> str | Promise:
    """What a kind of entry is called."""
    if kind in BROUGHT_KINDS:
        return spoken(BROUGHT_KINDS[kind])
    return KINDS.get(kind, kind)


def name_parts(name: str) -> tuple[str | Promise, str]:
    """A subject's or an actor's sort and its own name: ``job:0192...`` is a job, and which."""
    sort, _colon, own = name.partition(":")
    return (SUBJECTS.get(sort, sort), own) if own else ("", name)


def system_label(actor: str) -> str | Promise:
    """Which part of the platform did it; empty if it was a person."""
    sort, _colon, own = actor.partition(":")
    return SYSTEMS.get(own, own) if sort == "system" else ""


def page_of(subject: str) -> str:
    """The address of the page of what a subject names; empty if there is none."""
    sort, _colon, own = subject.partition(":")
    for pages in (_PAGES, _PAGES_BY_SLUG):
        with suppress(NoReverseMatch):
            if sort in pages:
                return reverse(pages[sort], args=[own])
    return ""
