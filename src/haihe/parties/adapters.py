"""How django-allauth makes people here, and lets them in."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import get_language, override

from haihe.kernel.settings import load_settings
from haihe.parties import languages
from haihe.parties.models import Person


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Accounts are open to everybody, or to people who come by an invitation link."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Whether this visitor may create an account."""
        return load_settings().sign_up == "open" or "invitation" in request.session

    def post_login(self, request: HttpRequest, user: Person, **kwargs: Any) -> HttpResponseBase:
        """Greet somebody in the language that they chose, and go on in it."""
        with override(user.language or get_language()):
            response: HttpResponseBase = super().post_login(request, user, **kwargs)
        if user.language:
            languages.remember(response, user.language)
        return response
