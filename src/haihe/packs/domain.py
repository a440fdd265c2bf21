"""What a pack says of itself, and the tier that its checks earn it.

``pack.toml`` is the pack's public face: it is read without importing the pack, shown to whoever
installs it, and decides what the platform gives the pack (rows, columns, folds) and how it judges
it (label, metric, threshold). A key that the manifest has no word for is refused, so that a
misspelt permission or limit never passes for a given one.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from haihe.packs.errors import ManifestInvalid, ManifestUnknownKeys

MANIFEST_FILE = "pack.toml"
MAX_PERMUTATIONS = 100
NAME_PATTERN = r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$"

Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=60)]
Line = Annotated[str, Field(pattern=r"\S", max_length=300)]
Paragraph = Annotated[str, Field(pattern=r"\S", max_length=4_000)]


class TaskKind(StrEnum):
    """What a pack predicts; each kind has its own protocol and scores."""

    BINARY_CLASSIFICATION = "binary-classification"


class Metric(StrEnum):
    """The figure a pack is first judged by."""

    ROC_AUC = "roc_auc"


class ColumnType(StrEnum):
    """What the values of a column are."""

    NUMBER = "number"
    INTEGER = "integer"
    TEXT = "text"
    BOOLEAN = "boolean"
    SERIES = "series"  # a list of numbers, as long as one likes: a signal


_LABEL_TYPES: Mapping[ColumnType, type] = {
    ColumnType.TEXT: str,
    ColumnType.INTEGER: int,
    ColumnType.BOOLEAN: bool,
}


class Part(BaseModel):
    """A part of the manifest: exact types, no unknown keys, never changed."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Text(Part):
    """One text in both languages of the platform."""

    zh: Paragraph
    en: Paragraph


class Column(Part):
    """A column that an input must have. ``nullable`` ones may have empty cells."""

    name: Name
    type: ColumnType
    title: Text
    nullable: bool = False


class Input(Part):
    """A table that the pack needs."""

    name: Name
    description: Text
    columns: Annotated[tuple[Column, ...], Field(min_length=1, max_length=2_000)]

    def column(self, name: str) -> Column | None:
        """The column of that name, if it is declared."""
        return next((column for column in self.columns if column.name == name), None)

    @model_validator(mode="after")
    def _columns_once(self) -> Self:
        _refuse_repeats("columns", [column.name for column in self.columns])
        return self


class EvaluationRules(Part):
    """How the platform judges the pack.

    ``input`` is the table whose rows are the cases; ``id`` names a case, ``group`` whom it belongs
    to (a patient, a machine): a group is never on both sides of a split. ``label`` is the column
    that the platform hides on the rows to be predicted; its two values are ``positive`` and
    ``negative``. ``threshold`` is the score from which a case counts as positive.
    """

    input: Name
    id: Name
    group: Name
    label: Name
    positive: str | int | bool
    negative: str | int | bool
    folds: Annotated[int, Field(ge=2, le=20)] = 5
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    permutations: Annotated[int, Field(ge=1, le=MAX_PERMUTATIONS)] = 10


class Permissions(Part):
    """What the pack may do. It has no other doors: no network, no files but its own."""

    read: Annotated[tuple[Name, ...], Field(min_length=1, max_length=50)]


class Resources(Part):
    """The most that one run needs; the job is quoted and limited by it."""

    cpu_milli: Annotated[int, Field(ge=100, le=1_000_000)]
    memory_bytes: Annotated[int, Field(ge=64_000_000, le=4_000_000_000_000)]
    wall_s: Annotated[int, Field(ge=1, le=2_592_000)]


class Environment(Part):
    """Libraries that the platform itself does not have: the distribution's ``extra``, installed
    apart from it."""

    extra: Name


Entry = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$", max_length=120)]


class Commands(Part):
    """What the pack adds to the command line, as ``module:object``, imported in its environment.

    Each of ``bench`` is a Typer application, called as ``haihe bench NAME``; ``demo`` is a callable
    that gets a way to say how far it is, and returns what it did, for ``haihe demo --pack``.
    """

    bench: Mapping[Name, Entry] = {}
    demo: Entry | None = None


class ServiceRule(Part):
    """A process of the pack that runs as long as the platform does, beside its jobs.

    ``entry`` is ``module:function``, imported in the pack's environment and called with a
    :class:`haihe.packs.ServiceContext`.
    """

    entry: Entry
    title: Text


Dotted = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*$", max_length=120)]


class DutyRule(Part):
    """What an organisation may entrust a member with in the pack; known as ``pack.name``."""

    name: Name
    title: Text


class ActionRule(Part):
    """One thing that can be done on the pack's pages; known to policies as ``pack.name``."""

    name: Name
    text: Line


class MenuItem(Part):
    """An entry of the portal's menu: the name of an address, and an icon of the portal's set.

    It is shown to those who have one of the ``duties``; to everybody, if it names none.
    """

    duties: tuple[Name, ...] = ()
    url: Line
    title: Text
    icon: Line


class Portal(Part):
    """Pages and tables that the pack brings.

    ``app`` is a Django application with its models, migrations, templates and languages, and
    ``app.urls`` its addresses, below ``/<pack>/`` with dashes. ``policies`` is a file of the
    package with Cedar policies over the pack's own actions; ``kinds`` are the facts that it puts
    into the evidence log, as ``pack.kind``. All of it runs in the platform's process, so it imports
    no library of the extra.
    """

    app: Dotted
    policies: Line
    duties: tuple[DutyRule, ...] = ()
    actions: Annotated[tuple[ActionRule, ...], Field(min_length=1, max_length=200)]
    menu: Annotated[tuple[MenuItem, ...], Field(max_length=10)] = ()
    kinds: Mapping[Name, Text] = {}


