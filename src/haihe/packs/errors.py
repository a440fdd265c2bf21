"""Errors about packs: their manifest, their code, what they read and what they hand back.

Invalid
├── ManifestUnknownKeys     pack.toml says something that the manifest has no word for
├── ManifestInvalid         pack.toml breaks a rule of the manifest
├── PackNotLoadable         the code behind a manifest cannot be used
└── InputRefused            a table does not fit what the manifest declares (packs raise it too)
NotFound
├── PackNotFound            no such pack
├── InputMissing            a declared table was not given
├── NoSampleData            a pack brings no data to be tried with
├── EnvironmentMissing      the pack's own libraries are not installed
├── ServiceUnknown          a pack has no service of that name
└── OutputMissing           a run left out a file that it must leave
Denied
└── InputNotPermitted       a pack asks for a table it did not ask permission for
TooLarge
├── InputTooLarge           a table is beyond the limit
└── OutputTooLarge          a pack hands back more than fits
Conflict
├── FolderNotEmpty          something would be overwritten
├── ServiceRunning          a service is run once, and is run already
└── ServiceRefused          a service said no, and why
Refused
├── SplitImpossible         too few cases of a class to judge by
├── PackWroteNothing        a step ended without its result
├── PreparedRowsDiffer      ``prepare`` changed which rows there are
├── OutputRefused           reasons or tables that do not fit
├── PredictionsRefused      predictions that cannot be scored
│   ├── PredictionsMalformed    wrong columns or types
│   ├── PredictionsMissing      cases without a prediction
│   ├── PredictionsDuplicated   cases with more than one
│   ├── PredictionsUnknown      predictions for cases that were not asked about
│   └── PredictionsNotProbability  scores that are no probability
└── FoldsDiffer             predictions made on another split than the platform's
Unavailable
├── EnvironmentNotBuilt     the pack's own libraries could not be installed
└── ServiceUnavailable      a service is not running, or does not answer
PackFailed                  the pack's own code raised an error
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haihe.kernel.errors import (
    Conflict,
    Denied,
    HaiheError,
    Invalid,
    NotFound,
    Refused,
    TooLarge,
    Unavailable,
    gettext_noop,
)


@dataclass(kw_only=True, eq=False)
class ManifestUnknownKeys(Invalid):
    """A misspelt or misplaced key would otherwise be ignored, and its meaning lost."""

    code: ClassVar[str] = "packs.manifest_unknown_keys"
    template: ClassVar[str] = gettext_noop(
        "{source} has keys that no manifest has: {keys}. Correct or remove them."
    )

    source: str
    keys: str


@dataclass(kw_only=True, eq=False)
class ManifestInvalid(Invalid):
    """The manifest cannot be read, lacks a field, or contradicts itself."""

    code: ClassVar[str] = "packs.manifest_invalid"
    template: ClassVar[str] = gettext_noop("{source} is no valid manifest: {problems}.")

    source: str
    problems: str


@dataclass(kw_only=True, eq=False)
class PackNotFound(NotFound):
    """Neither an installed pack nor a folder with one."""

    code: ClassVar[str] = "packs.not_found"
    template: ClassVar[str] = gettext_noop(
        "There is no pack {name!r}: no installed distribution offers it, and no folder of that "
        "path holds one. Install it, or give the path of its folder."
    )

    name: str


@dataclass(kw_only=True, eq=False)
class EnvironmentMissing(NotFound):
    """The pack works in an environment of its own, and that is not there."""

    code: ClassVar[str] = "packs.environment_missing"
    template: ClassVar[str] = gettext_noop(
        "Pack {pack} works in an environment of its own ({requirement}), which is not installed "
        "here. Install it: haihe packs install {pack}"
    )

    pack: str
    requirement: str


@dataclass(kw_only=True, eq=False)
class EnvironmentNotBuilt(Unavailable):
    """The installer of a pack's libraries failed; nothing of it is used."""

    code: ClassVar[str] = "packs.environment_not_built"
    template: ClassVar[str] = gettext_noop(
        "The environment of pack {pack} could not be installed. The installer says: {reason}"
    )

    pack: str
    reason: str


@dataclass(kw_only=True, eq=False)
class ServiceUnknown(NotFound):
    """The pack's manifest names no such service."""

    code: ClassVar[str] = "packs.service_unknown"
    template: ClassVar[str] = gettext_noop(
        "Pack {pack} has no service {service!r}. See its services: haihe packs show {pack}"
    )

    pack: str
    service: str


@dataclass(kw_only=True, eq=False)
class ServiceRunning(Conflict):
    """Two processes of one service would both hold its devices and its socket."""

    code: ClassVar[str] = "packs.service_running"
    template: ClassVar[str] = gettext_noop(
        "The service {service} of pack {pack} is running already in this home. Stop that process "
        "first; haihe up --no-services starts none."
    )

    pack: str
    service: str


