"""What the words of manifests and decisions are called on pages.

The words of manifests, the API and the command line are the stable ones of ``domain``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from haihe.compute.quantities import quantity
from haihe.packs.domain import ColumnType, Manifest, Metric, TaskKind

Label = str | Promise
TASKS: Mapping[TaskKind, Label] = {TaskKind.BINARY_CLASSIFICATION: _("Binary classification")}
METRICS: Mapping[Metric, Label] = {Metric.ROC_AUC: _("Area under the ROC curve")}
COLUMN_TYPES: Mapping[ColumnType, Label] = {
    ColumnType.NUMBER: _("Number"),
    ColumnType.INTEGER: _("Whole number"),
    ColumnType.TEXT: _("Text"),
    ColumnType.BOOLEAN: _("Yes or no"),
    ColumnType.SERIES: _("Series of numbers"),
}
DECISIONS: Mapping[str, Label] = {
    "positive": _("Called positive"),
    "negative": _("Called negative"),
    "abstained": _("Abstained"),
}


def manifest_facts(manifest: Manifest) -> dict[str, Any]:
    """What a manifest says in codes and small units, in words and units of people."""
    return {
        "task": TASKS[manifest.task],
        "metric": METRICS[manifest.primary_metric],
        "cpus": quantity(manifest.resources.cpu_milli),
        "minutes": quantity(manifest.resources.wall_s * 1_000 // 60),
        "inputs": [
            {
                "table": table,
                "columns": [
                    {"column": column, "type": COLUMN_TYPES[column.type]}
                    for column in table.columns
                ],
            }
            for table in manifest.inputs
        ],
    }
