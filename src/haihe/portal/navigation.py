"""The portal's menus: one table of groups and items, in the order of the chain they serve.

An item whose page is not installed is left out, so the table may name a page before it is there,
and a distribution without some floor shows no dead links.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from haihe.kernel.settings import load_settings
from haihe.kernel.texts import spoken
from haihe.packs.portals import pack_portals
from haihe.policy.domain import ANONYMOUS, Principal, Resource
from haihe.policy.services import is_allowed

PLATFORM = Resource("Platform", "platform")


@dataclass(frozen=True)
class Item:
    """One entry of a menu: the name of its URL, its label (lazily translated) and its icon.

    One with an action is shown to those who may do it on the platform as a whole.
    """

    url_name: str
    label: str | Promise
    icon: str
    action: str = ""


@dataclass(frozen=True)
class Group:
    """Entries under one heading; the first group has none."""

    label: str | Promise
    items: Sequence[Item]


@dataclass(frozen=True)
class Link:
    """An item as a page shows it."""

    label: str | Promise
    icon: str
    address: str
    is_current: bool


@dataclass(frozen=True)
class Section:
    """A group with the items that lead somewhere."""

    label: str | Promise
    links: Sequence[Link]


NAVIGATION: list[Group] = [
    Group("", [Item("portal:home", _("Overview"), "layout-dashboard")]),
    Group(
        _("Programme"),
        [
            Item("programme:plans", _("Plans"), "target-arrow"),
            Item("programme:indicators", _("Indicators"), "chart-line"),
            Item("programme:schemes", _("Voucher schemes"), "clipboard-list"),
            Item("programme:vouchers", _("Vouchers"), "ticket"),
            Item("programme:scenarios", _("Scenarios"), "bulb"),
        ],
    ),
    Group(
        _("Compute"),
        [
            Item("compute:network", _("Network"), "activity"),
            Item("compute:centres", _("Centres"), "server-2"),
            Item("compute:jobs", _("Jobs"), "player-play"),
            Item("compute:contracts", _("Compute contracts"), "contract"),
        ],
    ),
    Group(
        pgettext_lazy("menu", "Data"),
        [
            Item("data:datasets", _("Datasets"), "database"),
            Item("data:agreements", _("Agreements"), "writing-sign"),
        ],
    ),
    Group(
        _("Models and packs"),
        [
            Item("packs:packs", _("Packs"), "packages"),
            Item("packs:evaluations", _("Evaluations"), "gauge"),
        ],
    ),
    Group(
        _("Books and evidence"),
        [
            Item("ledger:accounts", _("Accounts"), "receipt"),
            Item("evidence:log", _("Evidence"), "fingerprint"),
        ],
    ),
    Group(
        _("Platform"),
        [
            Item("parties:organisations", _("Organisations"), "building-community"),
            Item("parties:platform_roles", _("Platform roles"), "users-group", "system.read"),
            Item("portal:system", _("System"), "settings", "system.read"),
            Item("portal:styleguide", _("Style guide"), "book"),
        ],
    ),
]

# The packs' entries follow those of packs themselves.
BEFORE_PACKS = 5

ACCOUNT_MENU: list[Item] = [
    Item("account_email", _("E-mail addresses"), "mail"),
    Item("account_change_password", _("Change password"), "lock"),
    Item("mfa_index", _("Two-step sign-in"), "shield-lock"),
]
OTHER_SERVICES = Item("socialaccount_connections", _("Other services"), "building")
PERSON_MENU: list[Item] = [
    Item("parties:profile", _("Profile"), "user-circle"),
    Item("parties:memberships", _("My organisations"), "building-community"),
    Item("parties:tokens", _("API tokens"), "key"),
]


def sections(path: str, principal: Principal = ANONYMOUS) -> list[Section]:
    """The main menu for a page at ``path``, without empty groups."""
    found = [
        Section(
            group.label, links([item for item in group.items if _is_for(principal, item)], path)
        )
        for group in [*NAVIGATION[:BEFORE_PACKS], _of_packs(principal), *NAVIGATION[BEFORE_PACKS:]]
    ]
    return [section for section in found if section.links]


def _of_packs(principal: Principal) -> Group:
    """The entries that packs bring for this visitor, in the visitor's language."""
    items = [
        Item(entry.url, spoken(entry.title), entry.icon)
        for brought in pack_portals()
        for entry in brought.menu_for(principal)
    ]
    return Group(_("AI+ scenarios"), items)


def account_links(path: str) -> list[Link]:
    """How a person looks after their sign-in; other services only where some are set up."""
    items = [*ACCOUNT_MENU, OTHER_SERVICES] if load_settings().oidc else ACCOUNT_MENU
    return links(items, path)


def person_links(path: str) -> list[Link]:
    """The menu under a person's name."""
    return links(PERSON_MENU, path) + account_links(path)


def links(items: Sequence[Item], path: str) -> list[Link]:
    """The items that lead somewhere; those that lead to ``path`` or above it are current."""
    shown = []
    for item in items:
        try:
            address = reverse(item.url_name)
        except NoReverseMatch:
            continue
        shown.append(Link(item.label, item.icon, address, _leads_to(address, path)))
    return shown


def _is_for(principal: Principal, item: Item) -> bool:
    return not item.action or is_allowed(principal, item.action, PLATFORM)


def _leads_to(address: str, path: str) -> bool:
    return path == address or (address != "/" and path.startswith(address.rstrip("/") + "/"))
