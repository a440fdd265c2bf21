"""Menus."""

from __future__ import annotations

import pytest
from django.urls import path
from pytest_django import Settings
from tools.build_static import ICONS

from haihe.kernel.ids import new_id
from haihe.policy.domain import ANONYMOUS, PlatformRole, Principal
from haihe.portal import navigation
from haihe.portal.navigation import Group, Item

urlpatterns = [
    path("", lambda request: None, name="home"),
    path("jobs/", lambda request: None, name="jobs"),
    path("jobs-archive/", lambda request: None, name="archive"),
]


@pytest.fixture
def menu(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ROOT_URLCONF = __name__
    monkeypatch.setattr(
        navigation,
        "NAVIGATION",
        [
            Group("", [Item("home", "Home", "home")]),
            Group("Work", [Item("jobs", "Jobs", "cpu"), Item("archive", "Archive", "archive")]),
            Group("Later", [Item("nothing-yet", "Nothing", "x")]),
        ],
    )


@pytest.mark.usefixtures("menu")
def test_what_leads_nowhere_is_left_out_with_its_empty_group() -> None:
    assert [section.label for section in navigation.sections("/")] == ["", "Work"]


@pytest.mark.usefixtures("menu")
@pytest.mark.parametrize(
    ("address", "current"),
    [
        ("/", ["Home"]),
        ("/jobs/", ["Jobs"]),
        ("/jobs/7/log", ["Jobs"]),
        ("/jobs-archive/", ["Archive"]),
    ],
)
def test_the_menu_marks_where_one_is(address: str, current: list[str]) -> None:
    found = [
        link.label
        for section in navigation.sections(address)
        for link in section.links
        if link.is_current
    ]
    assert found == current


def test_what_only_some_may_read_is_shown_to_them() -> None:
    def reads_roles(*roles: PlatformRole) -> bool:
        someone = Principal(id=new_id(), platform_roles=frozenset(roles)) if roles else ANONYMOUS
        shown = navigation.sections("/", someone)[-1].links
        return "/platform/roles" in [link.address for link in shown]

    assert reads_roles(PlatformRole.OPERATOR)
    assert reads_roles(PlatformRole.AUDITOR)
    assert not reads_roles(PlatformRole.OFFICER)
    assert not reads_roles()


def test_every_item_has_an_icon_that_is_built() -> None:
    items = [item for group in navigation.NAVIGATION for item in group.items]
    for item in [*items, *navigation.PERSON_MENU, *navigation.ACCOUNT_MENU]:
        assert item.icon in ICONS
