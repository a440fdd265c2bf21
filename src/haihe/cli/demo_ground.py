"""What the demonstration stands on: fictional parties, a centre, a dataset, a plan and a scheme.

All of it is made in the first run and found in the next.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from uuid import uuid5

import polars as pl
import psutil
from django.utils.translation import gettext as _

from haihe.compute.models import Centre
from haihe.compute.services import centres
from haihe.data import services as data
from haihe.data.domain import UsagePolicy
from haihe.data.errors import SameContent
from haihe.data.models import Agreement, Dataset
from haihe.kernel.clock import now
from haihe.kernel.days import local_day
from haihe.kernel.money import MICRO
from haihe.kernel.settings import load_settings
from haihe.packs.discovery import find_pack
from haihe.packs.domain import Manifest
from haihe.packs.errors import NoSampleData
from haihe.packs.local import sample_inputs
from haihe.parties import services as parties
from haihe.parties.domain import credit_code_check_digit
from haihe.parties.models import Organisation, Person, PlatformGrant
from haihe.policy.domain import PlatformRole, Principal, system_principal
from haihe.programme.models import Scheme
from haihe.programme.services import plans, vouchers

PLAN, TARGET = "tianjin-2025-2027", "T3"
CENTRE, POOL = "demo-centre", "local"
SCHEME = "demo-2026"
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
class Ground:
    """What lasts from run to run. ``say(step, text)`` is told what there is."""

    say: Say
    showcase: Showcase = TUMOURS

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


def _written(cases: pl.DataFrame, folder: Path) -> Path:
    """The cases as a file: CSV, or Parquet where a cell holds a series."""
    if any(kind.is_nested() for kind in cases.dtypes):
        cases.write_parquet(path := folder / "cases.parquet")
    else:
        cases.write_csv(path := folder / "cases.csv")
    return path
