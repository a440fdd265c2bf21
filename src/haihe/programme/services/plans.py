"""Plans as versioned data, and indicators computed from evidence."""

from __future__ import annotations

import hashlib
import heapq
import json
import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from django.db.models import QuerySet

from haihe.evidence.services import entries_of, record
from haihe.kernel.clock import now
from haihe.kernel.errors import MissingRecord
from haihe.kernel.work import unit_of_work
from haihe.policy.domain import Principal, Resource
from haihe.policy.services import authorize
from haihe.programme.domain import Fact, Observation, Target, observe, plan_difference, plan_from
from haihe.programme.errors import BadPlan, PlanExists
from haihe.programme.models import Plan

FILE_LIMIT_BYTES = 5_000_000


def import_plan(principal: Principal, path: Path) -> tuple[Plan, list[str]]:
    """Bring in a plan, or a higher version of one, from a TOML file; returns what it changes.

    A version that is in already with the same content is returned as it is.

    Raises
    ------
    BadPlan
        If the file is no plan; the error names the place.
    PlanExists
        If this version is in with another content, or a higher version is.
    """
    authorize(principal, "plan.import", Resource("Plan", str(path)))
    data, digest = read_toml(path)
    document = plan_from(data)
    with unit_of_work():
        old = (
            Plan.objects.select_for_update().filter(slug=document.slug, superseded_at=None).first()
        )
        if old is not None and old.version == document.version and old.sha256 == digest:
            return old, []
        if old is not None and document.version <= old.version:
            raise PlanExists(slug=document.slug, version=old.version)
        if old is not None:
            old.superseded_at = now()
            old.save(update_fields=["superseded_at"])
        plan = Plan.objects.create(
            slug=document.slug, version=document.version, sha256=digest, data=data
        )
        record(
            "plan.imported",
            subject=f"plan:{plan.pk}",
            actor=principal,
            data={"slug": plan.slug, "version": plan.version, "sha256": digest},
        )
    return plan, plan_difference(old.document, document) if old else []


def list_plans(principal: Principal) -> QuerySet[Plan]:
    """The current version of each plan, for everybody."""
    authorize(principal, "plan.read", Resource("Plan"))
    return Plan.objects.current()


def find_plan(principal: Principal, slug: str, version: int | None = None) -> Plan:
    """A plan by slug; the current version if none is named."""
    authorize(principal, "plan.read", Resource("Plan", slug))
    plans = Plan.objects.filter(slug=slug)
    plan = (
        plans.filter(version=version).first()
        if version
        else plans.filter(superseded_at=None).first()
    )
    if plan is None:
        raise MissingRecord(kind="plan", id=slug)
    return plan


def find_target(principal: Principal, slug: str, code: str) -> Target:
    """A target of the current version of a plan."""
    target = find_plan(principal, slug).document.target(code)
    if target is None:
        raise MissingRecord(kind="target", id=f"{slug}/{code}")
    return target


def observe_indicator(
    principal: Principal, slug: str, code: str, *, as_of: datetime | None = None
) -> Observation | None:
    """The value of a target's indicator at ``as_of``, with the facts that make it up.

    None if the plan gives no rule by which it could be computed: then there is no number.
    """
    authorize(principal, "indicator.read", Resource("Indicator", f"{slug}/{code}"))
    target = find_target(principal, slug, code)
    if target.indicator is None:
        return None
    rule, at = target.indicator, as_of or now()
    kinds = [kind for kind in (rule.counts, rule.less) if kind]
    entries = heapq.merge(
        *(entries_of(kind=kind, as_of=at) for kind in kinds), key=lambda entry: entry.index
    )
    facts = [
        Fact(str(entry.id), entry.at, entry.kind, entry.subject)
        for entry in entries
        if entry.data.get("plan") == slug and entry.data.get("target") == code
    ]
    return observe(rule, facts, as_of=at)


def file_in(folder: str, name: str) -> Path:
    """A data file that comes with Haihe: from the installed package, or from the checkout."""
    packaged = Path(str(files("haihe.programme") / folder / name))
    return packaged if packaged.exists() else Path(__file__).parents[4] / folder / name


def read_toml(path: Path) -> tuple[dict[str, Any], str]:
    """The content of a TOML file with dates as text, and its hash."""
    try:
        raw = path.read_bytes()
        if len(raw) > FILE_LIMIT_BYTES:
            raise BadPlan(place=str(path), rule=f"has more than {FILE_LIMIT_BYTES} bytes")
        data = tomllib.loads(raw.decode("utf-8"))
    except OSError as error:
        raise BadPlan(place=str(path), rule=f"cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadPlan(place=str(path), rule=f"is no TOML: {error}") from None
    return json.loads(json.dumps(data, default=_plain)), hashlib.sha256(raw).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    raise BadPlan(place=type(value).__name__, rule="has no place in a plan")
