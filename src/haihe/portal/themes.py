"""Light, dark, or as the system says.

The choice is a cookie that the server reads, so that the first paint is right without any script,
which a strict content security policy would not run inline anyway.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from haihe.kernel.errors import InvalidField

COOKIE = "haihe_theme"
COOKIE_AGE_S = 365 * 24 * 3600
SYSTEM = "system"
THEMES = {
    SYSTEM: (_("As the system"), "device-desktop"),
    "light": (_("Light"), "sun"),
    "dark": (_("Dark"), "moon"),
}


def chosen(request: HttpRequest) -> str:
    """The theme that this browser asked for."""
    theme = request.COOKIES.get(COOKIE, SYSTEM)
    return theme if theme in THEMES else SYSTEM


def remember(response: HttpResponse, theme: str, *, secure: bool) -> None:
    """Keep ``theme`` in this browser.

    Raises
    ------
    InvalidField
        If there is no such theme.
    """
    if theme not in THEMES:
        raise InvalidField(field="theme", value=theme[:20], rule="choose from " + ", ".join(THEMES))
    response.set_cookie(
        COOKIE, theme, max_age=COOKIE_AGE_S, samesite="Lax", httponly=True, secure=secure
    )
