"""Pages of the portal itself: the overview, the wall, the theme switch, and the style guide."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from haihe.evidence.services import head
from haihe.policy.http import Request
from haihe.portal import themes
from haihe.portal.styleguide import content
from haihe.programme.labels import target_row
from haihe.programme.services.overview import next_steps, read_overview
from haihe.programme.services.plans import list_indicators
from haihe.programme.steps import chain_steps, suggestions


@require_GET
def home(request: Request) -> HttpResponse:
    """What this is, the chain with its figures, what is reached, and what to do next."""
    return render(
        request,
        "portal/home.html",
        {**_figures(request), "next_steps": suggestions(next_steps(request.principal))},
    )


@require_GET
def wall(request: Request) -> HttpResponse:
    """The plan's targets and the chain's figures on one screen of a meeting room."""
    return render(request, "portal/wall.html", _figures(request))


def _figures(request: Request) -> dict[str, Any]:
    """What both pages show, of one instant."""
    overview = read_overview(request.principal)
    indicators = list_indicators(request.principal)
    measured = [item for item in indicators if item.observation is not None]
    newest = head(request.principal)
    return {
        "steps": chain_steps(overview, measured=len(measured)),
        "document": indicators[0].document if indicators else None,
        "targets": [target_row(item) for item in measured],
        "unmeasured": [target_row(item) for item in indicators if item.observation is None],
        "head": newest,
        "head_at": datetime.fromisoformat(newest.at) if newest else None,
        "as_of": overview.as_of,
    }


@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    """Keep the theme and go back to the page, which must be ours."""
    target = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        target = "/"
    response = HttpResponseRedirect(target)
    themes.remember(response, request.POST.get("theme", ""), secure=request.is_secure())
    return response


@require_GET
def styleguide(request: HttpRequest) -> HttpResponse:
    """Every component once, with content as real pages have it."""
    return render(request, "portal/styleguide.html", content())
