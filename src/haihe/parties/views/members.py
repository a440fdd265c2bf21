"""Pages of an organisation's members, and of the invitations by which they come."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from haihe.kernel.clock import now
from haihe.kernel.export import export_asked, export_table
from haihe.kernel.forms import shown_on
from haihe.kernel.pagination import paginate
from haihe.parties import services
from haihe.parties.adapters import INVITED
from haihe.parties.forms import InvitationForm, RoleForm
from haihe.parties.models import Membership
from haihe.parties.views.organisations import may, tabs
from haihe.policy.http import Request

MEMBER_COLUMNS = ("name", "email", "role", "since", "person_id")


@require_GET
def listing(request: Request, slug: str) -> HttpResponse:
    """Who belongs to an organisation."""
    organisation = services.find_organisation(request.principal, slug)
    rows = services.members_of(request.principal, slug)
    if export_asked(request):
        exported = map(_exported, rows)
        return export_table(request, exported, columns=MEMBER_COLUMNS, name=f"members-{slug}")
    context = {
        "organisation": organisation,
        "tabs": tabs(request, organisation),
        "page": paginate(rows, cursor=request.GET.get("cursor")),
        "may_invite": may(request, "organisation.invite", organisation),
        "may_manage": may(request, "organisation.manage_members", organisation),
        "as_of": now(),
    }
    return render(request, "parties/members.html", context)


@require_http_methods(["GET", "POST"])
def change(request: Request, slug: str, person_id: UUID) -> HttpResponse:
    """A member, and the form of their role."""
    membership = services.find_member(request.principal, slug, person_id)
    initial = {"role": membership.role, "duties": membership.duties}
    form = RoleForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            services.change_member(request.principal, slug, person_id, **form.cleaned_data)
            text = _("The role of %(name)s was changed.")
            messages.success(request, text % {"name": membership.person})
            return redirect("parties:members", slug)
    return _member_page(request, membership, form)


@require_POST
def remove(request: Request, slug: str, person_id: UUID) -> HttpResponse:
    """Take a member out of an organisation."""
    membership = services.find_member(request.principal, slug, person_id)
    form = RoleForm({"role": membership.role})
    with shown_on(form):
        services.remove_member(request.principal, slug, person_id)
        text = _("%(name)s is no longer a member.")
        messages.success(request, text % {"name": membership.person})
        return redirect("parties:members", slug)
    return _member_page(request, membership, form)


def _member_page(request: Request, membership: Membership, form: RoleForm) -> HttpResponse:
    organisation = membership.organisation
    context = {
        "form": form,
        "membership": membership,
        "organisation": organisation,
        "may_manage": may(request, "organisation.manage_members", organisation),
    }
    return render(request, "parties/member.html", context, status=form.status)


@never_cache
@require_http_methods(["GET", "POST"])
def invitations(request: Request, slug: str) -> HttpResponse:
    """Open invitations, and a new one. Its link is in the answer to the form and kept nowhere."""
    organisation = services.find_organisation(request.principal, slug)
    form, link = InvitationForm(request.POST or None), ""
    if request.method == "POST" and form.is_valid():
        with shown_on(form):
            _made, secret = services.invite(request.principal, slug, **form.cleaned_data)
            form, link = InvitationForm(), services.invitation_link(secret)
    rows = services.open_invitations(request.principal, slug)
    context = {
        "form": form,
        "link": link,
        "organisation": organisation,
        "tabs": tabs(request, organisation),
        "page": paginate(rows, cursor=request.GET.get("cursor")),
        "as_of": now(),
    }
    return render(request, "parties/invitations.html", context, status=form.status)


@require_POST
def revoke_invitation(request: Request, slug: str, invitation_id: UUID) -> HttpResponse:
    """Make an invitation's link lead nowhere."""
    services.revoke_invitation(request.principal, slug, invitation_id)
    messages.success(request, _("The invitation is withdrawn: its link leads nowhere now."))
    return redirect("parties:invitations", slug)


@never_cache
@require_http_methods(["GET", "POST"])
def invitation(request: Request, secret: str) -> HttpResponse:
    """What an invitation's link offers; become a member on POST."""
    offered = services.look_at_invitation(secret)
    if request.method == "POST":
        membership = services.accept_invitation(request.principal, secret)
        request.session.pop(INVITED, None)
        organisation = membership.organisation
        messages.success(request, _("You belong to %(name)s now.") % {"name": organisation.name})
        return redirect("parties:organisation", organisation.slug)
    if request.principal.id is None:
        request.session[INVITED] = str(offered.pk)
    context = {"invitation": offered, "organisation": offered.organisation}
    return render(request, "parties/invitation.html", context)


def _exported(row: Membership) -> dict[str, Any]:
    return {
        "name": row.person.name,
        "email": row.person.email,
        "role": row.role,
        "since": row.created_at,
        "person_id": row.person_id,
    }
