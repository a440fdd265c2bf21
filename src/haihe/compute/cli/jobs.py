"""Commands about quotes and jobs."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from django.utils.translation import gettext as _

from haihe.compute.cli.options import takes_job
from haihe.compute.cli.shown import (
    attempt_row,
    bill,
    bill_lines,
    job_row,
    payers,
    show_bill,
    show_choice,
)
from haihe.compute.domain import FINAL, JobState, spec_from
from haihe.compute.errors import BadJobSpec
from haihe.compute.models import Job, Quote
from haihe.compute.services import jobs as services
from haihe.compute.services.explain import explain_job
from haihe.compute.services.files import keep_file
from haihe.compute.services.quotes import find_quote, request_quote
from haihe.compute.tasks import Dispatcher, run_until_idle
from haihe.kernel.blobs import PIECE_BYTES, pieces_of
from haihe.kernel.errors import InvalidField
from haihe.kernel.outbox import deliver_due
from haihe.kernel.pagination import DEFAULT_LIMIT
from haihe.kernel.phrases import translated
from haihe.kernel.terminal import (
    AsJson,
    Yes,
    ask_consent,
    err,
    out,
    print_json,
    show_record,
    show_rows,
    track_bytes,
)
from haihe.policy.cli import caller, person
from haihe.policy.domain import Principal, Resource
from haihe.policy.services import authorize

quote = typer.Typer(help="Quotes: what a job would cost at most, and why.", no_args_is_help=True)
job = typer.Typer(help="Jobs: submit, watch, cancel, read.", no_args_is_help=True)

PAUSE_S = 0.2
HINT_AFTER_S = 5
DISPATCH_ROUNDS = 1_000_000
JOB_FAILED = 1

Priority = Annotated[
    int, typer.Option(help="-100 to 100; higher goes first among your organisation's jobs.")
]
Dispatch = Annotated[bool, typer.Option(help="Dispatch jobs in this process while waiting.")]


# --- quotes --------------------------------------------------------------------------------------


@quote.command("request")
@takes_job
def request(
    asked: dict[str, Any],
    as_json: AsJson = False,
) -> None:
    """Ask what a job would cost at most; nothing is held."""
    show_bill(_request(person(), asked), as_json=as_json)


@quote.command("show")
def show_quote(quote_id: str, as_json: AsJson = False) -> None:
    """Show a quote: every line, each reason, who pays."""
    show_bill(find_quote(caller(), quote_id), as_json=as_json)


# --- jobs ----------------------------------------------------------------------------------------


@job.command("list")
def list_jobs(
    of_quote: Annotated[
        str, typer.Option("--quote", help="Those of one quote: the jobs of an array.")
    ] = "",
    cursor: str = "",
    limit: int = DEFAULT_LIMIT,
    as_json: AsJson = False,
) -> None:
    """List the newest jobs that you may see."""
    page = services.list_jobs(caller(), quote=of_quote or None, cursor=cursor or None, limit=limit)
    show_rows(
        [job_row(row) for row in page.items],
        columns=[
            "id",
            "name",
            "array_index",
            "organisation",
            "pool",
            "state",
            "created_at",
            "cost",
        ],
        as_json=as_json,
        next_cursor=page.next_cursor,
        empty=_(
            "No job yet: haihe --as EMAIL job run --organisation ORG --name hello -- echo hello"
        ),
    )


@job.command("show")
def show_job(job_id: str, as_json: AsJson = False) -> None:
    """Show a job with its attempts, usage and bill."""
    found = services.find_job(caller(), job_id)
    settlement = getattr(found, "settlement", None)
    facts = {
        **job_row(found),
        "end_reason": found.end_reason,
        "exit_code": found.exit_code,
        "message": found.message,
        "quote": found.quote_id,
        "priority": found.priority,
        "deadline_at": found.deadline_at,
        "cancel_requested_at": found.cancel_requested_at,
        "evidence": settlement.evidence_id if settlement else None,
    }
    attempts = [attempt_row(row) for row in found.tries()]
    lines = settlement.lines if settlement else []
    shares = settlement.shares if settlement else []
    if as_json:
        print_json({**facts, "attempts": attempts, "bill": lines, "paid_by": shares})
        return
    show_record(facts, as_json=False)
    if attempts:
        show_rows(attempts, columns=list(attempts[0]), as_json=False)
    if settlement:
        for line in [*bill_lines(lines), *payers(shares, _("{payer} paid {amount}"))]:
            out.print(line)


@job.command("submit")
@takes_job
def submit(
    asked: dict[str, Any],
    priority: Priority = 0,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Quote a job, show the bill, and submit it."""
    submitted = _submit(person(), asked, priority=priority, yes=yes)
    show_record(job_row(submitted), as_json=as_json)


