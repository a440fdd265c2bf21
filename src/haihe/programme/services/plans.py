"""Plans as versioned data, and indicators computed from evidence."""

from __future__ import annotations

import hashlib
import heapq
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from haihe.evidence.labels import KINDS
from haihe.evidence.models import EvidenceCheckpoint
from haihe.evidence.services import entries_of, record
from haihe.kernel.clock import check_past, now
from haihe.kernel.errors import MissingRecord
from haihe.kernel.work import unit_of_work
from haihe.policy.domain import Principal, Resource
from haihe.policy.services import authorize
from haihe.programme.domain.changes import PlanChange, plan_difference
from haihe.programme.domain.indicators import Fact, Observation, Point, history, observe
from haihe.programme.domain.plans import (
    IndicatorRule,
    PlanDocument,
    Target,
    check_keys,
    check_kinds,
    plan_from,
)
from haihe.programme.errors import BadPlan, PlanExists
from haihe.programme.models import Plan

FILE_LIMIT_BYTES = 5_000_000


# --- plans ---------------------------------------------------------------------------------------


def import_plan(principal: Principal, source: Path | bytes) -> tuple[Plan, list[PlanChange]]:
    """Bring in a plan, or a higher version of one; returns what it changes.

    ``source`` is a TOML file or its content. A version that is in already with the same content is
    returned as it is.

    Raises
    ------
    BadPlan
        If it is no plan; the error names the place.
    PlanExists
        If this version is in with another content, or a higher version is.
    """
    authorize(principal, "plan.import", Resource("Plan"))
    data, digest, document = _brought_in(source)
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


def preview_plan(
    principal: Principal, source: Path | bytes
) -> tuple[PlanDocument, list[PlanChange]]:
    """What importing a plan would bring, and change in the current version; nothing is done."""
    authorize(principal, "plan.read", Resource("Plan"))
    _data, _digest, document = _brought_in(source)
    current = Plan.objects.current().filter(slug=document.slug).first()
    return document, plan_difference(current.document, document) if current else []


def list_plans(principal: Principal) -> QuerySet[Plan]:
    """The current version of each plan, for everybody."""
    authorize(principal, "plan.read", Resource("Plan"))
    return Plan.objects.current()


def find_plan(principal: Principal, slug: str, version: int | None = None) -> Plan:
    """A plan by slug; the current version if none is named."""
    authorize(principal, "plan.read", Resource("Plan", slug))
    plans = Plan.objects.filter(slug=slug)
    plan = plans.filter(version=version) if version else plans.filter(superseded_at=None)
    found = plan.first()
    if found is None:
        raise MissingRecord(kind="plan", id=f"{slug} v{version}" if version else slug)
    return found


def find_plan_by_id(principal: Principal, plan_id: UUID) -> Plan:
    """One version of a plan by the id that evidence names it by."""
    authorize(principal, "plan.read", Resource("Plan"))
    found = Plan.objects.filter(pk=plan_id).first()
    if found is None:
        raise MissingRecord(kind="plan", id=str(plan_id))
    return found


def versions_of(principal: Principal, slug: str) -> QuerySet[Plan]:
    """All versions of a plan, the newest first."""
    authorize(principal, "plan.read", Resource("Plan", slug))
    return Plan.objects.filter(slug=slug).order_by("-version")


def compare_versions(principal: Principal, slug: str, *, old: int, new: int) -> list[PlanChange]:
    """What one imported version of a plan changed in another."""
    before, after = find_plan(principal, slug, old), find_plan(principal, slug, new)
    return plan_difference(before.document, after.document)


def find_target(principal: Principal, slug: str, code: str) -> Target:
    """A target of the current version of a plan."""
    return _target(find_plan(principal, slug).document, code)


# --- indicators ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Indicator:
    """A target with its measured value; ``observation`` is None if the plan gives no rule by which
    it could be computed: then there is no number."""

    plan: Plan
    document: PlanDocument
    target: Target
    observation: Observation | None

    @property
    def is_reached(self) -> bool:
        """Whether the measured value is what the plan asks for."""
        return self.observation is not None and self.target.is_reached(self.observation.value)


def list_indicators(principal: Principal, *, as_of: datetime | None = None) -> list[Indicator]:
    """Every target of every current plan with its value at ``as_of``, for everybody."""
    authorize(principal, "indicator.read", Resource("Indicator"))
    at = past(as_of)
    return [
        indicator
        for plan in list_plans(principal)
        for indicator in plan_indicators(principal, plan, as_of=at)
    ]


