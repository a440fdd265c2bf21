"""What happened before anybody calls: made through the services, by those who may.

The firm ``own`` owns nearly everything; ``party`` is its partner in each contract; ``stranger`` has
things of its own that neither has a part in. What the services would take long to make a second
time for the stranger is copied row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from shutil import copytree
from typing import Any, TypeVar

from bci_rehab.clinic import services as clinic
from bci_rehab.clinic.domain import QUESTIONS, Modality, Side
from bci_rehab.clinic.identity import Identity
from bci_rehab.clinic.models import DecoderVersion, Patient, Prescription, TrainingSession
from bci_rehab.clinic.planning import plan_for
from django.db.models import Model

from haihe.compute.models import (
    Attempt,
    Centre,
    Contract,
    Job,
    MaintenanceWindow,
    PersonAccount,
)
from haihe.compute.services.contracts import create_contract
from haihe.compute.services.jobs import attempt_folder, submit_job
from haihe.data import services as data
from haihe.data.domain import UsagePolicy
from haihe.evidence.models import EvidenceEntry
from haihe.kernel.clock import now
from haihe.kernel.days import local_day
from haihe.kernel.ids import new_id
from haihe.kernel.money import CNY, MICRO
from haihe.ledger.services import deposit, open_account
from haihe.packs import services as packs
from haihe.packs.models import Evaluation
from haihe.parties import services as parties
from haihe.parties.models import Organisation, Person
from haihe.policy.cli import CONSOLE
from haihe.policy.domain import Principal
from haihe.programme.models import Scenario
from haihe.programme.services import plans, scenarios
from tests.compute.factories import copy_job, make_quote
from tests.data.factories import make_agreement, make_dataset
from tests.policy.matrix.callers import change_sides, make_organisations, make_people
from tests.programme.factories import (
    PLAN,
    PLAN_FILE,
    World,
    apply,
    grant,
    make_centre,
    make_contract,
    make_evaluation,
    make_job,
    make_scheme,
    put_money,
    settle,
)

# What nobody reads who may not: no page or answer holds these texts for other reasons.
LOG = "what-the-job-printed"
OUTPUT = "what-the-job-wrote"
CELL = "what-a-row-holds"
REFERENCE = "what-a-bank-wrote"
PATIENT_NAME = "what-a-patient-is-called"
SCORE = "who-scored-a-patient"
OUTPUT_FILE = "result.txt"
PACK = "matrix_example"
MEASURE, TARGET = "6", "T3"
CLOSED = UsagePolicy(purposes=("research", "evaluation"), days=90)
STANDING = UsagePolicy(purposes=("research",), days=90, download=True, standing=True)
M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Stage:
    """Organisations and people by name, and what was made, by the names of things."""

    organisations: dict[str, Organisation]
    people: dict[str, Person]
    rows: dict[str, Any]


def build(cases: bytes, outputs: Path) -> Stage:
    """Make everything: ``cases`` is what a pack ran on, ``outputs`` the folder it left."""
    organisations = make_organisations()
    people = make_people(organisations)
    stage = Stage(organisations, people, {})
    callers = {name: parties.principal_of(person) for name, person in people.items()}
    chain = _chain(organisations, callers)
    _parties(stage, callers)
    _money(stage, chain)
    _data(stage, callers, cases)
    _contracts(stage, chain, callers)
    _jobs(stage, chain)
    _evaluations(stage, chain, outputs)
    _strangers(stage, callers)
    _clinic(stage, callers)
    change_sides(people["officer-who-asked"])
    return stage


def _chain(organisations: dict[str, Organisation], callers: dict[str, Principal]) -> World:
    """The same parties as the programme's factories know them."""
    return World(
        office=organisations["office"],
        officer=callers["officer"],
        colleague=callers["officer"],
        firm=organisations["own"],
        manager=callers["officer-who-asked"],
        member=callers["maker"],
        provider=organisations["party"],
        seller=callers["party-manager"],
        stranger=callers["stranger-manager"],
        auditor=callers["auditor"],
    )


def _clinic(stage: Stage, callers: dict[str, Principal]) -> None:
    """A patient who may be prescribed training, with a score."""
    therapist, own = callers["own-member"], stage.organisations["own"].slug
    who = Identity(name=PATIENT_NAME)
    patient = clinic.enrol(therapist, organisation=own, identity=who, affected_side=Side.LEFT)
    day = local_day()
    clinic.give_consent(therapist, patient.pk, purpose="training", text_version="1", given_on=day)
    clinic.fill_intake(therapist, patient.pk, {question.code: False for question in QUESTIONS})
    clinic.give_consent(therapist, patient.pk, purpose="research", text_version="1", given_on=day)
    stage.rows["patient"] = patient
    stage.rows["outcome"] = clinic.add_outcome(
        therapist, patient.pk, scale="FMA-UE", value=20, measured_on=day, rater=SCORE
    )
    _training(stage, patient, callers["own-member"])
    stage.rows["stranger-patient"] = clinic.enrol(
        callers["stranger-member"],
        organisation=stage.organisations["stranger"].slug,
        identity=who,
        affected_side=Side.LEFT,
    )


