"""Checks of the pages and tables that a pack brings; a pack without any passes them."""

from __future__ import annotations

import re

from haihe.kernel.errors import HaiheError, gettext_noop
from haihe.packs.checks.framework import CheckFailed, CheckSkipped, Subject, check, require
from haihe.packs.portals import PackPortal

NONE = "it brings no pages"


@check("portal.own_actions", gettext_noop("Policies are about the pack's own actions, all of them"))
def _portal_own_actions(subject: Subject) -> str:
    brought = _portal(subject)
    if brought is None:
        return NONE
    try:
        text = brought.policy_text()
    except HaiheError as error:
        raise CheckFailed(str(error)) from error
    named = set(re.findall(r'Action::"([^"]+)"', text))
    silent = [
        action.name
        for action in brought.portal.actions
        if f"{subject.manifest.name}.{action.name}" not in named
    ]
    require(not silent, f"no policy speaks of {', '.join(silent)}")
    return f"{len(named)} actions"


@check("portal.tables_migrated", gettext_noop("Tables have its name and migrations"))
def _portal_tables_migrated(subject: Subject) -> str:
    brought = _portal(subject)
    if brought is None:
        return NONE
    from django.apps import apps
    from django.db.migrations.autodetector import MigrationAutodetector
    from django.db.migrations.loader import MigrationLoader
    from django.db.migrations.questioner import NonInteractiveMigrationQuestioner
    from django.db.migrations.state import ProjectState

    if not apps.ready or not apps.is_installed(brought.portal.app):
        raise CheckSkipped("the pack is not installed in this platform")
    name = subject.manifest.name
    config = next(config for config in apps.get_app_configs() if config.name == brought.portal.app)
    require(config.label == name, f"its application is labelled {config.label}, not {name}")
    loader = MigrationLoader(None)
    changes = MigrationAutodetector(
        loader.project_state(),
        ProjectState.from_apps(apps),
        NonInteractiveMigrationQuestioner(specified_apps={name}, dry_run=True),
    ).changes(graph=loader.graph, trim_to_apps={name}, convert_apps={name})
    require(name not in changes, "a table has changed without a migration: run makemigrations")
    foreign = [
        f"{model.__name__}.{field.name}"
        for model in config.get_models()
        for field in model._meta.get_fields()
        if field.is_relation
        and field.concrete
        and field.related_model is not None
        and field.related_model._meta.app_label not in (name, "parties")
    ]
    require(not foreign, f"these refer to tables of other domains: {', '.join(foreign)}")
    return f"{len(list(config.get_models()))} tables"


def _portal(subject: Subject) -> PackPortal | None:
    portal = subject.manifest.portal
    return PackPortal(subject.source, portal) if portal is not None else None
