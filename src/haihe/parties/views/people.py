"""Pages of people: their organisations, their profile, their API tokens, and platform roles."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from allauth.account import views as allauth
from allauth.account.adapter import get_adapter
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _
from django.views import i18n
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from haihe.kernel.clock import now
from haihe.kernel.export import export_asked, export_table
from haihe.kernel.forms import shown_on
from haihe.kernel.pagination import paginate
from haihe.parties import languages, services
from haihe.parties.forms import PlatformRoleForm, ProfileForm, TokenForm
from haihe.parties.models import Membership, PlatformGrant
from haihe.policy.domain import Resource
from haihe.policy.http import Request
from haihe.policy.services import is_allowed

MEMBERSHIP_COLUMNS = ("organisation", "name", "role", "since")
GRANT_COLUMNS = ("email", "name", "role", "since")
PLATFORM = Resource("Platform", "platform")


@require_GET
def memberships(request: Request) -> HttpResponse:
    """The organisations that one belongs to, and as what."""
    rows = services.memberships_of(request.principal)
    if export_asked(request):
        exported = map(_exported_membership, rows)
        return export_table(request, exported, columns=MEMBERSHIP_COLUMNS, name="memberships")
    context = {"page": paginate(rows, cursor=request.GET.get("cursor")), "as_of": now()}
    return render(request, "parties/memberships.html", context)


@require_http_methods(["GET", "POST"])
def profile(request: Request) -> HttpResponse:
    """One's own name and language."""
    person = services.find_self(request.principal)
    initial = {"name": person.name, "language": person.language or get_language()}
    form = ProfileForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            changed = services.update_profile(request.principal, **form.cleaned_data)
            return _profile_saved(request, changed.language)
    context = {"form": form, "person": person}
    return render(request, "parties/profile.html", context, status=form.status)


def _profile_saved(request: Request, language: str) -> HttpResponse:
    """Back to the profile, in the language that was chosen."""
    with override(language):
        messages.success(request, _("Your profile was changed."))
    response = redirect("parties:profile")
    languages.remember(response, language)
    return response


@require_POST
def set_language(request: Request) -> HttpResponseBase:
    """Go on in a language; who is signed in finds it again when they sign in next."""
    if request.principal.id is not None:
        services.choose_language(request.principal, request.POST.get("language", ""))
    return i18n.set_language(request)


@never_cache
@require_http_methods(["GET", "POST"])
def tokens(request: Request) -> HttpResponse:
    """One's API tokens, and a new one. Its secret is in the answer to the form and kept nowhere."""
    rows = services.tokens_of(request.principal)
    form, created = TokenForm(request.POST or None), None
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            created = services.create_token(request.principal, **form.cleaned_data)
            form = TokenForm()
    at = now()
    page = paginate(rows, cursor=request.GET.get("cursor"))
    context = {
        "form": form,
        "page": page,
        "rows": [{"token": row, "usable": row.usable(at)} for row in page.items],
        "created": created,
        "as_of": at,
    }
    return render(request, "parties/tokens.html", context, status=form.status)


class EmailView(allauth.EmailView):  # type: ignore[misc]
    """One's addresses. Only a confirmed one becomes the address that people know one by.

    django-allauth lets an unconfirmed address replace another unconfirmed one.
    """

    def _action_primary(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        address = self._get_email_address(request)
        if address and not address.verified:
            template = "account/messages/unverified_primary_email.txt"
            get_adapter().add_message(request, messages.ERROR, template)
            return None
        return super()._action_primary(request, *args, **kwargs)


@require_POST
def revoke_token(request: Request, token_id: UUID) -> HttpResponse:
    """Make one of one's own tokens open nothing."""
    services.revoke_token(request.principal, token_id)
    messages.success(request, _("The token is revoked: it opens nothing now."))
    return redirect("parties:tokens")


@require_http_methods(["GET", "POST"])
def platform_roles(request: Request) -> HttpResponse:
    """Who has a role for the whole platform; give one on POST."""
    form = PlatformRoleForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            services.grant_platform_role(request.principal, **form.cleaned_data)
            messages.success(request, _("The role was given."))
            return redirect("parties:platform_roles")
    rows = services.platform_grants(request.principal)
    if export_asked(request):
        exported = map(_exported, rows)
        return export_table(request, exported, columns=GRANT_COLUMNS, name="platform-roles")
    context = {
        "form": form,
        "page": paginate(rows, cursor=request.GET.get("cursor")),
        "may_grant": is_allowed(request.principal, "platform.grant_role", PLATFORM),
        "as_of": now(),
    }
    return render(request, "parties/platform_roles.html", context, status=form.status)


@require_POST
def revoke_platform_role(request: Request) -> HttpResponse:
    """Take a platform role from a person."""
    services.revoke_platform_role(
        request.principal, email=request.POST.get("email", ""), role=request.POST.get("role", "")
    )
    messages.success(request, _("The role was taken away."))
    return redirect("parties:platform_roles")


def _exported_membership(row: Membership) -> dict[str, Any]:
    return {
        "organisation": row.organisation.slug,
        "name": row.organisation.name,
        "role": row.role,
        "since": row.created_at,
    }


def _exported(row: PlatformGrant) -> dict[str, Any]:
    return {
        "email": row.person.email,
        "name": row.person.name,
        "role": row.role,
        "since": row.created_at,
    }
