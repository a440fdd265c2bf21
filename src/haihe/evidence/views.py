"""Pages of the evidence log."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from haihe.evidence import inspection, services
from haihe.evidence.forms import LogFilter
from haihe.evidence.labels import kind_label, name_parts, page_of, system_label
from haihe.evidence.models import EvidenceCheckpoint, EvidenceEntry
from haihe.evidence.proof import EntryProof, Step, steps
from haihe.kernel.clock import now
from haihe.kernel.errors import Corrupt
from haihe.kernel.export import every_item, export_asked, export_table
from haihe.kernel.http import status_of
from haihe.kernel.pagination import Page
from haihe.kernel.phrases import localized
from haihe.policy.http import Request
from haihe.policy.names import organisation_names

ENTRY_COLUMNS = ("index", "id", "at", "kind", "subject", "actor", "parties", "data", "leaf")
CHECKPOINT_COLUMNS = ("size", "root", "at", "key", "signature")


@require_GET
def log(request: Request) -> HttpResponse:
    """The entries that the visitor may read, newest first."""
    form = LogFilter(request.GET, own=request.principal.organisations())
    if not form.is_valid():
        return _log_page(request, form, Page([], None), status=422)
    find = partial(services.find, request.principal, **form.cleaned_data)
    if export_asked(request):
        rows = map(_exported, every_item(find))
        return export_table(request, rows, columns=ENTRY_COLUMNS, name="evidence")
    return _log_page(request, form, find(cursor=request.GET.get("cursor")))


def _log_page(
    request: Request, form: LogFilter, page: Page[EvidenceEntry], *, status: int = 200
) -> HttpResponse:
    context = {
        "form": form,
        "page": page,
        "rows": [_shown(row) for row in page.items],
        "head": services.head(request.principal),
        "is_narrowed": any(form.cleaned_data.values()),
        "subject_page": page_of(form.cleaned_data.get("subject", "")),
        "as_of": now(),
    }
    return render(request, "evidence/log.html", context, status=status)


@require_GET
def entry(request: Request, entry_id: UUID) -> HttpResponse:
    """One entry and its proof; the proof alone for who may not read the content."""
    try:
        found = inspection.prove(request.principal, entry_id)
    except Corrupt as error:
        context = {"entry_id": entry_id, "contradiction": localized(error), "as_of": now()}
        return render(request, "evidence/entry_wrong.html", context, status=status_of(error))
    row = services.get(request.principal, entry_id) if found.entry_text else None
    context = {
        "entry": _shown(row) if row else None,
        "parties": _parties(row) if row else [],
        "entry_id": entry_id,
        "proof": found,
        "steps": _steps(found),
        "signed_at": datetime.fromisoformat(found.checkpoint.at),
        "as_of": now(),
    }
    return render(request, "evidence/entry.html", context)


@require_GET
def proof(request: Request, entry_id: UUID) -> HttpResponse:
    """The proof as a file that is checked offline."""
    found = inspection.prove(request.principal, entry_id)
    response = HttpResponse(found.text() + "\n", content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="proof-{found.index}.json"'
    return response


@require_GET
def subject(request: Request, subject: str) -> HttpResponse:
    """Go to what a subject names; where it has no page, to the entries about it."""
    address = page_of(subject)
    if address:
        return HttpResponseRedirect(address)
    return HttpResponseRedirect(reverse("evidence:log") + "?" + urlencode({"subject": subject}))


@require_GET
def checkpoints(request: Request) -> HttpResponse:
    """The signed checkpoints and the keys that they are checked with."""
    read = partial(services.checkpoints, request.principal)
    if export_asked(request):
        rows = map(_exported_checkpoint, every_item(read))
        return export_table(request, rows, columns=CHECKPOINT_COLUMNS, name="checkpoints")
    page = read(cursor=request.GET.get("cursor"))
    context = {
        "page": page,
        "rows": [_exported_checkpoint(row) for row in page.items],
        "keys": inspection.signing_keys(request.principal),
        "may_rotate": inspection.may_rotate_key(request.principal),
        "as_of": now(),
    }
    return render(request, "evidence/checkpoints.html", context)


@require_http_methods(["GET", "POST"])
def rotate_key(request: Request) -> HttpResponse:
    """Say what replacing the key means; do it on POST."""
    if request.method == "POST":
        key = services.rotate_key(request.principal)
        text = _("Checkpoints are signed with key %(key)s now.")
        messages.success(request, text % {"key": key.pk})
        return redirect("evidence:checkpoints")
    context = {"may_rotate": inspection.may_rotate_key(request.principal)}
    return render(request, "evidence/rotate_key.html", context)


@require_http_methods(["GET", "POST"])
def verify(request: Request) -> HttpResponse:
    """When the log was last checked, and how anybody checks it; check it now on POST."""
    contradiction, status = "", 200
    if request.method == "POST":
        try:
            found = inspection.check_log(request.principal)
        except Corrupt as error:
            contradiction, status = localized(error), status_of(error)
        else:
            text = _("All %(size)s entries are as they were logged.")
            messages.success(request, text % {"size": found.size if found else 0})
            return redirect("evidence:verify")
    check = inspection.last_check(request.principal)
    context = {
        "contradiction": contradiction,
        "head": services.head(request.principal),
        "check": check,
        "checked_by": name_parts(check.actor) if check else None,
        "checking_system": system_label(check.actor) if check else "",
        "keys": inspection.signing_keys(request.principal),
        "may_check": inspection.may_check(request.principal),
        "as_of": now(),
    }
    return render(request, "evidence/verify.html", context, status=status)


def _shown(row: EvidenceEntry) -> dict[str, Any]:
    """An entry as the pages show it."""
    subject_sort, subject_name = name_parts(row.subject)
    actor_sort, actor_name = name_parts(row.actor)
    return {
        "row": row,
        "kind": kind_label(row.kind),
        "subject_sort": subject_sort,
        "subject_name": subject_name,
        "subject_page": page_of(row.subject),
        "actor_sort": actor_sort,
        "actor_name": actor_name,
        "system": system_label(row.actor),
    }


def _parties(row: EvidenceEntry) -> list[tuple[UUID, str]]:
    """The ids of an entry's parties, each with a name if it has one."""
    names = organisation_names(row.parties)
    return [(party, names.get(party, "")) for party in row.parties]


def _steps(found: EntryProof) -> list[Step]:
    path = [bytes.fromhex(sibling) for sibling in found.path]
    return steps(bytes.fromhex(found.leaf), found.index, found.checkpoint.size, path)


def _exported(row: EvidenceEntry) -> dict[str, Any]:
    return {
        "index": row.index,
        "id": row.id,
        "at": row.at,
        "kind": row.kind,
        "subject": row.subject,
        "actor": row.actor,
        "parties": row.parties_json,
        "data": row.data_json,
        "leaf": bytes(row.leaf).hex(),
    }


def _exported_checkpoint(row: EvidenceCheckpoint) -> dict[str, Any]:
    return {
        "size": row.size,
        "root": bytes(row.root).hex(),
        "at": row.at,
        "key": row.key_id,
        "signature": bytes(row.signature).hex(),
    }
