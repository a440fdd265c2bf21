"""Pages of datasets, their versions, and the agreements on them."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from django.contrib import messages
from django.db.models import Model, QuerySet
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from haihe.data import services
from haihe.data.forms import (
    AcceptanceForm,
    DatasetForm,
    NewDatasetForm,
    ProposalForm,
    SearchForm,
    VersionForm,
)
from haihe.data.labels import AGREEMENT_TONES, PURPOSES
from haihe.data.models import Agreement, Dataset
from haihe.kernel.clock import now
from haihe.kernel.export import EXPORT_ROWS, every_item, export_asked, export_table
from haihe.kernel.files import stream_file
from haihe.kernel.forms import moved, redrawn, shown_on
from haihe.kernel.pagination import paginate
from haihe.policy.http import Request
from haihe.policy.services import is_allowed

M = TypeVar("M", bound=Model)
VERSION_COLUMNS = ("number", "rows", "bytes", "format", "sha256", "source", "created_at")
SHOWN_AGREEMENTS = 20
UPLOAD_FORM = "#upload"


@require_GET
def datasets(request: Request) -> HttpResponse:
    """The catalogue."""
    form = SearchForm(request.GET)
    text = form.cleaned_data["text"] if form.is_valid() else ""
    rows = services.list_datasets(request.principal, text=text)
    if export_asked(request):
        return export_table(
            request,
            (vars(row) | {"holder": str(row.organisation)} for row in _newest(rows)),
            columns=[
                "slug", "title", "title_en", "holder", "licence", "is_published",
                "newest_number", "newest_rows", "newest_at", "created_at",
            ],
            name="datasets",
        )  # fmt: skip
    page = paginate(rows, cursor=request.GET.get("cursor"))
    return render(
        request,
        "data/datasets.html",
        {"form": form, "text": text, "page": page, "as_of": now()},
    )


@require_http_methods(["GET", "POST"])
def dataset_new(request: Request) -> HttpResponse:
    """Register a dataset."""
    holders = services.possible_holders(request.principal)
    form = NewDatasetForm(request.POST or None, organisations=holders)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            created = services.create_dataset(
                request.principal,
                organisation=form.cleaned_data["organisation"],
                slug=form.cleaned_data["slug"],
                policy=form.policy(),
                **form.card(),
            )
            messages.success(request, _("The dataset is registered. Add its first version."))
            return redirect("data:version_new", created.slug)
    return render(request, "data/dataset_form.html", {"form": form}, status=form.status)


@require_http_methods(["GET", "POST"])
def dataset_edit(request: Request, slug: str) -> HttpResponse:
    """Change a dataset's card and terms."""
    found = services.find_dataset(request.principal, slug)
    card = {name: getattr(found, name) for name in ("title", "title_en", "description", "licence")}
    terms = {**found.policy.as_dict(), "centres": "\n".join(found.policy.centres)}
    form = DatasetForm(request.POST or None, initial={**card, **terms})
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            services.update_dataset(request.principal, slug, policy=form.policy(), **form.card())
            messages.success(request, _("The dataset is changed. Agreements in force keep theirs."))
            return redirect("data:dataset", slug)
    context = {"form": form, "dataset": found}
    return render(request, "data/dataset_form.html", context, status=form.status)


@require_GET
def dataset(request: Request, slug: str) -> HttpResponse:
    """A dataset: card, terms, versions, agreements."""
    principal = request.principal
    found = services.find_dataset(principal, slug)
    versions = services.versions_of(principal, slug)
    if export_asked(request):
        rows = map(vars, versions[:EXPORT_ROWS])
        return export_table(request, rows, columns=VERSION_COLUMNS, name=f"{slug}-versions")
    page = paginate(versions, cursor=request.GET.get("cursor"))
    agreements = []
    if principal.id is not None:
        own = services.list_agreements(principal, dataset=slug)
        agreements = list(own.order_by("-pk")[:SHOWN_AGREEMENTS])
    return render(
        request,
        "data/dataset.html",
        {
            "dataset": found,
            "purposes": _purposes(found),
            "page": page,
            "agreements": [_agreement_row(row) for row in agreements],
            "as_of": now(),
            **_permissions(request, found),
        },
    )