class Source(Part):
    """Data that the pack was built on or is judged by, and the terms it comes under."""

    title: Line
    url: Line
    licence: Line
    citation: Annotated[str, Field(max_length=1_000)] = ""


class Manifest(Part):
    """Everything that ``pack.toml`` says. ``measure`` and ``systems`` are ids of the plan."""

    name: Name
    version: Annotated[str, Field(pattern=r"^\d+(\.\d+){1,3}((a|b|rc)\d+)?$", max_length=40)]
    title: Text
    summary: Text
    measure: Line
    systems: Annotated[tuple[Line, ...], Field(min_length=1, max_length=50)]
    task: TaskKind
    primary_metric: Metric
    permissions: Permissions
    resources: Resources
    inputs: Annotated[tuple[Input, ...], Field(min_length=1, max_length=50)]
    evaluation: EvaluationRules
    licence: Line
    disclaimer: Text
    sources: Annotated[tuple[Source, ...], Field(min_length=1, max_length=50)]
    limits: Annotated[tuple[Text, ...], Field(min_length=1, max_length=50)]
    expected_failed: Mapping[str, Line] = {}
    environment: Environment | None = None
    commands: Commands = Commands()
    portal: Portal | None = None
    services: Annotated[Mapping[Name, ServiceRule], Field(max_length=8)] = {}

    def input(self, name: str) -> Input | None:
        """The input of that name, if it is declared."""
        return next((table for table in self.inputs if table.name == name), None)

    @property
    def cases(self) -> Input:
        """The input whose rows are predicted and judged."""
        found = self.input(self.evaluation.input)
        assert found is not None, "the manifest's validator holds this"
        return found

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [table.name for table in self.inputs]
        _refuse_repeats("inputs", names)
        unknown = sorted({*self.permissions.read, self.evaluation.input} - set(names))
        if unknown:
            raise ValueError(f"no input is called {', '.join(unknown)}")
        if self.evaluation.input not in self.permissions.read:
            raise ValueError("evaluation.input must be under permissions.read")
        self._check_roles()
        return self

    def _check_roles(self) -> None:
        """The columns that carry id, group and label are there and can do so."""
        rules = self.evaluation
        if rules.label in (rules.id, rules.group):
            raise ValueError("the label must be a column of its own")
        types = {column.name: column.type for column in self.cases.columns if not column.nullable}
        for role in (rules.id, rules.group, rules.label):
            if role not in types:
                raise ValueError(f"{role} must be a column of {rules.input} that is never empty")
        wanted = _LABEL_TYPES.get(types[rules.label])
        if wanted is None:
            raise ValueError("a label is a text, an integer or a boolean")
        if {type(rules.positive), type(rules.negative)} != {wanted}:
            raise ValueError(f"positive and negative must be of type {types[rules.label]}")
        if rules.positive == rules.negative:
            raise ValueError("positive and negative must differ")


def _refuse_repeats(what: str, names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{what} must differ from each other; {', '.join(repeated)} repeats")


def parse_manifest(text: str, *, source: str = MANIFEST_FILE) -> Manifest:
    """Read a manifest from TOML; ``source`` is what errors call it.

    The text passes through JSON because that is where pydantic's strict mode knows that an array
    is a tuple and a word an enumeration, while a number in quotes stays refused.
    """
    try:
        document = json.dumps(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ManifestInvalid(source=source, problems=str(error)) from error
    except TypeError as error:  # a TOML date or time
        raise ManifestInvalid(source=source, problems="write dates as text") from error
    try:
        return Manifest.model_validate_json(document)
    except ValidationError as error:
        raise _manifest_error(error, source) from error


def _manifest_error(error: ValidationError, source: str) -> ManifestUnknownKeys | ManifestInvalid:
    problems = [(".".join(map(str, item["loc"])), item) for item in error.errors()]
    unknown = [place for place, item in problems if item["type"] == "extra_forbidden"]
    if unknown:
        return ManifestUnknownKeys(source=source, keys=", ".join(unknown))
    texts = [f"{place or 'manifest'}: {item['msg']}" for place, item in problems]
    return ManifestInvalid(source=source, problems="; ".join(texts))


class Tier(StrEnum):
    """How far a pack can be relied on, as its checks show; a pack never claims one."""

    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"
    PLATINUM = "platinum"


# Each tier needs its own checks and those of the tiers above it in this table.
TIERS: Mapping[Tier, tuple[str, ...]] = {
    # It is what it says, and it runs.
    Tier.BRONZE: (
        "manifest.complete",
        "manifest.translated",
        "manifest.matches_distribution",
        "imports.only_sdk",
        "readme.present",
        "licence.present",
        "portal.own_actions",
        "portal.tables_migrated",
        "service.answers",
        "predictions.valid",
        "report.valid",
    ),
    # Its predictions depend on the case, and on nothing else.
    Tier.SILVER: (
        "input.rejects_bad",
        "prepare.row_by_row",
        "run.deterministic",
        "run.no_label_leak",
        "run.row_order_invariant",
        "run.row_by_row",
    ),
    # It has learned something, and gives its reasons.
    Tier.GOLD: (
        "score.above_baseline",
        "score.permuted_at_chance",
        "explain.complete",
    ),
    # Its probabilities can be taken at their word.
    Tier.PLATINUM: ("score.calibrated",),
}


def tier_of(passed: Collection[str]) -> Tier | None:
    """The highest tier all of whose checks, and those of the tiers before it, have passed.

    A check that was skipped, or fails as the manifest expects it to, has not passed: otherwise a
    pack could exempt itself into a tier.
    """
    reached = None
    for tier, needed in TIERS.items():
        if not set(needed) <= set(passed):
            break
        reached = tier
    return reached
