"""What a new version of a plan changes in the one before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

from haihe.programme.domain.plans import IndicatorRule, PlanDocument

HEAD = ("title", "status", "begins", "ends", "source", "notes")


@dataclass(frozen=True)
class PlanChange:
    """One difference between two versions. ``field``, ``before`` and ``after`` of a changed part.

    Values are numbers, texts in both languages, or lists of them.
    """

    part: str
    key: str
    kind: str
    field: str = ""
    before: Any = None
    after: Any = None


def plan_difference(old: PlanDocument, new: PlanDocument) -> list[PlanChange]:
    """What a new version changes: its head first, then targets, measures and systems.

    Groups and units are what their measures say, and change there.
    """
    return [
        *(
            PlanChange(
                "plan", new.slug, "changed", name, _plain(getattr(old, name)), _plain(now_is)
            )
            for name in HEAD
            if getattr(old, name) != (now_is := getattr(new, name))
        ),
        *_differences("target", {t.code: t for t in old.targets}, {t.code: t for t in new.targets}),
        *_differences("measure", {m.id: m for m in old.measures}, {m.id: m for m in new.measures}),
        *_differences("system", {s.id: s for s in old.systems}, {s.id: s for s in new.systems}),
    ]


def _differences(
    part: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[PlanChange]:
    yield from (PlanChange(part, key, "removed") for key in before if key not in after)
    yield from (PlanChange(part, key, "added") for key in after if key not in before)
    for key in before:
        for field in fields(before[key]) if key in after else ():
            was, now_is = getattr(before[key], field.name), getattr(after[key], field.name)
            if was != now_is:
                yield PlanChange(part, key, "changed", field.name, _plain(was), _plain(now_is))


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, IndicatorRule | date) else value