@require_GET
def dataset_by_id(request: Request, dataset_id: UUID) -> HttpResponse:
    """Go to a dataset that evidence names by its id."""
    found = services.find_dataset_by_id(request.principal, dataset_id)
    return redirect("data:dataset", found.slug)


@require_POST
def publish(request: Request, slug: str) -> HttpResponse:
    """List a dataset in the public catalogue."""
    services.publish_dataset(request.principal, slug)
    messages.success(request, _("The dataset is published."))
    return redirect("data:dataset", slug)


@require_POST
def withdraw(request: Request, slug: str) -> HttpResponse:
    """Take a dataset out of the public catalogue."""
    services.publish_dataset(request.principal, slug, published=False)
    messages.success(request, _("The dataset is withdrawn. Agreements in force stay."))
    return redirect("data:dataset", slug)


@require_GET
def usage(request: Request, slug: str) -> HttpResponse:
    """Who read the content, when and how: for the holder."""
    found = services.find_dataset(request.principal, slug)
    read = partial(services.usage_of, request.principal, slug)
    if export_asked(request):
        return export_table(
            request,
            map(vars, every_item(read)),
            columns=["at", "version", "reader", "via", "actor", "evidence_id"],
            name=f"{slug}-usage",
        )
    log = read(cursor=request.GET.get("cursor"))
    return render(
        request,
        "data/usage.html",
        {
            "dataset": found,
            "page": log,
            "reads": [{"read": r, "job": _job_of(r)} for r in log.items],
            "as_of": now(),
        },
    )


# --- versions ------------------------------------------------------------------------------------


@require_GET
def version(request: Request, slug: str, number: int) -> HttpResponse:
    """A version: hash, size, schema, and on demand its first rows."""
    found = services.find_version(request.principal, slug, number)
    may_read = services.may_read_content(request.principal, found.dataset)
    if export_asked(request):
        return export_table(
            request, found.columns, columns=["name", "type", "nulls"], name=f"{slug}-v{number}"
        )
    rows = None
    if may_read and "preview" in request.GET:
        rows = services.preview(request.principal, slug, number)
    return render(
        request,
        "data/version.html",
        {
            "dataset": found.dataset,
            "found": found,
            "may_read": may_read,
            "preview": None if rows is None else {"columns": rows.columns, "rows": rows.rows()},
            "as_of": now(),
        },
    )


@require_GET
def version_by_id(request: Request, version_id: UUID) -> HttpResponse:
    """Go to a version that evidence names by its id."""
    found = services.find_version_by_id(request.principal, version_id)
    return redirect("data:version", found.dataset.slug, found.number)


@require_http_methods(["GET", "POST"])
def version_new(request: Request, slug: str) -> HttpResponse:
    """Receive a file as the next version; a script on the page may show how far it is."""
    found = services.find_dataset(request.principal, slug)
    form = VersionForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        file = form.cleaned_data["file"]
        with shown_on(form):
            added = services.add_version(
                request.principal,
                slug,
                name=file.name,
                pieces=file.chunks(),
                source=form.cleaned_data["source"],
            )
            messages.success(
                request,
                _("Version %(number)s is registered: %(rows)s rows.")
                % {"number": added.number, "rows": added.rows},
            )
            return moved(request, redirect("data:version", slug, added.number))
    context = {"form": form, "dataset": found}
    shown = render(request, "data/version_form.html", context, status=form.status)
    return redrawn(request, shown, UPLOAD_FORM)


@require_GET
def content(request: Request, slug: str, number: int) -> HttpResponseBase:
    """A version's content as a download; the read is logged."""
    found, file = services.open_content(request.principal, slug, number)
    return stream_file(request, file, name=found.file_name)


# --- agreements ----------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
def propose(request: Request, slug: str) -> HttpResponse:
    """Offer terms to an organisation."""
    found = services.find_dataset(request.principal, slug)
    form = ProposalForm(request.POST or None, policy=found.policy)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            offered = services.propose_agreement(request.principal, slug, **form.cleaned_data)
            messages.success(request, _("The terms are offered. They hold once accepted."))
            return redirect("data:agreement", offered.pk)
    context = {"form": form, "dataset": found}
    return render(request, "data/propose.html", context, status=form.status)