def _training(stage: Stage, patient: Patient, therapist: Principal) -> None:
    """A session that runs, one that has ended, and a decoder; no station is there."""
    prescription = Prescription.objects.create(
        patient=patient, modality="motor-imagery", side="left", sessions=9, minutes=40,
        false_triggers_per_min=0.5, state="ended", prescribed_by_id=therapist.person_id,
    )  # fmt: skip
    plan = plan_for(
        modality=Modality.MOTOR_IMAGERY, side=Side.LEFT, affected_side=Side.LEFT, minutes=40,
        session=1, sessions=9, calibrate=True, false_triggers_per_min=0.5, seed=1,
    )  # fmt: skip
    common = {
        "prescription": prescription, "seed": 1, "plan": plan.to_json(), "folder": "sessions/x",
        "planned_by_id": therapist.person_id, "opened_by_id": therapist.person_id,
        "started_at": now(),
    }  # fmt: skip
    stage.rows["session"] = TrainingSession.objects.create(number=1, state="running", **common)
    TrainingSession.objects.create(
        number=2, state="ended", ended_at=now(), summary={"accuracy": 0.8}, **common
    )
    stage.rows["decoder"] = DecoderVersion.objects.create(
        patient=patient, version=1, file="sessions/x/decoder-1.zip", sha256="0" * 64,
        method="tangent space", threshold=1.0,
        accuracy={"value": 0.8, "standard_error": 0.1, "trials": 40, "chance_bound": 0.6},
    )  # fmt: skip


def _parties(stage: Stage, callers: dict[str, Principal]) -> None:
    rows = stage.rows
    rows["invitation"], rows["secret"] = parties.invite(
        callers["own-manager"], stage.organisations["own"].slug, role="member"
    )
    rows["token"] = parties.create_token(callers["maker"], name="t", scopes=["read"]).row


def _money(stage: Stage, chain: World) -> None:
    """An account for each, and a deposit that its holder alone reads of."""
    for name in ("own", "office"):
        put_money(stage.organisations[name], 1_000_000 * MICRO)
    for name, organisation in stage.organisations.items():
        account = open_account(organisation.pk, "cash", CNY, name=organisation.name)
        if name == "own":
            stage.rows["account"] = account
    deposit(
        CONSOLE,
        stage.rows["account"].pk,
        transfer_id=new_id(),
        amount_micro=MICRO,
        reference=REFERENCE,
    )
    make_centre(chain.seller, stage.organisations["party"].slug)
    centre = stage.rows["centre"] = Centre.objects.get()
    stage.rows["window"] = MaintenanceWindow.objects.create(
        pool=centre.pools.get(),
        begins_at=now() + timedelta(days=9_000),
        ends_at=now() + timedelta(days=9_001),
        reason="work",
    )
    stage.rows["mapped"] = PersonAccount.objects.create(
        centre=centre, person=stage.people["maker"], user="maker"
    )


def _data(stage: Stage, callers: dict[str, Principal], cases: bytes) -> None:
    """A dataset that only its holder and a consumer know of, and one that is published."""
    own, party = stage.organisations["own"], stage.organisations["party"]
    holder, consumer = callers["own-manager"], callers["party-manager"]
    hidden = make_dataset(
        own, holder, slug="own-hidden", policy=CLOSED, published=False, content=cases
    )
    stage.rows["version"] = data.add_version(
        holder, hidden.slug, name="cells.csv", pieces=[f"cell\n{CELL}\n".encode()]
    )
    stage.rows["agreement"] = make_agreement(hidden, holder, party, consumer)
    opened = make_dataset(
        own, holder, slug="own-open", policy=STANDING, content=f"cell\n{CELL}\n".encode()
    )
    make_agreement(opened, holder, party, consumer)
    stage.rows["offer"] = data.propose_agreement(
        holder, opened.slug, consumer=party.slug, purpose="research", days=9
    )
    stage.rows.update(dataset=hidden, open=opened)


