"""A scaffolded pack as if it were installed, data for it, and a run of it that was scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from shutil import copytree
from typing import Any

import polars as pl
import pytest

from haihe.compute.models import Attempt, Job, Quote
from haihe.compute.services.jobs import attempt_folder, submit_job
from haihe.data.domain import UsagePolicy
from haihe.data.services import add_version, create_dataset
from haihe.packs import services
from haihe.packs.discovery import PackSource
from haihe.packs.models import Evaluation
from haihe.packs.runner import run_pack
from haihe.parties.models import Organisation
from haihe.parties.services import principal_of
from haihe.policy.domain import Principal
from tests.factories import make_member, make_organisation, make_person
from tests.packs.conftest import NAME
from tests.programme.factories import make_centre, put_money, settle

DATASET = "cases"


@dataclass(frozen=True)
class Lab:
    """A firm that runs packs on its own data, and everybody who looks on."""

    firm: Organisation
    manager: Principal
    member: Principal
    reader: Principal
    provider: Principal
    stranger: Principal
    officer: Principal
    auditor: Principal


@pytest.fixture(scope="session")
def outputs(
    source: PackSource, cases: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What a job of the pack leaves, made once."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "inputs").mkdir()
    cases.write_csv(folder / "inputs" / "cases.csv")
    run_pack(source, inputs=folder / "inputs", out=folder / "out", report=lambda share, text: None)
    return folder / "out"


@pytest.fixture(autouse=True)
def installed(source: PackSource, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scaffolded pack is the one that is installed."""
    monkeypatch.setattr(services, "installed_packs", lambda: [source])
    monkeypatch.setattr(services, "find_pack", lambda name: source)


@pytest.fixture
def lab(db: None, cases: pl.DataFrame) -> Lab:
    """A firm with money and a dataset, and a centre that runs its jobs."""
    firm, operator = make_organisation("firm"), make_organisation("seller", kind="centre-operator")
    made = Lab(
        firm=firm,
        manager=make_member(firm),
        member=make_member(firm, "member"),
        reader=make_member(firm, "auditor"),
        provider=make_member(operator),
        stranger=make_member(make_organisation("stranger")),
        officer=principal_of(make_person(roles=("officer",))),
        auditor=principal_of(make_person(roles=("auditor",))),
    )
    make_centre(made.provider, "seller")
    put_money(firm, 10**12)
    create_dataset(
        made.manager,
        organisation="firm",
        slug=DATASET,
        title="病例",
        title_en="Cases",
        policy=UsagePolicy(purposes=("evaluation",), days=30),
    )
    file = BytesIO()
    cases.write_csv(file)
    add_version(made.manager, DATASET, name="cases.csv", pieces=[file.getvalue()])
    return made


@pytest.fixture
def quote(lab: Lab) -> Quote:
    """A quote for a run of the pack."""
    return services.quote_pack(
        lab.member, NAME, organisation="firm", inputs={"cases": f"{DATASET}@1"}
    )


@pytest.fixture
def finished(quote: Quote, lab: Lab, outputs: Path) -> Callable[..., Job]:
    """Make a job of the pack that succeeded; ``bend`` may change what it left."""

    def make(bend: Callable[[Path], Any] = lambda folder: None) -> Job:
        job = submit_job(lab.member, quote.pk)
        Attempt.objects.create(job=job, pool=job.pool, number=1, state="succeeded")
        folder = attempt_folder(job.pk, 1) / "outputs"
        copytree(outputs, folder)
        bend(folder)
        return settle(job, hours=0)

    return make


@pytest.fixture
def evaluation(finished: Callable[..., Job]) -> Evaluation:
    """The pack's run as the platform scored it."""
    found = services.evaluate_job(finished().pk)
    assert found is not None
    return found
