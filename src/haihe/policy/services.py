"""``authorize``: the one door that every service passes first.

The policies are Cedar text in ``policies/*.cedar``, parsed once per process. Each decision gives
Cedar two entities only, the principal and the resource of the request: passing the whole world
costs a thousand times more and lets a policy depend on what the request does not name.
"""

from __future__ import annotations

import json
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import cedarpy

from haihe.policy.domain import ACTIONS, DUTIES, MANAGING, WORKING, Principal, Resource, Role
from haihe.policy.errors import NotAllowed, NotSignedIn, PolicyBroken, ScopeMissing

# Policies over the actions that packs bring; they permit nothing else (see haihe.packs.portals).
BROUGHT_POLICIES: list[str] = []


def authorize(principal: Principal, action: str, resource: Resource) -> None:
    """Return if the policies permit ``action``; deny by default.

    Raises
    ------
    ScopeMissing
        If the caller holds a token without the action's scope.
    NotSignedIn
        If nobody is signed in and the policies do not permit the action to everybody.
    NotAllowed
        If the policies do not permit the action to this caller.
    """
    if is_allowed(principal, action, resource):
        return
    known = ACTIONS.actions[action]
    if principal.scopes is not None and known.scope not in principal.scopes:
        raise ScopeMissing(action=action, scope=known.scope)
    if principal.id is None and not principal.system:
        raise NotSignedIn(text=known.text)
    raise NotAllowed(action=action, text=known.text, kind=resource.kind, id=resource.id)


def is_allowed(principal: Principal, action: str, resource: Resource) -> bool:
    """Whether the policies permit ``action``, for pages that show or hide a button."""
    request, entities = request_of(principal, action, resource)
    result = cedarpy.is_authorized(request, policy_set(), entities)
    if result.diagnostics.errors:
        raise PolicyBroken(action=action, reason="; ".join(result.diagnostics.errors))
    return result.allowed


def request_of(
    principal: Principal, action: str, resource: Resource
) -> tuple[dict[str, Any], cedarpy.Entities]:
    """The question as Cedar reads it, and the two entities it is about."""
    request = {
        "principal": _principal_uid(principal),
        "action": f'Action::"{action}"',
        "resource": 'Resource::"it"',
        "context": {"scope": ACTIONS.actions[action].scope},
    }
    return request, _principal_entities(principal).with_added_json_str(_entity(resource))


@cache
def policy_text() -> str:
    """All policies: the platform's in the order of their file names, then those of packs."""
    folder = files("haihe.policy") / "policies"
    texts = sorted((item.name, item.read_text("utf-8")) for item in folder.iterdir())
    own = [text for name, text in texts if name.endswith(".cedar")]
    return "\n".join([*own, *BROUGHT_POLICIES])


@cache
def policy_set() -> Any:
    """The parsed policies."""
    return cedarpy.PolicySet.from_str(policy_text())


def _principal_uid(principal: Principal) -> str:
    if principal.system:
        return 'System::"platform"'
    return 'Person::"caller"' if principal.id else 'Anonymous::"anybody"'


@lru_cache(maxsize=4_096)
def _principal_entities(principal: Principal) -> Any:
    """The principal as Cedar sees it; kept, because one caller asks many times."""
    kind = _principal_uid(principal).partition("::")[0]
    name = _principal_uid(principal).partition('"')[2].rstrip('"')
    attributes = {
        "id": str(principal.id or ""),
        "all_scopes": principal.scopes is None,
        "scopes": sorted(principal.scopes or ()),
        "platform": sorted(principal.platform_roles),
        "owns": _ids(principal.organisations(Role.OWNER)),
        "manages": _ids(principal.organisations(*MANAGING)),
        "works_in": _ids(principal.organisations(*WORKING)),
        "audits": _ids(principal.organisations(Role.AUDITOR)),
        "belongs_to": _ids(principal.organisations()),
        "duties": {name: _ids(principal.entrusted_by(name)) for name in DUTIES.duties},
    }
    entity = {"uid": {"type": kind, "id": name}, "attrs": attributes, "parents": []}
    return cedarpy.Entities.from_json_str(json.dumps([entity]))


def _entity(resource: Resource) -> str:
    attributes = {
        "kind": resource.kind,
        "organisation": str(resource.organisation or ""),
        "parties": _ids(resource.parties),
        "public": resource.public,
        "creator": str(resource.creator or ""),
    }
    entity = {"uid": {"type": "Resource", "id": "it"}, "attrs": attributes, "parents": []}
    return json.dumps([entity])


def _ids(organisations: frozenset[Any]) -> list[str]:
    return sorted(str(organisation) for organisation in organisations)