@job.command("run")
@takes_job
def run(
    asked: dict[str, Any],
    priority: Priority = 0,
    dispatch: Dispatch = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Submit a job, print its log as it comes, and wait for its end.

    Ends with exit code 1 if the job did not succeed. Interrupting it leaves the job running.
    """
    principal = person()
    submitted = _submit(principal, asked, priority=priority, yes=yes)
    with Dispatcher() if dispatch else nullcontext() as dispatcher:
        ended = _follow(principal, submitted, dispatcher=dispatcher, to_stderr=as_json)
    show_record(job_row(ended), as_json=as_json)
    if ended.state != JobState.SUCCEEDED:
        raise typer.Exit(JOB_FAILED)


@job.command("explain")
def explain(job_id: str, as_json: AsJson = False) -> None:
    """Say why a job is where it is, or why it waits: every centre with every term."""
    found = explain_job(caller(), job_id)
    if as_json:
        print_json(found.as_dict())
        return
    out.print(translated(found.sentence))
    for placed in filter(None, [found.quoted, *found.placements]):
        mark = "" if placed.is_replayed else _("; its facts do not lead there again")
        title = f"{placed.at:%Y-%m-%d %H:%M:%S} {placed.occasion}{mark}"
        show_choice(placed.choice, title)
    if found.present is not None:
        show_choice(found.present, _("now"))


@job.command("log")
def show_log(
    job_id: str,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until the job ends.")] = False,
    offset: Annotated[int, typer.Option(help="First byte; negative: from the end.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Print what the newest attempt printed."""
    principal = caller()
    if as_json:
        chunk = services.read_log(principal, job_id, offset=offset)
        show_record({"text": chunk.text, "next_offset": chunk.next_offset}, as_json=True)
    elif follow:
        found = services.find_job(principal, job_id)
        _follow(principal, found, dispatcher=None, to_stderr=False, offset=offset)
    else:
        _print_log(principal, job_id, offset=offset, to_stderr=False)


@job.command("cancel")
def cancel(
    job_id: str,
    array: Annotated[bool, typer.Option("--array", help="All jobs of its array.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Ask for a job's end; what it used until then is paid."""
    principal = person()
    found = services.find_job(principal, job_id)
    if array:
        text = _("Cancel all jobs of the array of {name}.").format(name=found.name)
        ask_consent([text], yes=yes)
        show_record({"cancelled": services.cancel_array(principal, job_id)}, as_json=as_json)
        return
    ask_consent(
        [_("Cancel {name}, which is {state}.").format(name=found.name, state=found.state)], yes=yes
    )
    show_record(job_row(services.cancel_job(principal, job_id)), as_json=as_json)


@job.command("files")
def list_files(job_id: str, as_json: AsJson = False) -> None:
    """List the files that the newest attempt wrote."""
    show_rows(
        [vars(file) for file in services.list_outputs(caller(), job_id)],
        columns=["path", "bytes"],
        as_json=as_json,
        empty=_("It wrote no files."),
    )


@job.command("get")
def get_file(
    job_id: str,
    path: Annotated[str, typer.Argument(help="As `job files` lists it; empty for all.")] = "",
    to: Annotated[
        Path | None, typer.Option(help="Where to write it, or the folder for all; nothing is over.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy one of a job's files here, or all of them into a folder."""
    principal = caller()
    if path:
        target = to or Path(Path(path).name)
        _copy(principal, job_id, path, target)
        show_record({"path": path, "to": target, "bytes": target.stat().st_size}, as_json=as_json)
        return
    folder = to or Path(job_id)
    rows = []
    for file in services.list_outputs(principal, job_id):
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(principal, job_id, file.path, target)
        rows.append({"path": file.path, "to": target, "bytes": file.bytes})
    columns = ["path", "to", "bytes"]
    show_rows(rows, columns=columns, as_json=as_json, empty=_("It wrote no files."))


def _copy(principal: Principal, job_id: str, path: str, target: Path) -> None:
    with services.open_output(principal, job_id, path) as source:
        size = os.fstat(source.fileno()).st_size
        pieces = iter(partial(source.read, PIECE_BYTES), b"")
        try:
            with target.open("xb") as file:
                for piece in track_bytes(pieces, total=size, text=path):
                    file.write(piece)
        except FileExistsError:
            raise InvalidField(field="to", value=str(target), rule="give a new name") from None


@job.command("dispatch")
def dispatch_jobs(
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Until no job waits or runs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Place, run, meter and settle what can be now; `haihe up` does this all the time."""
    authorize(caller(), "job.dispatch", Resource("Job"))
    with Dispatcher() as dispatcher:
        if until_idle:
            run_until_idle(dispatcher, pause=_pause, rounds=DISPATCH_ROUNDS)
        else:
            dispatcher.tick()
    deliver_due()
    unfinished = Job.objects.exclude(state__in=FINAL).count()
    show_record({"unfinished": unfinished, "idle": until_idle}, as_json=as_json)


# --- helpers -------------------------------------------------------------------------------------


def _request(principal: Principal, asked: dict[str, Any]) -> Quote:
    spec = {
        name: value for name, value in asked.items() if name not in ("organisation", "contract")
    }
    if "organisation" not in asked:
        raise BadJobSpec(field="organisation", rule="is missing: who pays?")
    if "files" in spec:
        spec["files"] = _uploaded(principal, spec["files"], asked["organisation"])
    return request_quote(
        principal,
        spec_from(spec),
        organisation=asked["organisation"],
        contract=asked.get("contract", ""),
    )


def _uploaded(principal: Principal, wanted: Any, organisation: str) -> list[dict[str, str]]:
    """The files of a spec by their content; those that are named by a path here are brought."""
    if not isinstance(wanted, list) or not all(isinstance(item, dict) for item in wanted):
        raise BadJobSpec(field="files", rule="needs path and sha256, or path and from, each")
    found = []
    for item in wanted:
        if "from" not in item:
            found.append(item)
            continue
        source = Path(str(item["from"]))
        try:
            size = source.stat().st_size
            pieces = track_bytes(pieces_of(source), total=size, text=str(source))
            kept = keep_file(principal, pieces, organisation=organisation)
        except OSError as error:
            raise BadJobSpec(field=f"files.{source}", rule=f"cannot be read: {error}") from None
        found.append({"path": item.get("path", source.name), "sha256": kept.sha256})
    return found


def _submit(principal: Principal, asked: dict[str, Any], *, priority: int, yes: bool) -> Job:
    """Show the quote, ask, and submit."""
    priced = _request(principal, asked)
    ask_consent(bill(priced), yes=yes)
    return services.submit_job(principal, priced.pk, priority=priority)


def _follow(
    principal: Principal,
    started: Job,
    *,
    dispatcher: Dispatcher | None,
    to_stderr: bool,
    offset: int = 0,
) -> Job:
    """Print the log until the job has ended; returns it as it is then."""
    tries, waited_s = 0, 0.0
    while True:
        if dispatcher is not None:
            dispatcher.tick()
            deliver_due()
        found = services.find_job(principal, started.pk)
        before, tries = tries, found.tries().count()
        if tries > before > 0:
            offset = 0  # another attempt, another log
        offset = _print_log(principal, found.pk, offset=offset, to_stderr=to_stderr)
        if found.state in FINAL:
            return found
        time.sleep(PAUSE_S)
        if found.state == JobState.QUEUED and waited_s < HINT_AFTER_S <= waited_s + PAUSE_S:
            err.print(_("Still queued. A dispatcher starts it: haihe up, or haihe job dispatch."))
        waited_s += PAUSE_S


def _print_log(principal: Principal, job_id: Any, *, offset: int, to_stderr: bool) -> int:
    """Print the log from ``offset`` to its present end; the offset of what comes next."""
    while True:
        chunk = services.read_log(principal, job_id, offset=offset)
        if not chunk.text:
            return chunk.next_offset
        typer.echo(chunk.text, nl=False, err=to_stderr)
        offset = chunk.next_offset


def _pause() -> None:
    deliver_due()
    time.sleep(PAUSE_S)
