"""What every page's template may use."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.http import HttpRequest

from haihe import __version__
from haihe.kernel.clock import now
from haihe.kernel.settings import load_settings
from haihe.policy.domain import ANONYMOUS
from haihe.portal import navigation, themes


def portal(request: HttpRequest) -> dict[str, Any]:
    """Values for the layout; menus are callables, so that a fragment without them pays nothing."""
    principal = getattr(request, "principal", ANONYMOUS)
    return {
        "principal": principal,
        "version": __version__,
        "return_to": request.get_full_path(),
        "page_as_of": now,
        "theme": themes.chosen(request),
        "themes": themes.THEMES,
        "navigation": partial(navigation.sections, request.path, principal),
        "person_menu": partial(navigation.person_links, request.path),
        "account_menu": partial(navigation.account_links, request.path),
        "sign_up_is_open": load_settings().sign_up == "open",
    }
