"""What a policy has to know of each thing on the stage.

Resources are written down here, and not asked of the application's rows, so that a row that tells
the policies a wrong owner, party or creator is found out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from haihe.evidence.models import EvidenceEntry, EvidenceLog
from haihe.kernel.ids import new_id
from haihe.ledger.models import Account
from haihe.policy.domain import Resource
from tests.factories import make_credit_code
from tests.policy.matrix.callers import make_callers
from tests.policy.matrix.stage import (
    CELL,
    LOG,
    OUTPUT,
    OUTPUT_FILE,
    PACK,
    PATIENT_NAME,
    REFERENCE,
    SCORE,
    TARGET,
    Stage,
)
from tests.policy.matrix.world import Listed, Thing, World
from tests.programme.factories import PLAN, PLAN_FILE, RULES

CASE = "c0000"
# What evidence names by its id, though its page has a name in the address.
BY_ID = ("centre", "dataset", "version", "plan", "scheme")


def make_world(stage: Stage) -> World:
    """Everybody, and everything on the stage."""
    things = {**_places(stage), **_parties(stage), **_owned(stage), **_between(stage)}
    return World(
        callers=make_callers(stage.organisations, stage.people),
        things=things,
        listed=_listed(stage, things),
        log_size=EvidenceLog.objects.get().size,
    )


def _places(stage: Stage) -> dict[str, Thing]:
    """What belongs to nobody, and texts that requests are made of."""
    today = stage.rows["scheme"].opens_on
    return {
        "anything": Thing("anything", (Resource("Anything"),)),
        "public": Thing("public", (Resource("Anything", public=True),)),
        "pack": Thing(PACK),
        "case": Thing(CASE),
        "plan": Thing(PLAN),
        "target": Thing(TARGET),
        "plan-file": Thing(PLAN_FILE.read_text("utf-8")),
        "rules-file": Thing(RULES.read_text("utf-8")),
        "output": Thing(OUTPUT_FILE),
        "attempt": Thing(str(stage.rows["attempt"].pk)),
        **{f"{name}-id": Thing(str(stage.rows[name].pk)) for name in BY_ID},
        "window": Thing(str(stage.rows["window"].pk)),
        "mapped": Thing(stage.rows["mapped"].person.email),
        **{name: Thing(str(stage.rows[name].pk)) for name in ("outcome", "session", "decoder")},
        "day": Thing(today.isoformat()),
        "new-id": Thing(str(new_id())),
        "new-code": Thing(make_credit_code()),
    }


def _parties(stage: Stage) -> dict[str, Thing]:
    """Organisations by slug and by id, and what their people have."""
    found = {}
    for name, organisation in stage.organisations.items():
        resources = (Resource("Organisation", organisation=organisation.pk),)
        found[name] = Thing(organisation.slug, resources)
        found[f"{name}-id"] = Thing(str(organisation.pk), resources)
    maker = stage.people["maker"].pk
    return {
        **found,
        "member": Thing(str(stage.people["own-auditor"].pk)),
        "email": Thing(stage.people["officer"].email),
        "invitation": Thing(str(stage.rows["invitation"].pk)),
        "secret": Thing(stage.rows["secret"]),
        "token": Thing(str(stage.rows["token"].pk), (Resource("Person", creator=maker),)),
    }


def _owned(stage: Stage) -> dict[str, Thing]:
    """What belongs to one organisation alone."""
    rows = stage.rows
    own, party, office = (stage.organisations[name].pk for name in ("own", "party", "office"))
    maker, asker = stage.people["maker"].pk, stage.people["officer-who-asked"].pk
    closed = Resource("Own", organisation=own)
    return {
        "account": Thing(str(rows["account"].pk), (closed,)),
        "quote": Thing(str(rows["quote"].pk), (Resource("Quote", "", own, creator=maker),)),
        "evaluation": Thing(str(rows["evaluation"].pk), (closed,)),
        "scenario": Thing(str(rows["scenario"].pk), (Resource("S", "", own, creator=asker),)),
        "recognised": Thing(
            str(rows["recognised"].pk), (Resource("S", "", own, public=True, creator=asker),)
        ),
        "dataset-content": Thing("", (closed,)),
        "centre": Thing(rows["centre"].slug, (Resource("Centre", organisation=party),)),
        "pool": Thing("local"),
        "scheme": Thing(rows["scheme"].slug, (Resource("Scheme", organisation=office),)),
        "patient": Thing(str(rows["patient"].pk), (Resource("Patient", organisation=own),)),
    }


def _between(stage: Stage) -> dict[str, Thing]:
    """What own has with its partner."""
    rows = stage.rows
    own, party = stage.organisations["own"].pk, stage.organisations["party"].pk
    maker, asker = stage.people["maker"].pk, stage.people["officer-who-asked"].pk
    partner, both = frozenset({party}), frozenset({own, party})
    shared = (Resource("Shared", organisation=own, parties=partner),)
    voucher = (Resource("Voucher", organisation=own, parties=partner, creator=asker),)
    job = (Resource("Job", organisation=own, parties=partner, creator=maker),)
    agreement = (Resource("Agreement", organisation=own, parties=both),)
    signing = (Resource("Shared", parties=partner),)
    return {
        "dataset": Thing(rows["dataset"].slug, shared),
        "open": Thing(rows["open"].slug, (Resource("D", "", own, partner, public=True),)),
        "open-content": Thing(
            "", (Resource("D", organisation=own), Resource("D", organisation=party))
        ),
        "agreement": Thing(str(rows["agreement"].pk), agreement),
        "offer": Thing(str(rows["offer"].pk), agreement),
        "partner": Thing("", signing),
        **{name: Thing(str(rows[name].pk), shared) for name in ("contract", "draft")},
        "fresh": Thing(rows["fresh"].number, shared),
        "entry": Thing(str(rows["entry"].id), (Resource("Evidence", parties=both),)),
        "voucher": Thing(rows["voucher"].number, voucher),
        "granted-voucher": Thing(rows["granted-voucher"].number, voucher),
        "job": Thing(str(rows["job"].pk), job),
        "evaluation-job": Thing(str(rows["evaluation"].job_id), job),
    }


def _listed(stage: Stage, things: Mapping[str, Thing]) -> dict[str, list[Listed]]:
    """What lists hold, of own and of the stranger."""
    rows = stage.rows

    def of(name: str, action: str, *, text: str = "") -> Listed:
        thing = things[name]
        return Listed(text or thing.address, action, thing.resources[0])

    def strangers(text: object, action: str, *parties: str) -> Listed:
        others = frozenset(stage.organisations[name].pk for name in parties)
        stranger = stage.organisations["stranger"].pk
        return Listed(str(text), action, Resource("Stranger", "", stranger, others))

    numbers = {name: str(rows[name].number) for name in ("contract", "fresh", "draft")}
    return {
        "organisation": [of(name, "organisation.read") for name in stage.organisations],
        "account": list(_accounts(Account.objects.values_list("pk", "owner_id"))),
        "dataset": [
            of("dataset", "dataset.read"),
            of("open", "dataset.read"),
            strangers("stranger-hidden", "dataset.read", "office"),
        ],
        "agreement": [
            of("agreement", "agreement.read"),
            of("offer", "agreement.read"),
            strangers(rows["stranger-agreement"].pk, "agreement.read", "office"),
        ],
        "agreement-on-dataset": [of("agreement", "agreement.read")],
        "contract": [
            *(of(name, "contract.read", text=text) for name, text in numbers.items()),
            strangers("K-STRANGER", "contract.read", "office"),
        ],
        "patient": [
            of("patient", "bci_rehab.read_patient"),
            strangers(rows["stranger-patient"].pk, "bci_rehab.read_patient"),
        ],
        "identity": [of("patient", "bci_rehab.read_identity", text=PATIENT_NAME)],
        "score": [of("patient", "bci_rehab.export_outcomes", text=SCORE)],
        "job": [
            of("job", "job.read"),
            strangers(rows["stranger-job"].pk, "job.read", "office"),
        ],
        "voucher": [
            of("voucher", "voucher.read"),
            of("granted-voucher", "voucher.read"),
            strangers(rows["stranger-voucher"].number, "voucher.read", "office"),
        ],
        "evaluation": [
            of("evaluation", "evaluation.read"),
            of("recognised", "evaluation.read", text=str(rows["recognised"].evaluation_id)),
            strangers(rows["stranger-evaluation"].pk, "evaluation.read"),
        ],
        "evaluation-of-pack": [
            of("evaluation", "evaluation.read"),
            strangers(rows["stranger-evaluation"].pk, "evaluation.read"),
        ],
        "scenario": [
            of("scenario", "scenario.read"),
            of("recognised", "scenario.read"),
            strangers(rows["stranger-scenario"].pk, "scenario.read"),
        ],
        "entry": list(_entries("contract.drawn_up")),
        "platform-entry": list(_entries("plan.imported")),
        "entry-content": [of("entry", "evidence.read", text=rows["contract"].number)],
        "log": [of("job", "job.read_log", text=LOG)],
        "output": [of("job", "job.read_log", text=OUTPUT)],
        "output-name": [of("job", "job.read_log", text=OUTPUT_FILE)],
        "cell": [of("dataset-content", "dataset.download", text=CELL)],
        "reference": [of("account", "account.read", text=REFERENCE)],
        "case": [of("evaluation-job", "job.read_log", text=CASE)],
        "recognised-job": [of("job", "job.read", text=_job_of(stage))],
        "recognised-voucher": [of("granted-voucher", "voucher.read")],
    }


def _accounts(accounts: Iterable[tuple[UUID, UUID | None]]) -> Iterable[Listed]:
    for pk, owner in accounts:
        yield Listed(str(pk), "account.read", Resource("Account", organisation=owner))


def _entries(kind: str) -> Iterable[Listed]:
    for entry in EvidenceEntry.objects.filter(kind=kind):
        parties = frozenset(entry.parties)
        yield Listed(str(entry.id), "evidence.read", Resource("Evidence", parties=parties))


def _job_of(stage: Stage) -> str:
    return str(stage.rows["recognised"].evaluation.job_id)