def plan_indicators(
    principal: Principal, plan: Plan, *, as_of: datetime | None = None
) -> list[Indicator]:
    """Every target of a version of a plan with its value at ``as_of``."""
    authorize(principal, "indicator.read", Resource("Indicator", plan.slug))
    at, document = past(as_of), plan.document
    return [
        Indicator(plan, document, target, _observe(plan.slug, target, at))
        for target in document.targets
    ]


def find_indicator(
    principal: Principal, slug: str, code: str, *, as_of: datetime | None = None
) -> Indicator:
    """A target of the current version of a plan with its value at ``as_of``."""
    authorize(principal, "indicator.read", Resource("Indicator", f"{slug}/{code}"))
    at, plan = past(as_of), find_plan(principal, slug)
    document = plan.document
    target = _target(document, code)
    return Indicator(plan, document, target, _observe(slug, target, at))


def observe_indicator(
    principal: Principal, slug: str, code: str, *, as_of: datetime | None = None
) -> Observation | None:
    """The value of a target's indicator at ``as_of``, with the facts that make it up.

    None if the plan gives no rule by which it could be computed: then there is no number.
    """
    return find_indicator(principal, slug, code, as_of=as_of).observation


def indicator_history(
    principal: Principal, slug: str, code: str, *, as_of: datetime | None = None
) -> list[Point]:
    """Every value that a target's indicator had up to ``as_of``; empty without a rule."""
    authorize(principal, "indicator.read", Resource("Indicator", f"{slug}/{code}"))
    target = find_target(principal, slug, code)
    if target.indicator is None:
        return []
    return history(target.indicator, _facts(slug, code, target.indicator, past(as_of)))


# --- files ---------------------------------------------------------------------------------------


def file_in(folder: str, name: str) -> Path:
    """A data file that comes with Haihe: from the installed package, or from the checkout."""
    packaged = Path(str(files("haihe.programme") / folder / name))
    return packaged if packaged.exists() else Path(__file__).parents[4] / folder / name


def read_toml(source: Path | bytes) -> tuple[dict[str, Any], str]:
    """What a TOML file, or the content of one, says, with dates as text; and its hash."""
    place = str(source) if isinstance(source, Path) else "the file"
    try:
        raw = source.read_bytes() if isinstance(source, Path) else source
        if len(raw) > FILE_LIMIT_BYTES:
            raise BadPlan(place=place, rule=f"has more than {FILE_LIMIT_BYTES} bytes")
        data = tomllib.loads(raw.decode("utf-8"))
    except OSError as error:
        raise BadPlan(place=place, rule=f"cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadPlan(place=place, rule=f"is no TOML: {error}") from None
    return _as_json(data), hashlib.sha256(raw).hexdigest()


def _brought_in(source: Path | bytes) -> tuple[dict[str, Any], str, PlanDocument]:
    """A plan file: all that it says is read, and every indicator counts what is recorded."""
    data, digest = read_toml(source)
    document = plan_from(data)
    check_keys(data)
    check_kinds(document, KINDS)
    return data, digest, document


# --- helpers -------------------------------------------------------------------------------------


def past(as_of: datetime | None) -> datetime:
    """The instant that figures are of: nobody knows those of a later one."""
    return check_past(as_of, field="as_of", latest=EvidenceCheckpoint.objects.instant(now()))


def _target(document: PlanDocument, code: str) -> Target:
    target = document.target(code)
    if target is None:
        raise MissingRecord(kind="target", id=f"{document.slug}/{code}")
    return target


def _observe(slug: str, target: Target, at: datetime) -> Observation | None:
    if target.indicator is None:
        return None
    return observe(target.indicator, _facts(slug, target.code, target.indicator, at), as_of=at)


def _facts(slug: str, code: str, rule: IndicatorRule, at: datetime) -> list[Fact]:
    """The facts that a rule counts for one target, in the order of the log."""
    kinds = [kind for kind in (rule.counts, rule.less) if kind]
    entries = heapq.merge(
        *(entries_of(kind=kind, as_of=at) for kind in kinds), key=lambda entry: entry.index
    )
    return [
        Fact(str(entry.id), entry.at, entry.kind, entry.subject)
        for entry in entries
        if entry.data.get("plan") == slug and entry.data.get("target") == code
    ]


def _as_json(data: Mapping[str, Any]) -> dict[str, Any]:
    """What TOML can say and a database column cannot hold is refused here."""
    try:
        text = json.dumps(data, default=_plain, allow_nan=False)
    except ValueError:
        raise BadPlan(place="a number", rule="is not finite") from None
    if "\\u0000" in text:
        raise BadPlan(place="a text", rule="holds the character NUL")
    content: dict[str, Any] = json.loads(text)
    return content


def _plain(value: object) -> object:
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    raise BadPlan(place=type(value).__name__, rule="has no place in a plan")
