"""The whole chain on one machine, with real parts and fictional parties.

Each run draws up a new contract, is granted a voucher on it, runs the pack ``tumour_triage`` as a
metered job on real data, settles it, has the scenario accepted, and moves the indicator by one.
What lasts (parties, centre, dataset, plan, scheme) is made in the first run and found in the next.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid5

import polars as pl
import psutil
from django.utils.translation import gettext as _

from haihe.compute.domain import HOUR_MS, JobState
from haihe.compute.models import Centre, Contract, Job, UsageRecord
from haihe.compute.services import centres, contracts, jobs
from haihe.compute.tasks import Dispatcher
from haihe.data import services as data
from haihe.data.domain import UsagePolicy
from haihe.data.errors import SameContent
from haihe.data.models import Agreement, Dataset
from haihe.evidence.inspection import verify_entries
from haihe.kernel.clock import now
from haihe.kernel.days import local_day
from haihe.kernel.errors import Unavailable
from haihe.kernel.money import CNY, MICRO, format_micro
from haihe.kernel.outbox import deliver_due
from haihe.kernel.settings import load_settings
from haihe.ledger import services as ledger
from haihe.packs import services as packs
from haihe.packs.discovery import find_pack
from haihe.packs.domain import Manifest
from haihe.packs.errors import NoSampleData
from haihe.packs.local import sample_inputs
from haihe.packs.models import Evaluation
from haihe.parties import services as parties
from haihe.parties.domain import credit_code_check_digit
from haihe.parties.models import Organisation, Person, PlatformGrant
from haihe.policy.domain import PlatformRole, Principal, system_principal
from haihe.programme.models import Scheme, Voucher
from haihe.programme.services import plans, scenarios, vouchers

PLAN, TARGET = "tianjin-2025-2027", "T3"
CENTRE, POOL = "demo-centre", "local"
SCHEME = "demo-2026"
CONTRACT_MICRO = 1_000 * MICRO
JOB_TIMEOUT_S = 600
CONSOLE = system_principal("console")

Say = Callable[[str, str], None]


@dataclass(frozen=True)
class _Party:
    slug: str
    kind: str
    name: str
    name_en: str
    body: str
    person: str


OFFICE = _Party(
    "demo-office", "programme-office", "方案办公室（演示）", "Programme office (demo)",
    "11120000MADEM0001", "李方 (officer)",
)  # fmt: skip
OPERATOR = _Party(
    "demo-centre-operator", "centre-operator", "海河算力（演示）", "Haihe Compute (demo)",
    "91120116MADEM0002", "王桥 (centre operator)",
)  # fmt: skip
HOSPITAL = _Party(
    "demo-hospital", "hospital", "海河医院（演示）", "Haihe Hospital (demo)",
    "12120000MADEM0003", "周岩 (data holder)",
)  # fmt: skip
FIRM = _Party(
    "demo-firm", "enterprise", "津影智能（演示）", "Jinying AI (demo)",
    "91120111MADEM0004", "陈晨 (engineer)",
)  # fmt: skip


@dataclass(frozen=True)
class Showcase:
    """What is run in the chain: a pack on its sample data, and the dataset that these become."""

    pack: str
    dataset: str
    title: str
    title_en: str
    description: str
    licence: str
    source: str
    scenario: str
    scenario_en: str

    @property
    def manifest(self) -> Manifest:
        """The pack's."""
        return find_pack(self.pack).manifest()


TUMOURS = Showcase(
    pack="tumour_triage",
    dataset="wdbc",
    title="威斯康星乳腺癌诊断数据",
    title_en="Wisconsin diagnostic breast cancer data",
    description="Wolberg, Street, Mangasarian 1995; the copy that scikit-learn ships.",
    licence="CC BY 4.0",
    source="sklearn.datasets.load_breast_cancer",
    scenario="乳腺肿瘤分诊决策支持",
    scenario_en="Decision support for breast tumour triage",
)