@require_http_methods(["GET", "POST"])
def terms(request: Request, slug: str) -> HttpResponse:
    """Accept a dataset's standing terms."""
    consumers = services.possible_consumers(request.principal)
    found = services.find_dataset(request.principal, slug)
    form = AcceptanceForm(request.POST or None, policy=found.policy, organisations=consumers)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            accepted = services.accept_terms(request.principal, slug, **form.cleaned_data)
            messages.success(request, _("The terms are accepted. Jobs may read the dataset now."))
            return redirect("data:agreement", accepted.pk)
    context = {"form": form, "dataset": found, "purposes": _purposes(found)}
    return render(request, "data/terms.html", context, status=form.status)


@require_GET
def agreements(request: Request) -> HttpResponse:
    """Agreements of the caller's organisations."""
    rows = services.list_agreements(request.principal)
    if export_asked(request):
        return export_table(
            request,
            (vars(row) | _parties(row) for row in _newest(rows)),
            columns=[
                "id", "dataset", "provider", "consumer", "purpose", "days", "state",
                "created_at", "accepted_at", "expires_at", "ended_at",
            ],
            name="agreements",
        )  # fmt: skip
    page = paginate(rows, cursor=request.GET.get("cursor"))
    return render(
        request,
        "data/agreements.html",
        {"page": page, "agreements": [_agreement_row(row) for row in page.items], "as_of": now()},
    )


@require_GET
def agreement(request: Request, agreement_id: UUID) -> HttpResponse:
    """An agreement: parties, terms as they were then, state."""
    found = services.find_agreement(request.principal, agreement_id)
    is_open = found.state != Agreement.State.ENDED
    return render(
        request,
        "data/agreement.html",
        {
            **_agreement_row(found),
            "as_of": now(),
            "may_accept": found.state == Agreement.State.PROPOSED
            and is_allowed(request.principal, "agreement.accept", found.resource_for_consumer()),
            "may_end": is_open and is_allowed(request.principal, "agreement.end", found.resource()),
        },
    )


@require_POST
def accept(request: Request, agreement_id: UUID) -> HttpResponse:
    """Accept the terms that were offered."""
    services.accept_agreement(request.principal, agreement_id)
    messages.success(request, _("The agreement is accepted."))
    return redirect("data:agreement", agreement_id)


@require_POST
def end(request: Request, agreement_id: UUID) -> HttpResponse:
    """End an agreement."""
    services.end_agreement(request.principal, agreement_id)
    messages.success(request, _("The agreement is ended. No job reads under it any more."))
    return redirect("data:agreement", agreement_id)


# --- helpers -------------------------------------------------------------------------------------


def _permissions(request: Request, found: Dataset) -> dict[str, bool]:
    """Which buttons to show; services decide anyway."""
    principal, resource = request.principal, found.resource()
    mine = found.organisation_id in principal.organisations()
    return {
        "may_update": is_allowed(principal, "dataset.update", resource),
        "may_add": is_allowed(principal, "dataset.add_version", resource),
        "may_propose": is_allowed(principal, "agreement.propose", resource),
        "may_read_usage": is_allowed(principal, "dataset.read_usage", resource),
        "may_accept_terms": found.policy.standing and found.is_published and not mine,
    }


def _purposes(found: Dataset) -> list[Any]:
    return [PURPOSES[purpose] for purpose in found.policy.purposes]


def _agreement_row(row: Agreement) -> dict[str, Any]:
    return {
        "agreement": row,
        "purpose": PURPOSES[row.purpose],
        "tone": AGREEMENT_TONES[row.state],
    }


def _newest(rows: QuerySet[M]) -> QuerySet[M]:
    """The newest rows, as many as one file holds."""
    return rows.order_by("-pk")[:EXPORT_ROWS]


def _parties(row: Agreement) -> dict[str, str]:
    return {
        "dataset": row.dataset.slug,
        "provider": row.provider.name,
        "consumer": row.consumer.name,
    }


def _job_of(read: services.Read) -> str:
    sort, _colon, identity = read.via.partition(":")
    return identity if sort == "job" else ""
