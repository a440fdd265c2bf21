"""Commands about packs and evaluations."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from django.utils.translation import gettext as _

from haihe.compute.domain import FINAL
from haihe.compute.models import Job, Quote
from haihe.compute.services.jobs import find_job, read_log, submit_job
from haihe.compute.tasks import Dispatcher
from haihe.kernel.errors import InvalidField, WrongState
from haihe.kernel.money import format_micro
from haihe.kernel.outbox import deliver_due
from haihe.kernel.pagination import DEFAULT_LIMIT, paginate
from haihe.kernel.settings import load_settings
from haihe.kernel.terminal import AsJson, Yes, ask_consent, err, show_record, show_rows
from haihe.kernel.texts import spoken
from haihe.packs import local, services
from haihe.packs.checks import Report
from haihe.packs.discovery import PackSource, find_pack
from haihe.packs.environments import PackEnvironment, build, enter, environment_of
from haihe.packs.evaluation import Evaluation as Judgement
from haihe.packs.models import Evaluation, PackCheck
from haihe.packs.scaffold import scaffold
from haihe.packs.service_runner import run_service
from haihe.packs.supervision import installed_services, status_of
from haihe.policy.cli import caller, person
from haihe.policy.domain import Principal

PAUSE_S = 0.5
FAILED = 1

app = typer.Typer(help="Packs: installable scenarios, and runs of them.", no_args_is_help=True)
evaluation = typer.Typer(help="What runs of packs were found to be worth.", no_args_is_help=True)


@app.command("list")
def list_packs(as_json: AsJson = False) -> None:
    """List the packs installed here."""
    principal = caller()
    sources = services.list_packs(principal)
    checks = services.checks_of(principal, sources)
    show_rows(
        [_listed_pack(source, checks.get(source.name), as_json) for source in sources],
        columns=["name", "version", "title", "measure", "tier", "services"],
        as_json=as_json,
        empty=_("No pack is installed. Write one: haihe packs new NAME"),
    )


@app.command("show")
def show_pack(name: str, as_json: AsJson = False) -> None:
    """Show what a pack says of itself: what it does, needs and must not be used for."""
    principal = caller()
    source = services.read_pack(principal, name)
    manifest = source.manifest()
    check = services.checks_of(principal, [source]).get(name)
    if as_json:
        told = {
            "manifest": manifest.model_dump(mode="json"),
            "sha256": source.sha256(),
            "services": _services(source),
        }
        show_record({**_pack(source, check), **told}, as_json=True)
        return
    record = {
        **_pack(source, check),
        "summary": spoken(manifest.summary),
        "disclaimer": spoken(manifest.disclaimer),
        "systems": list(manifest.systems),
        "inputs": [f"{table.name}: {spoken(table.description)}" for table in manifest.inputs],
        "limits": [spoken(limit) for limit in manifest.limits],
        "services": [_service_line(told) for told in _services(source)],
        "sources": [f"{item.title} ({item.licence}) {item.url}" for item in manifest.sources],
        "licence": manifest.licence,
    }
    show_record(record, as_json=False)


@app.command("new")
def new_pack(
    name: str,
    folder: Annotated[Path, typer.Option(help="Where to put the pack's folder.")] = Path(),
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Write a new pack, small and complete, to begin from."""
    ask_consent(
        [_("Write a new pack {name} in {folder}.").format(name=name, folder=folder)], yes=yes
    )
    root = scaffold(name, folder)
    show_record(
        {"folder": root, "try": f"haihe packs check {root}", "read": root / "README.md"},
        as_json=as_json,
    )