def showcase_of(pack: str) -> Showcase:
    """How the chain shows a pack: on the sample data that it brings.

    Raises
    ------
    NoSampleData
        If it brings none.
    """
    if pack == TUMOURS.pack:
        return TUMOURS
    source = find_pack(pack)
    if sample_inputs(source) is None:
        raise NoSampleData(pack=pack)
    title = source.manifest().title
    return Showcase(
        pack=pack,
        dataset=f"{pack.replace('_', '-')}-sample",
        title=f"{title.zh}：示例数据",
        title_en=f"{title.en}: sample data",
        description=f"The sample data that the pack {pack} brings.",
        licence=source.manifest().licence,
        source=f"{pack}.data",
        scenario=title.zh,
        scenario_en=title.en,
    )


@dataclass
class Demo:
    """One run of the chain. ``say(step, text)`` is told what happened, as it happens."""

    say: Say
    showcase: Showcase = TUMOURS

    def run(self) -> dict[str, Any]:
        """Carry the chain out; the facts of each step."""
        before = self._lay_the_ground()
        voucher = self._get_voucher()
        quote, job = self._run_pack(voucher)
        evaluation = self._evaluation(job)
        self._accept_scenario(evaluation)
        after = self._indicator()
        head = verify_entries()
        audit = ledger.audit(CONSOLE)
        self.say(
            _("evidence"),
            _("{size} entries, signed and verified; the books balance: {balanced}").format(
                size=head.size if head else 0, balanced=_("yes") if audit.balanced else _("NO")
            ),
        )
        return {
            "plan": PLAN,
            "voucher": {
                "id": voucher.number,
                "amount_micro": voucher.amount_micro,
                "contract": voucher.contract.number,
            },
            "quote": {
                "id": str(quote.pk),
                "lines": quote.lines,
                "reasons": quote.reasons,
                "amount_micro": quote.amount_micro,
            },
            "job": {"id": str(job.pk), "state": job.state, "pool": str(job.pool)},
            "usage": self._usage_facts(job),
            "settlement": self._settlement_facts(job, is_balanced=audit.balanced),
            "evaluation": {
                "id": str(evaluation.pk),
                "metric": evaluation.metric,
                "score": evaluation.score,
                "interval": [evaluation.low, evaluation.high],
                "baseline": evaluation.baseline,
                "permuted": evaluation.permuted,
            },
            "evidence": {"size": head.size if head else 0, "verified": head is not None},
            "indicator": {"code": TARGET, "before": before, "after": after},
            "open": load_settings().public_url,
        }

    @staticmethod
    def _usage_facts(job: Job) -> dict[str, Any]:
        usage = UsageRecord.objects.get(attempt__job=job)
        return {
            "cpu_seconds": usage.cpu_ms / 1e3,
            "wall_seconds": usage.wall_ms / 1e3,
            "peak_memory_bytes": usage.peak_memory_bytes,
            "output_bytes": usage.output_bytes,
        }

    def _settlement_facts(self, job: Job, *, is_balanced: bool) -> dict[str, Any]:
        settlement = job.settlement
        paid = sum(share["amount_micro"] for share in settlement.shares)
        return {
            "id": str(settlement.pk),
            "amount_micro": settlement.amount_micro,
            "lines": settlement.lines,
            "balanced": is_balanced and paid == settlement.amount_micro,
            "paid_by": {
                "voucher": self._paid(settlement.shares, voucher=True),
                "firm": self._paid(settlement.shares, voucher=False),
            },
        }

    # --- what lasts ---

    def _lay_the_ground(self) -> int:
        for party in (OFFICE, OPERATOR, HOSPITAL, FIRM):
            self._party(party)
        self._platform_roles()
        plan, _changes = plans.import_plan(self.officer, plans.file_in("plans", f"{PLAN}.toml"))
        before = self._indicator()
        document = plan.document
        self.say(
            _("plan"),
            _("{title}: {targets} targets, {measures} measures; {code} stands at {before}").format(
                title=document.title["zh"],
                targets=len(document.targets),
                measures=len(document.measures),
                code=TARGET,
                before=before,
            ),
        )
        self._centre()
        self._dataset()
        self._scheme()
        return before

    def _party(self, party: _Party) -> None:
        email = f"{party.slug}@haihe.test"
        if not Person.objects.filter(email=email).exists():
            parties.create_person(email=email, name=party.person, password=self.password)
        if not Organisation.objects.filter(slug=party.slug).exists():
            parties.create_organisation(
                parties.principal_of_email(email),
                slug=party.slug,
                name=party.name,
                name_en=party.name_en,
                kind=party.kind,
                credit_code=party.body + credit_code_check_digit(party.body),
            )
            parties.verify_organisation(CONSOLE, party.slug)

    def _platform_roles(self) -> None:
        for email, name, role in (
            ("demo-office@haihe.test", "", PlatformRole.OFFICER),
            ("demo-operator@haihe.test", "赵河 (platform operator)", PlatformRole.OPERATOR),
            ("demo-auditor@haihe.test", "孙明 (auditor)", PlatformRole.AUDITOR),
        ):
            if not Person.objects.filter(email=email).exists():
                parties.create_person(email=email, name=name, password=self.password)
            if not PlatformGrant.objects.filter(person__email=email, role=role).exists():
                parties.grant_platform_role(CONSOLE, email=email, role=role)

    def _centre(self) -> None:
        operator = self._principal(OPERATOR)
        if not Centre.objects.filter(slug=CENTRE).exists():
            centres.create_centre(
                operator,
                operator=OPERATOR.slug,
                slug=CENTRE,
                name="海河演示算力中心",
                name_en="Haihe demo centre",
            )
            centres.create_pool(
                operator,
                CENTRE,
                slug=POOL,
                cpu_milli=(os.cpu_count() or 1) * 1_000,
                memory_bytes=psutil.virtual_memory().total,
            )
            centres.set_offer(
                operator,
                f"{CENTRE}/{POOL}",
                cpu_hour_micro=12 * MICRO // 10,
                gpu_hour_micro=18 * MICRO,
                minimum_micro=2 * MICRO,
            )
        self.say(
            _("centre"),
            _("{pool}, 1.20 CNY per CPU-hour, at least 2.00 CNY per job").format(
                pool=f"{CENTRE}/{POOL}"
            ),
        )

    def _dataset(self) -> None:
        holder = self._principal(HOSPITAL)
        shown = self.showcase
        if not Dataset.objects.filter(slug=shown.dataset).exists():
            data.create_dataset(
                holder,
                organisation=HOSPITAL.slug,
                slug=shown.dataset,
                title=shown.title,
                title_en=shown.title_en,
                description=shown.description,
                licence=shown.licence,
                policy=UsagePolicy(purposes=("research", "evaluation"), days=365),
            )
            data.publish_dataset(holder, shown.dataset)
        with tempfile.TemporaryDirectory() as folder, suppress(SameContent):
            path = _written(self._cases(), Path(folder))
            data.add_version_from_path(holder, shown.dataset, path, source=shown.source)
        self._agreement(holder)
        version = data.find_version(holder, shown.dataset)
        self.say(
            _("dataset"),
            _("{dataset}: {rows} rows, sha256 {digest}…; an agreement is in force").format(
                dataset=version, rows=version.rows, digest=version.sha256[:12]
            ),
        )

    def _cases(self) -> pl.DataFrame:
        """The pack's sample data: those of its only input."""
        inputs = sample_inputs(find_pack(self.showcase.pack))
        assert inputs is not None, "showcase_of has looked"
        return inputs[self._input]

    @property
    def _input(self) -> str:
        return self.showcase.manifest.inputs[0].name

    def _agreement(self, holder: Principal) -> None:
        dataset = self.showcase.dataset
        firm = self._principal(FIRM)
        in_force = Agreement.objects.in_force(now()).filter(
            dataset__slug=dataset, consumer__slug=FIRM.slug
        )
        if not in_force.exists():
            proposed = data.propose_agreement(
                holder, dataset, consumer=FIRM.slug, purpose="evaluation", days=365
            )
            data.accept_agreement(firm, proposed.pk)

    def _scheme(self) -> None:
        today = local_day()
        if not Scheme.objects.filter(slug=SCHEME).exists():
            scheme = vouchers.open_scheme(
                self.officer,
                slug=SCHEME,
                title="算力券（演示，采用北京2023规则）",
                title_en="Compute vouchers (demo, under Beijing's 2023 rules)",
                office=OFFICE.slug,
                rules_file=plans.file_in("schemes", "beijing-2023.toml"),
                opens_on=today,
                closes_on=today + timedelta(days=3_650),
            )
            vouchers.fund_scheme(
                self.officer,
                SCHEME,
                amount_micro=20_000_000 * MICRO,
                reference="demo budget",
                transfer_id=uuid5(scheme.pk, "budget"),
            )

    # --- one run ---

    def _get_voucher(self) -> Voucher:
        firm, seller = self._principal(FIRM), self._principal(OPERATOR)
        self._top_up()
        number = f"DEMO-{now():%Y%m%d}-{Contract.objects.count() + 1:04d}"
        today = local_day()
        contracts.create_contract(
            firm,
            number=number,
            buyer=FIRM.slug,
            provider=OPERATOR.slug,
            amount_micro=CONTRACT_MICRO,
            eligible_micro=CONTRACT_MICRO,
            begins_on=today,
            ends_on=today + timedelta(days=364),
        )
        contracts.sign_contract(seller, number)
        rules = Scheme.objects.get(slug=SCHEME).rules
        applied = vouchers.apply_for_voucher(
            firm,
            SCHEME,
            contract=number,
            amount_micro=CONTRACT_MICRO * rules.ratio_percent // 100,
            declared=[declaration.code for declaration in rules.declarations],
        )
        voucher = vouchers.approve_voucher(self.officer, applied.number)
        self.say(
            _("voucher"),
            _("{number}: {amount} reserved on contract {contract}, {count} conditions met").format(
                number=voucher.number,
                amount=format_micro(voucher.amount_micro),
                contract=number,
                count=len(voucher.verdicts),
            ),
        )
        return voucher

    def _top_up(self) -> None:
        """The firm's own money: a bank transfer, recorded by the platform's operator."""
        firm = Organisation.objects.get(slug=FIRM.slug)
        account = ledger.open_account(firm.pk, "cash", CNY, name=firm.name)
        account.refresh_from_db()
        if account.posted_micro - account.held_micro < CONTRACT_MICRO:
            ledger.deposit(
                parties.principal_of_email("demo-operator@haihe.test"),
                account.pk,
                transfer_id=uuid5(account.pk, f"deposit:{account.posted_micro}"),
                amount_micro=10 * CONTRACT_MICRO,
                reference="demo bank transfer",
            )

    def _run_pack(self, voucher: Voucher) -> tuple[Any, Job]:
        firm = self._principal(FIRM)
        shown = self.showcase
        version = data.find_version(firm, shown.dataset)
        quote = packs.quote_pack(
            firm,
            shown.pack,
            organisation=FIRM.slug,
            inputs={self._input: f"{shown.dataset}@{version.number}"},
            contract=voucher.contract.number,
        )
        self.say(
            _("quote"),
            _("at most {amount}; {why}").format(
                amount=format_micro(quote.amount_micro), why="; ".join(quote.reasons)
            ),
        )
        job = jobs.submit_job(firm, quote.pk)
        self._wait_for(job)
        job = jobs.find_job(firm, job.pk)
        self._report_job(job)
        return quote, job

    def _wait_for(self, job: Job) -> None:
        deadline = time.monotonic() + JOB_TIMEOUT_S
        with Dispatcher() as dispatcher:
            while job.finished_at is None:
                dispatcher.tick()
                deliver_due()
                job.refresh_from_db(fields=["finished_at"])
                if time.monotonic() > deadline:
                    raise Unavailable
                time.sleep(0.1)

    def _report_job(self, job: Job) -> None:
        usage = UsageRecord.objects.filter(attempt__job=job).last()
        if job.state != JobState.SUCCEEDED or usage is None:
            tail = jobs.read_log(self._principal(FIRM), job.pk).text[-2_000:]
            self.say(_("job"), f"{job.state} ({job.end_reason}) {job.message}\n{tail}")
            raise SystemExit(1)
        self.say(
            _("job"),
            _("{job} {state}: {cpu:.2f} CPU seconds, {memory} MiB at most").format(
                job=job.pk,
                state=job.state,
                cpu=usage.cpu_ms / 1e3,
                memory=usage.peak_memory_bytes >> 20,
            ),
        )
        shares = job.settlement.shares
        self.say(
            _("settlement"),
            _("{amount} for {hours:.5f} CPU-hours and the minimum charge: {voucher} from the "
              "voucher, {firm} from the firm").format(
                amount=format_micro(job.settlement.amount_micro),
                hours=usage.cpu_ms / HOUR_MS,
                voucher=format_micro(self._paid(shares, voucher=True)),
                firm=format_micro(self._paid(shares, voucher=False)),
            ),
        )  # fmt: skip

    def _evaluation(self, job: Job) -> Evaluation:
        deliver_due()
        evaluation = packs.evaluate_job(job.pk)
        assert evaluation is not None
        if evaluation.state != Evaluation.State.SCORED:
            self.say(_("evaluation"), evaluation.message)
            raise SystemExit(1)
        self.say(
            _("evaluation"),
            _("{metric} {score:.4f} (95 % interval {low:.4f} to {high:.4f}); baseline "
              "{baseline:.3f}; labels permuted {permuted:.3f}").format(
                metric=evaluation.metric,
                score=evaluation.score,
                low=evaluation.low,
                high=evaluation.high,
                baseline=evaluation.baseline,
                permuted=evaluation.permuted,
            ),
        )  # fmt: skip
        return evaluation

    def _accept_scenario(self, evaluation: Evaluation) -> None:
        proposed = scenarios.propose_scenario(
            self._principal(FIRM),
            evaluation=evaluation.pk,
            plan=PLAN,
            measure=self.showcase.manifest.measure,
            title=self.showcase.scenario,
            title_en=self.showcase.scenario_en,
        )
        scenarios.accept_scenario(self.officer, proposed.pk, note="demo")
        self.say(
            _("scenario"),
            _("accepted under measure {measure}: {code} now stands at {after}").format(
                measure=self.showcase.manifest.measure, code=TARGET, after=self._indicator()
            ),
        )

    # --- helpers ---

    @cached_property
    def officer(self) -> Principal:
        """The programme officer."""
        return self._principal(OFFICE)

    @cached_property
    def password(self) -> str:
        """One password for all demonstration accounts, made once and kept in the home."""
        path = load_settings().home.resolve() / "demo-password"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(12))
        return path.read_text()

    def _principal(self, party: _Party) -> Principal:
        return parties.principal_of_email(f"{party.slug}@haihe.test")

    def _indicator(self) -> int:
        observation = plans.observe_indicator(CONSOLE, PLAN, TARGET)
        return observation.value if observation else 0

    @staticmethod
    def _paid(shares: list[dict[str, Any]], *, voucher: bool) -> int:
        return sum(s["amount_micro"] for s in shares if (s["asset"] != CNY) == voucher)


def _written(cases: pl.DataFrame, folder: Path) -> Path:
    """The cases as a file: CSV, or Parquet where a cell holds a series."""
    if any(kind.is_nested() for kind in cases.dtypes):
        cases.write_parquet(path := folder / "cases.parquet")
    else:
        cases.write_csv(path := folder / "cases.csv")
    return path
