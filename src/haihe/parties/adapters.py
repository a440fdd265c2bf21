"""How django-allauth makes people here."""

from __future__ import annotations

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest

from haihe.kernel.settings import load_settings


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Accounts are open to everybody, or to people who come by an invitation link."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Whether this visitor may create an account."""
        return load_settings().sign_up == "open" or "invitation" in request.session