@app.command("install")
def install_pack(
    name: Annotated[str, typer.Argument(help="An installed pack, or the folder of one.")],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Install the libraries of a pack that works in an environment of its own."""
    source = find_pack(name)
    environment = environment_of(source, load_settings().environments_folder)
    if environment is None:
        show_record({"pack": source.name, "environment": None, "built": False}, as_json=as_json)
        return
    text = _("Install {requirement} in {folder}.")
    what = text.format(requirement=environment.requirement, folder=environment.folder)
    ask_consent([what], yes=yes)
    built = _build(environment)
    show_record(
        {
            "pack": source.name,
            "requirement": environment.requirement,
            "environment": environment.folder,
            "built": built,
        },
        as_json=as_json,
    )


@app.command("check")
def check_pack(
    name: Annotated[str, typer.Argument(help="An installed pack, or the folder of one.")],
    record: Annotated[
        bool, typer.Option("--record", help="Keep the result, so that pages show the tier.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make every conformance check, and say which tier the pack reaches."""
    source = services.read_pack(caller(), name) if record else find_pack(name)
    enter_environment(source)
    report = local.check_pack(source)
    if record:
        services.record_check(caller(), source, report)
    if as_json:
        show_record(_report(report), as_json=True)
    else:
        show_rows(_report(report)["checks"], columns=["status", "check", "reason"], as_json=False)
        show_record({"tier": report.tier, "conforms": report.conforms}, as_json=False)
    if not report.conforms:
        raise typer.Exit(FAILED)


@app.command("run")
def run_pack(
    name: Annotated[str, typer.Argument(help="An installed pack; with --local also a folder.")],
    organisation: Annotated[str, typer.Option(help="Slug of who runs and pays.")] = "",
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="NAME=SLUG@VERSION, once for each input.")
    ] = None,
    contract: Annotated[str, typer.Option(help="Number of the contract to run under.")] = "",
    on_sample: Annotated[
        bool, typer.Option("--local", help="Here and now, on the pack's own sample data.")
    ] = False,
    dispatch: Annotated[
        bool, typer.Option("--dispatch", help="Also run the job in this process.")
    ] = False,
    timeout_s: Annotated[int, typer.Option("--timeout", min=1, help="Seconds to wait.")] = 3_600,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Run a pack: the quote is shown first, then the job runs, then the evaluation is shown."""
    if on_sample:
        _run_locally(name, as_json=as_json)
        return
    principal = person()
    quote = services.quote_pack(
        principal,
        name,
        organisation=organisation,
        inputs=_named_inputs(inputs or []),
        contract=contract,
    )
    ask_consent(_quote_lines(quote), yes=yes)
    job = submit_job(principal, quote.pk)
    found = _wait_for(principal, job, dispatch=dispatch, timeout_s=timeout_s)
    show_record(_evaluation(found), as_json=as_json)
    if found.state != Evaluation.State.SCORED:
        raise typer.Exit(FAILED)


@app.command("serve")
def serve_service(
    name: Annotated[str, typer.Argument(help="An installed pack, or the folder of one.")],
    service: Annotated[str, typer.Argument(help="The service's name in its manifest.")],
) -> None:
    """Run one service of a pack in the foreground, until interrupted; `haihe up` runs all."""
    status = run_service(find_pack(name), service)
    if status:
        raise typer.Exit(status)


@evaluation.command("list")
def list_evaluations(
    pack: Annotated[str, typer.Option(help="Of one pack only.")] = "",
    state: Annotated[str, typer.Option(help="scored or refused only.")] = "",
    cursor: str = "",
    limit: int = DEFAULT_LIMIT,
    as_json: AsJson = False,
) -> None:
    """List evaluations."""
    rows = services.list_evaluations(caller(), pack=pack, state=state)
    page = paginate(rows, cursor=cursor or None, limit=limit)
    show_rows(
        [_evaluation(row) for row in page.items],
        columns=["id", "pack", "organisation", "state", "score", "baseline", "permuted"],
        as_json=as_json,
        next_cursor=page.next_cursor,
        empty=_("No evaluation yet: haihe packs run NAME --organisation SLUG --input ..."),
    )


@evaluation.command("show")
def show_evaluation(evaluation_id: str, as_json: AsJson = False) -> None:
    """Show an evaluation: its figures, and both controls beside them."""
    row = services.find_evaluation(caller(), evaluation_id)
    record = _evaluation(row)
    show_record({**record, "details": row.details} if as_json else record, as_json=as_json)


@evaluation.command("cases")
def list_cases(
    evaluation_id: str,
    decision: Annotated[str, typer.Option(help="positive, negative or abstained only.")] = "",
    cursor: str = "",
    limit: int = DEFAULT_LIMIT,
    as_json: AsJson = False,
) -> None:
    """List why each case came out as it did, for whoever may read the job's outputs."""
    page = services.list_cases(
        caller(), evaluation_id, decision=decision, cursor=cursor or None, limit=limit
    )
    show_rows(
        [_case(item, as_json=as_json) for item in page.items],
        columns=["id", "score", "decision", "reasons"],
        as_json=as_json,
        next_cursor=page.next_cursor,
    )


def enter_environment(source: PackSource) -> None:
    """Go on where the pack's libraries are: this command begins anew there if it is not there yet.

    They are installed first if they are not.
    """
    environment = environment_of(source, load_settings().environments_folder)
    if environment is not None:
        _build(environment)
        enter(environment, ["-m", "haihe.app.entry", *sys.argv[1:]])


def _build(environment: PackEnvironment) -> bool:
    if environment.is_ready:
        return False
    err.print(
        _("Installing {requirement} into {folder}; this takes some minutes.").format(
            requirement=environment.requirement, folder=environment.folder
        ),
        markup=False,
    )
    return build(environment)


def _run_locally(name: str, *, as_json: bool) -> None:
    source = find_pack(name)
    enter_environment(source)
    with tempfile.TemporaryDirectory(prefix="haihe-local-") as folder:
        run = local.run_on_sample(source, out=Path(folder) / "out", report=_say_progress)
    show_record(_judgement(run.evaluation), as_json=as_json)