@dataclass(kw_only=True, eq=False)
class ServiceRefused(Conflict):
    """A service's own error: ``refusal`` is its code, ``text`` what it says, for the reader."""

    code: ClassVar[str] = "packs.service_refused"
    template: ClassVar[str] = gettext_noop("The service {service} of pack {pack} says no: {text}")

    pack: str
    service: str
    refusal: str
    text: str


@dataclass(kw_only=True, eq=False)
class ServiceUnavailable(Unavailable):
    """Nothing listens at the service's socket, or what listens does not answer in time."""

    code: ClassVar[str] = "packs.service_unavailable"
    template: ClassVar[str] = gettext_noop(
        "The service {service} of pack {pack} cannot be asked: {reason}. haihe up starts it, if "
        "the pack is installed whole: haihe packs install {pack}"
    )

    pack: str
    service: str
    reason: str


@dataclass(kw_only=True, eq=False)
class PackNotLoadable(Invalid):
    """The manifest can be read, but the code it stands for cannot be used."""

    code: ClassVar[str] = "packs.not_loadable"
    template: ClassVar[str] = gettext_noop("Pack {name} cannot be loaded: {reason}.")

    name: str
    reason: str


@dataclass(kw_only=True, eq=False)
class InputRefused(Invalid):
    """A table does not fit what the manifest declares, or what the pack can work with."""

    code: ClassVar[str] = "packs.input_refused"
    template: ClassVar[str] = gettext_noop("Input {input!r} cannot be used: {reason}.")

    input: str
    reason: str


@dataclass(kw_only=True, eq=False)
class InputMissing(NotFound):
    """A declared table was not given."""

    code: ClassVar[str] = "packs.input_missing"
    template: ClassVar[str] = gettext_noop(
        "Input {input!r} is missing: put {input}.parquet or {input}.csv into {place}."
    )

    input: str
    place: str


@dataclass(kw_only=True, eq=False)
class OutputMissing(NotFound):
    """A run left out a file that it must leave, or left one that cannot be read."""

    code: ClassVar[str] = "packs.output_missing"
    template: ClassVar[str] = gettext_noop(
        "The run left no readable {file} in {place}: {reason}. Run the pack again."
    )

    file: str
    place: str
    reason: str


@dataclass(kw_only=True, eq=False)
class InputNotPermitted(Denied):
    """A pack reads only what its manifest asks permission for."""

    code: ClassVar[str] = "packs.input_not_permitted"
    template: ClassVar[str] = gettext_noop(
        "Pack {pack} asked for input {input!r}, which its manifest has no permission to read. "
        "Name it under permissions.read."
    )

    pack: str
    input: str


@dataclass(kw_only=True, eq=False)
class InputTooLarge(TooLarge):
    """A table is beyond the limit of one run."""

    code: ClassVar[str] = "packs.input_too_large"
    template: ClassVar[str] = gettext_noop(
        "Input {input!r} has {size} {unit}; one run takes at most {limit}. Give it a sample."
    )

    input: str
    size: int
    unit: str
    limit: int


@dataclass(kw_only=True, eq=False)
class OutputTooLarge(TooLarge):
    """A pack hands back more than a page or a record can hold."""

    code: ClassVar[str] = "packs.output_too_large"
    template: ClassVar[str] = gettext_noop(
        "Pack {pack} hands back {size} {what}; at most {limit} are kept. Hand back fewer."
    )

    pack: str
    what: str
    size: int
    limit: int


@dataclass(kw_only=True, eq=False)
class FolderNotEmpty(Conflict):
    """Neither a new pack nor a run ever mixes with what is there."""

    code: ClassVar[str] = "packs.folder_not_empty"
    template: ClassVar[str] = gettext_noop(
        "{folder} is there already and not empty. Name another folder, or empty it first."
    )

    folder: str


@dataclass(kw_only=True, eq=False)
class SplitImpossible(Refused):
    """There are too few cases or groups of a class for a fair split."""

    code: ClassVar[str] = "packs.split_impossible"
    template: ClassVar[str] = gettext_noop(
        "{rows} rows in {groups} groups, {positives} of them positive, cannot be split into "
        "{folds} folds that each hold both classes. Give more cases."
    )

    rows: int
    groups: int
    positives: int
    folds: int


@dataclass(kw_only=True, eq=False)
class PackWroteNothing(Refused):
    """A step ended without handing back its result."""

    code: ClassVar[str] = "packs.wrote_nothing"
    template: ClassVar[str] = gettext_noop(
        "Pack {pack} ended its step {step} without calling {call}. Call it once in the step."
    )

    pack: str
    step: str
    call: str


