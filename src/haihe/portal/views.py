"""Pages of the shell itself: the theme switch, and the style guide for those who write pages."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from haihe.portal import themes
from haihe.portal.styleguide import content


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
