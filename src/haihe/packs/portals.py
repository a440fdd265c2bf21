"""Pages and tables of packs in the portal: which applications, addresses, policies and menus.

The settings ask for the applications, the address table for the addresses, and ``policy`` for the
policies; all of it is read from manifests and files, before any code of a pack is imported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cedarpy

from haihe.kernel.settings import load_settings
from haihe.packs.discovery import PackSource, installed_packs
from haihe.packs.domain import MenuItem, Portal, Text
from haihe.packs.errors import ManifestInvalid
from haihe.policy.domain import ACTIONS, DUTIES, PACKS_SCOPE, Duty, Principal
from haihe.policy.services import BROUGHT_POLICIES


@dataclass(frozen=True)
class PackPortal:
    """What one installed pack brings."""

    source: PackSource
    portal: Portal

    @property
    def prefix(self) -> str:
        """What its addresses begin with."""
        return f"{self.source.name.replace('_', '-')}/"

    @property
    def urls(self) -> str:
        """The module of its addresses."""
        return f"{self.portal.app}.urls"

    def menu_for(self, principal: Principal) -> list[MenuItem]:
        """Its entries of the portal's menu that are for this visitor."""
        held = {duty for _organisation, duty in principal.duties}
        return [
            item
            for item in self.portal.menu
            if not item.duties or held & {f"{self.source.name}.{duty}" for duty in item.duties}
        ]

    def policy_text(self) -> str:
        """Its policies, which may speak of its own actions only.

        Raises
        ------
        ManifestInvalid
            If one would permit or forbid an action of the platform, or of another pack.
        """
        path = self.source.folder / self.portal.policies
        try:
            text = path.read_text("utf-8")
            parsed = json.loads(cedarpy.policies_to_json_str(text))
        except (OSError, ValueError) as error:
            raise ManifestInvalid(source=str(path), problems=str(error)) from error
        own = {f"{self.source.name}.{one.name}" for one in self.portal.actions}
        for name, policy in parsed["staticPolicies"].items():
            about = _actions_of(policy["action"])
            if not about or not set(about) <= own:
                called = policy.get("annotations", {}).get("id", name)
                problems = f"policy {called} is about other actions than those of the manifest"
                raise ManifestInvalid(source=str(path), problems=problems)
        return text


def installation_home() -> Path:
    """The platform's home, whose ``keys`` folder holds secrets."""
    return load_settings().home.resolve()


def pack_home(name: str) -> Path:
    """The folder below the platform's home in which a pack keeps files of its own."""
    folder = installation_home() / "packs" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@cache
def pack_portals() -> tuple[PackPortal, ...]:
    """Those of all installed packs, by name."""
    found = ((source, source.manifest().portal) for source in installed_packs())
    return tuple(PackPortal(source, portal) for source, portal in found if portal is not None)


def pack_applications() -> list[str]:
    """Their Django applications."""
    return [brought.portal.app for brought in pack_portals()]


def make_known() -> None:
    """Register the actions, duties and policies that they bring, under the pack's own name."""
    for brought in pack_portals():
        name = brought.source.name
        ACTIONS.add(
            PACKS_SCOPE, [(f"{name}.{one.name}", one.text) for one in brought.portal.actions]
        )
        for duty in brought.portal.duties:
            DUTIES.add(Duty(f"{name}.{duty.name}", duty.title.zh, duty.title.en))
        BROUGHT_POLICIES.append(brought.policy_text())


def brought_kinds() -> dict[str, Text]:
    """What the facts are called that they put into the evidence log."""
    return {
        f"{brought.source.name}.{kind}": text
        for brought in pack_portals()
        for kind, text in brought.portal.kinds.items()
    }


def _actions_of(scope: Mapping[str, Any]) -> list[str]:
    """The actions that a policy names; none, if it is about all."""
    entities = scope.get("entities") or [scope["entity"]] if scope["op"] != "All" else []
    return [entity["id"] for entity in entities]