@dataclass(kw_only=True, eq=False)
class PreparedRowsDiffer(Refused):
    """Cleaning may change values, never which cases are judged or what the platform hides."""

    code: ClassVar[str] = "packs.prepared_rows_differ"
    template: ClassVar[str] = gettext_noop(
        "Pack {pack} prepared {input!r} so that {reason}. Hand back the same rows, with their id "
        "and without the label."
    )

    pack: str
    input: str
    reason: str


@dataclass(kw_only=True, eq=False)
class OutputRefused(Refused):
    """Reasons that do not fit the cases, or a table that cannot be shown."""

    code: ClassVar[str] = "packs.output_refused"
    template: ClassVar[str] = gettext_noop("Pack {pack} handed back bad {what}: {reason}.")

    pack: str
    what: str
    reason: str


@dataclass(kw_only=True, eq=False)
class PredictionsRefused(Refused):
    """Predictions that cannot be scored."""


@dataclass(kw_only=True, eq=False)
class PredictionsMalformed(PredictionsRefused):
    """The table of predictions has other columns or types than it must have."""

    code: ClassVar[str] = "packs.predictions_malformed"
    template: ClassVar[str] = gettext_noop(
        "Predictions need the columns id, score (number) and, if the pack decides, decision "
        "(true, false, or empty to abstain); {reason}."
    )

    reason: str


@dataclass(kw_only=True, eq=False)
class PredictionsMissing(PredictionsRefused):
    """A pack may not leave out the cases it finds hard: it abstains, and still gives a score."""

    code: ClassVar[str] = "packs.predictions_missing"
    template: ClassVar[str] = gettext_noop(
        "{count} cases have no prediction, among them {example}. Predict every row."
    )

    count: int
    example: str


@dataclass(kw_only=True, eq=False)
class PredictionsDuplicated(PredictionsRefused):
    """A case with two predictions would count twice."""

    code: ClassVar[str] = "packs.predictions_duplicated"
    template: ClassVar[str] = gettext_noop(
        "{count} cases have more than one prediction, among them {example}. Predict each row once."
    )

    count: int
    example: str


@dataclass(kw_only=True, eq=False)
class PredictionsUnknown(PredictionsRefused):
    """Predictions for cases that were not asked about."""

    code: ClassVar[str] = "packs.predictions_unknown"
    template: ClassVar[str] = gettext_noop(
        "{count} predictions are for cases that were not asked about, among them {example}. "
        "Keep the ids of the rows as they are."
    )

    count: int
    example: str


@dataclass(kw_only=True, eq=False)
class PredictionsNotProbability(PredictionsRefused):
    """A score that is missing, not a number, or outside the range from 0 to 1."""

    code: ClassVar[str] = "packs.predictions_not_probability"
    template: ClassVar[str] = gettext_noop(
        "{count} scores are no probability, among them that of case {example}. Give numbers from "
        "0 to 1."
    )

    count: int
    example: str


@dataclass(kw_only=True, eq=False)
class FoldsDiffer(Refused):
    """Predictions were made on another split than the one the platform makes."""

    code: ClassVar[str] = "packs.folds_differ"
    template: ClassVar[str] = gettext_noop(
        "{file} puts {count} cases into other folds than seed {seed} gives, among them {example}. "
        "Run the pack again on these labels with this seed."
    )

    file: str
    count: int
    seed: int
    example: str


@dataclass(kw_only=True, eq=False)
class PackFailed(HaiheError):
    """The pack's own code raised an error; the traceback is in the log."""

    code: ClassVar[str] = "packs.failed"
    template: ClassVar[str] = gettext_noop(
        "Pack {pack} failed in its step {step}: {reason}. Its log has the traceback; tell the "
        "pack's authors."
    )

    pack: str
    step: str
    reason: str


@dataclass(kw_only=True, eq=False)
class DatasetMissing(Invalid):
    """A run of a pack was asked for without a dataset for one of its inputs."""

    code: ClassVar[str] = "packs.dataset_missing"
    template: ClassVar[str] = gettext_noop(
        "Pack {pack} needs a dataset version for its input {input!r}: give {input}=SLUG@VERSION."
    )

    pack: str
    input: str


@dataclass(kw_only=True, eq=False)
class NoSampleData(NotFound):
    """A pack was to be tried on its own data, and brings none."""

    code: ClassVar[str] = "packs.no_sample_data"
    template: ClassVar[str] = gettext_noop(
        "Pack {pack} brings no sample data. Run it on a dataset: haihe packs run {pack} "
        "--organisation SLUG --input NAME=SLUG@VERSION."
    )

    pack: str
