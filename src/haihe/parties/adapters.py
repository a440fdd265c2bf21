"""How django-allauth makes people here, from a form or from an identity provider."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.utils import filter_users_by_email, user_email
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.providers.base import AuthProcess
from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import get_language, override

from haihe.kernel.settings import load_settings
from haihe.parties import languages
from haihe.parties.domain import PERSON_NAME_LENGTH
from haihe.parties.errors import AccountExists, ProviderUnavailable, UnverifiedEmail
from haihe.parties.models import Person
from haihe.parties.services import is_invited

# The id of the invitation whose link this visitor opened.
INVITED = "invitation"
# OpenID Connect Core 1.0 section 5.1 asks for a boolean; some providers send it as text.
VERIFIED = (True, "true")


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Accounts are open to everybody, or to people who come by an invitation link."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Whether this visitor may create an account."""
        if load_settings().sign_up == "open":
            return True
        invitation_id = request.session.get(INVITED)
        return invitation_id is not None and is_invited(invitation_id)

    def post_login(self, request: HttpRequest, user: Person, **kwargs: Any) -> HttpResponseBase:
        """Greet somebody in the language that they chose, and go on in it."""
        with override(user.language or get_language()):
            response: HttpResponseBase = super().post_login(request, user, **kwargs)
        if user.language:
            languages.remember(response, user.language)
        return response


class SocialAccountAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """Whoever comes from a provider for the first time has an address that it vouches for.

    Roles are granted by e-mail address, so an address that nobody checked must not become an
    account. An account that exists is not taken over: its owner signs in to it and connects the
    provider there.
    """

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Refuse a first sign-in with an unchecked address, or with that of an account.

        Raises
        ------
        UnverifiedEmail, AccountExists
        """
        for address in sociallogin.email_addresses:
            address.verified = address.verified in VERIFIED
        connects = sociallogin.state.get("process") == AuthProcess.CONNECT
        if sociallogin.is_existing or connects:
            return
        provider = sociallogin.account.get_provider(request=request).name
        email = user_email(sociallogin.user)
        if not any(a.verified and a.email.lower() == email for a in sociallogin.email_addresses):
            raise UnverifiedEmail(provider=provider, email=email or "-")
        if filter_users_by_email(email):
            raise AccountExists(provider=provider, email=email)

    def get_requests_session(self) -> Any:
        """A session in which a provider that is away, or answers nonsense, has a named error."""
        session = super().get_requests_session()
        ask = session.request

        def request(*arguments: Any, **options: Any) -> Any:
            try:
                return ask(*arguments, **options)
            except OSError as error:
                raise ProviderUnavailable(reason="it does not answer") from error

        session.request = request
        session.hooks["response"].append(_check_answer)
        return session

    def populate_user(self, request: HttpRequest, sociallogin: Any, data: dict[str, Any]) -> Any:
        """Take over the name as one line that fits."""
        person = super().populate_user(request, sociallogin, data)
        name = "".join(char for char in str(data.get("name") or "") if char.isprintable())
        person.name = name.strip()[:PERSON_NAME_LENGTH]
        return person


def _check_answer(response: Any, *_: Any, **__: Any) -> None:
    """What is read from a provider must be JSON; what it says to a POST, allauth tells."""
    if response.request.method != "GET":
        return
    if not response.ok:
        raise ProviderUnavailable(reason=f"it answers with status {response.status_code}")
    try:
        response.json()
    except ValueError:
        raise ProviderUnavailable(reason="it does not answer with JSON") from None
