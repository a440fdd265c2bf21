"""The caller's own organisations: for which they may act, and whose records they may list."""

from __future__ import annotations

from uuid import UUID

from haihe.parties.models import Organisation
from haihe.parties.services import organisations_of
from haihe.policy.domain import Principal, Resource, Role
from haihe.policy.services import authorize


def organisations_for(
    principal: Principal, action: str, kind: str, *roles: Role
) -> list[Organisation]:
    """The organisations for which the caller, by one of ``roles``, may do ``action``.

    At least one: whoever has none is told what is missing, before filling in a form.
    """
    own = organisations_of(principal, *roles)
    authorize(principal, action, own[0].resource(kind) if own else Resource(kind))
    return own


def listed_organisations(principal: Principal, action: str, kind: str) -> frozenset[UUID]:
    """The organisations whose records the caller may list; none for whoever belongs nowhere."""
    own = principal.organisations()
    if own or principal.id is None:
        authorize(principal, action, Resource(kind, organisation=min(own, default=None)))
    return own