def _contracts(stage: Stage, chain: World, callers: dict[str, Principal]) -> None:
    """Contracts in each state, and the vouchers on them."""
    rows = stage.rows
    rows["plan"] = plans.import_plan(chain.officer, PLAN_FILE)[0]
    rows["scheme"] = make_scheme(chain)
    for name in ("contract", "fresh", "asked", "granted"):
        rows[name] = make_contract(chain)
    rows["draft"] = make_contract(chain, signed=False)
    rows["voucher"] = apply(chain, rows["asked"])
    rows["granted-voucher"] = grant(chain, rows["granted"])
    settle(make_job(chain, rows["granted"], hours=10), hours=10)
    today = local_day()
    rows["stranger-contract"] = create_contract(
        callers["stranger-manager"],
        number="K-STRANGER",
        buyer=stage.organisations["stranger"].slug,
        provider=stage.organisations["office"].slug,
        amount_micro=MICRO,
        eligible_micro=MICRO,
        begins_on=today,
        ends_on=today,
    )
    rows["entry"] = EvidenceEntry.objects.get(
        kind="contract.drawn_up", subject=f"contract:{rows['contract'].pk}"
    )


def _jobs(stage: Stage, chain: World) -> None:
    """A quote nobody accepted yet, and a job that runs: it has printed and written something."""
    rows = stage.rows
    rows["quote"] = make_quote(chain.member, organisation=stage.organisations["own"].slug)
    job = make_job(chain, rows["contract"])
    Job.objects.filter(pk=job.pk).update(state="running")
    rows["attempt"] = Attempt.objects.create(
        job=job, pool=job.pool, number=1, state="running", started_at=now()
    )
    folder = attempt_folder(job.pk, 1)
    (folder / "outputs").mkdir(parents=True)
    (folder / "log.txt").write_text(LOG)
    (folder / "outputs" / OUTPUT_FILE).write_text(OUTPUT)
    rows["job"] = job


def _evaluations(stage: Stage, chain: World, outputs: Path) -> None:
    """A pack's run that was scored, a scenario that waits, and one that is recognised."""
    rows, slug = stage.rows, stage.organisations["own"].slug
    quote = packs.quote_pack(
        chain.member, PACK, organisation=slug, inputs={"cases": f"{rows['dataset'].slug}@1"}
    )
    job = submit_job(chain.member, quote.pk)
    Attempt.objects.create(job=job, pool=job.pool, number=1, state="succeeded")
    copytree(outputs, attempt_folder(job.pk, 1) / "outputs")
    settle(job, hours=0)
    rows["evaluation"] = packs.evaluate_job(job.pk)
    # So few cases show no clear difference to chance; this is a convincing run.
    Evaluation.objects.filter(job=job).update(score=0.95, baseline=0.5, permuted=0.5)
    rows["scenario"] = _propose(chain, make_evaluation(chain, rows["contract"]))
    waiting = _propose(chain, make_evaluation(chain, rows["granted"]))
    rows["recognised"] = scenarios.accept_scenario(chain.officer, waiting.pk)
    # The granted voucher can be closed now: the term of its contract is over.
    yesterday = local_day() - timedelta(days=1)
    Contract.objects.filter(pk=rows["granted"].pk).update(
        begins_on=yesterday - timedelta(days=9), ends_on=yesterday
    )


def _propose(chain: World, evaluation: Evaluation) -> Scenario:
    return scenarios.propose_scenario(
        chain.manager, evaluation=evaluation.pk, plan=PLAN, measure=MEASURE, title="分诊"
    )


def _strangers(stage: Stage, callers: dict[str, Principal]) -> None:
    """The like of each listed thing, that neither own nor party has a part in."""
    rows, stranger = stage.rows, stage.organisations["stranger"]
    manager, person = callers["stranger-manager"], stage.people["stranger-manager"]
    hidden = make_dataset(
        stranger, manager, slug="stranger-hidden", policy=CLOSED, published=False, content=None
    )
    rows["stranger-dataset"] = hidden
    rows["stranger-agreement"] = data.propose_agreement(
        manager,
        hidden.slug,
        consumer=stage.organisations["office"].slug,
        purpose="research",
        days=9,
    )
    job = Job.objects.get(pk=copy_job(rows["job"]))
    job.organisation, job.provider, job.created_by = stranger, stage.organisations["office"], person
    job.save()
    rows["stranger-job"] = job
    rows["stranger-voucher"] = _copy(
        rows["voucher"],
        number="spring-99999",
        organisation=stranger,
        contract=rows["stranger-contract"],
        applied_by=person,
    )
    rows["stranger-evaluation"] = _copy(rows["evaluation"], organisation=stranger, job=job)
    rows["stranger-scenario"] = _copy(
        rows["scenario"],
        organisation=stranger,
        evaluation=rows["stranger-evaluation"],
        proposed_by=person,
    )


def _copy(row: M, **changes: Any) -> M:
    """Another row like this one, but for the changes."""
    copy: M = type(row)._default_manager.get(pk=row.pk)
    copy.pk = new_id()
    for name, value in changes.items():
        setattr(copy, name, value)
    copy.save(force_insert=True)
    return copy
