"""The pages of a session that is live: the therapist's, the patient's screen, and their tickets."""

from __future__ import annotations

import json
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from bci_rehab.clinic import decoders, sessions
from bci_rehab.clinic.live_words import patient_words, therapist_words
from haihe.packs.pages import Request

# What a therapist may order, and by which key; what stops is apart, and large.
ORDERS = (
    ("begin", "B"),
    ("arm", "A"),
    ("pause", "P"),
    ("resume", "R"),
    ("skip", "K"),
    ("abort", "X"),
)


@require_GET
@never_cache
def live(request: Request, session_id: UUID) -> HttpResponse:
    """The therapist's page; a technician sees the same without the controls."""
    found = sessions.checked(request.principal, session_id)
    if found.state != found.State.RUNNING:
        return redirect("bci_rehab:session", session_id)
    words = therapist_words()
    context = {
        "session": found,
        "patient": found.patient,
        "may_run": sessions.may_run(request.principal, found.patient),
        "orders": [(order, key, words["orders"][order]) for order, key in ORDERS],
        "words": json.dumps(words, ensure_ascii=False),
    }
    return render(request, "bci_rehab/live.html", context)


@require_GET
@never_cache
def screen(request: Request, session_id: UUID) -> HttpResponse:
    """The patient's screen."""
    found = sessions.checked(request.principal, session_id)
    if found.state != found.State.RUNNING:
        return redirect("bci_rehab:session", session_id)
    words = patient_words()
    words["asks"] = words["attempt" if found.plan["task"] == "attempt" else "imagery"]
    context = {"session": found, "words": json.dumps(words, ensure_ascii=False)}
    return render(request, "bci_rehab/screen.html", context)


@require_POST
@never_cache
def ticket(request: Request, session_id: UUID) -> JsonResponse:
    """A fresh ticket for a page's channel; the right to it is looked at anew each time."""
    role = request.POST.get("role", "")
    return JsonResponse(sessions.ticket_for(request.principal, session_id, role))


@require_POST
def fit(request: Request, session_id: UUID) -> HttpResponse:
    """Begin to fit a decoder."""
    decoders.fit(request.principal, session_id)
    return _said(request, session_id, _("The decoder is being fitted; the session goes on."))


@require_POST
def fit_accept(request: Request, session_id: UUID) -> HttpResponse:
    """Accept the fitted decoder that was looked at, and use it."""
    sha256 = request.POST.get("sha256", "")
    used = decoders.accept_fit(request.principal, session_id, sha256)
    said = _("Decoder %(decoder)s is accepted and in use. Arm again before it moves anything.")
    return _said(request, session_id, said % {"decoder": used})


def _said(request: Request, session_id: UUID, text: str) -> HttpResponse:
    """What was done: said on the live page, which goes on drawing if a script asked."""
    if getattr(request, "htmx", False):
        return render(request, "bci_rehab/said.html", {"text": text})
    messages.success(request, text)
    return redirect("bci_rehab:live", session_id)