def _say_progress(share: float, text: str) -> None:
    err.print(f"{share:>6.1%}  {text}", style="dim")


def _named_inputs(given: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    wrong = next((text for text, pair in zip(given, pairs, strict=True) if not pair[2]), None)
    if wrong is not None:
        raise InvalidField(field="--input", value=wrong[:80], rule="give NAME=SLUG@VERSION")
    return {name: version for name, _equals, version in pairs}


def _quote_lines(quote: Quote) -> list[str]:
    """What a run may cost at most, who pays it, and why."""
    return [
        _("At most {amount} on {pool}:").format(
            amount=format_micro(quote.amount_micro), pool=quote.pool
        ),
        *(
            f"  {format_micro(share['amount_micro'], share['asset'])}  {share['payer']}"
            for share in quote.shares
        ),
        *(f"  {reason}" for reason in quote.reasons),
    ]


def _wait_for(principal: Principal, job: Job, *, dispatch: bool, timeout_s: int) -> Evaluation:
    """The evaluation of a job, once it is there; what the job prints is shown meanwhile.

    Raises
    ------
    WrongState
        If the job did not succeed, or is not done in time: it goes on, and can be looked at later.
    """
    deadline, offset = time.monotonic() + timeout_s, 0
    with Dispatcher() if dispatch else nullcontext() as dispatcher:
        while time.monotonic() < deadline:
            if dispatcher is not None:
                dispatcher.tick()
                deliver_due()
            chunk = read_log(principal, job.pk, offset=offset)
            if chunk.text:
                err.print(chunk.text, end="", markup=False, style="dim")
            offset = chunk.next_offset
            found = services.evaluation_of_job(principal, job.pk)
            if found is not None:
                return found
            job = find_job(principal, job.pk)
            if job.state in FINAL and job.state != "succeeded":
                break
            time.sleep(PAUSE_S)
    raise WrongState(kind="job", id=str(job.pk), state=job.state, needed="succeeded and evaluated")


def _pack(source: PackSource, check: PackCheck | None) -> dict[str, Any]:
    manifest = source.manifest()
    return {
        "name": source.name,
        "version": source.version,
        "title": spoken(manifest.title),
        "measure": manifest.measure,
        "tier": (check.tier or None) if check else None,
        "checked_at": check.created_at if check else None,
    }


def _listed_pack(source: PackSource, check: PackCheck | None, as_json: bool) -> dict[str, Any]:
    told = _services(source)
    short = [f"{_own_name(item)} {item['state']}" for item in told]
    return {**_pack(source, check), "services": told if as_json else short}


def _services(source: PackSource) -> list[dict[str, Any]]:
    """How each of its services is."""
    return [status_of(service).as_dict() for service in installed_services([source])]


def _service_line(told: Mapping[str, Any]) -> str:
    """A service in a line: since when it runs, and what last went wrong."""
    since = f" {_clock(told['since'])}" if told["since"] else ""
    line = f"{_own_name(told)}: {told['state']}{since}"
    if told["failed_at"]:
        line += f"; {_clock(told['failed_at'])} {told['failure']}"
    return line


def _own_name(told: Mapping[str, Any]) -> str:
    return str(told["service"]).partition(".")[2]


def _clock(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def _report(report: Report) -> dict[str, Any]:
    return {
        "pack": report.pack,
        "tier": report.tier,
        "conforms": report.conforms,
        "checks": [
            {
                "check": result.check,
                "status": str(result.status),
                "title": _(result.title),
                "reason": result.reason,
            }
            for result in report.results
        ],
    }


def _evaluation(row: Evaluation) -> dict[str, Any]:
    return {
        "id": row.pk,
        "pack": row.pack,
        "pack_version": row.pack_version,
        "organisation": row.organisation.slug,
        "job": row.job_id,
        "inputs": row.inputs,
        "state": row.state,
        "metric": row.metric,
        "score": row.score,
        "low": row.low,
        "high": row.high,
        "baseline": row.baseline,
        "permuted": row.permuted,
        "message": row.message,
        "is_public": row.is_public,
        "created_at": row.created_at,
    }


def _judgement(judgement: Judgement) -> dict[str, Any]:
    primary = judgement.primary
    return {
        "pack": judgement.pack,
        "pack_version": judgement.version,
        "rows": judgement.rows,
        "score": primary.value,
        "low": primary.low,
        "high": primary.high,
        "baseline": judgement.baseline.roc_auc_by_fold.mean,
        "permuted": judgement.permuted.mean if judgement.permuted else None,
    }


def _case(case: services.Case, *, as_json: bool) -> dict[str, Any]:
    if as_json:
        return dict(vars(case))
    decided = {True: _("positive"), False: _("negative"), None: _("abstained")}
    return {
        "id": case.id,
        "score": f"{case.score:.4f}",
        "decision": decided[case.decision],
        "reasons": [spoken(reason["text"]) for reason in case.reasons[:1]],
    }
