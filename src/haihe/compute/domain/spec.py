"""What a job asks for: its spec, as people write it and as it is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from haihe.compute.errors import BadJobSpec

GIB = 1024**3
MILLI = 1_000
COMMAND_LIMIT = 64
ARGUMENT_LENGTH = 8_192
INPUT_LIMIT = 16
LABEL_LIMIT = 64
FILE_LIMIT = 256
WISH_LIMIT = 32
PATH_LENGTH = 400
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_FILE = re.compile(r"(?!\.\.?$)[A-Za-z0-9_.+=-]{1,100}")
_WISH = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+/:@-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


@dataclass(frozen=True, kw_only=True)
class InputRef:
    """One dataset version that a job reads, under the name of its folder in the job."""

    name: str
    dataset: str
    version: int


@dataclass(frozen=True, kw_only=True)
class FileRef:
    """One uploaded file that a job finds in its working folder, known by its content."""

    path: str
    sha256: str


class Objective(StrEnum):
    """What the user wants most of the centre that is chosen."""

    CHEAPEST = "cheapest"
    SOONEST = "soonest"
    GREENEST = "greenest"
    BALANCED = "balanced"


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """What a job runs and what it may use at most.

    ``command`` is an argument list, never a shell line. Amounts are milli-CPUs, bytes, seconds and
    milli-GPUs, on each of ``nodes`` nodes that start together; ``cpu_s`` is over all nodes and
    defaults to all CPUs for the whole of ``wall_s``. ``accelerator`` is a model, a maker or a
    class; empty, if any will do. With ``array`` above 1, as many like jobs are submitted, each
    with its number in ``HAIHE_ARRAY_INDEX``. ``deadline`` is an instant in ISO 8601 by which the
    job must have ended.
    """

    name: str
    command: Sequence[str]
    cpu_milli: int = 1_000
    memory_bytes: int = 1 * GIB
    gpu_milli: int = 0
    wall_s: int = 3_600
    cpu_s: int = 0
    output_bytes: int = 1 * GIB
    nodes: int = 1
    array: int = 1
    accelerator: str = ""
    software: Sequence[str] = ()
    centres: Sequence[str] = ()
    objective: str = Objective.BALANCED
    deadline: str = ""
    inputs: Sequence[InputRef] = ()
    files: Sequence[FileRef] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def cpu_limit_s(self) -> int:
        """The CPU seconds, over all nodes, after which the job is ended."""
        return self.cpu_s or -(-self.cpu_milli * self.nodes * self.wall_s // MILLI)

    @property
    def deadline_at(self) -> datetime | None:
        """The instant by which the job must have ended."""
        return datetime.fromisoformat(self.deadline) if self.deadline else None

    def as_dict(self) -> dict[str, Any]:
        """The spec as JSON."""
        data = asdict(self)
        data["command"] = list(self.command)
        data["inputs"] = [asdict(item) for item in self.inputs]
        data["files"] = [asdict(item) for item in self.files]
        data["software"], data["centres"] = list(self.software), list(self.centres)
        return data


def spec_from(data: Mapping[str, Any]) -> JobSpec:
    """Read a spec from JSON, TOML or a form, and check every field.

    Raises
    ------
    BadJobSpec
        If a field is unknown, missing, of a wrong type or out of its range; the error names it.
    """
    unknown = sorted(set(data) - set(JobSpec.__dataclass_fields__))
    if unknown:
        raise BadJobSpec(field=unknown[0], rule="is not a field of a job")
    for required in ("name", "command"):
        if required not in data:
            raise BadJobSpec(field=required, rule="is missing")
    for name in ("command", "inputs", "files", "software", "centres"):
        if not isinstance(data.get(name, []), list | tuple):
            raise BadJobSpec(field=name, rule="must be a list")
    for name in ("environment", "labels"):
        if not isinstance(data.get(name, {}), Mapping):
            raise BadJobSpec(field=name, rule="must give values to names")
    inputs = tuple(_input_from(item) for item in data.get("inputs", ()))
    files = tuple(_file_from(item) for item in data.get("files", ()))
    words = {name: tuple(data.get(name, ())) for name in ("command", "software", "centres")}
    spec = JobSpec(**{**data, **words, "inputs": inputs, "files": files})
    _check_words(spec)
    _check_wishes(spec)
    _check_environment(spec)
    _check_amounts(spec)
    return spec


def parse_input(text: str) -> InputRef:
    """Read an input as people write it: ``name=dataset@version``."""
    name, equals, wanted = text.strip().partition("=")
    dataset, at, version = wanted.rpartition("@")
    if not (name and equals and dataset and at and version.isdecimal() and len(version) < 10):
        raise BadJobSpec(field=f"input {text[:80]!r}", rule="must read name=dataset@version")
    return _input_from({"name": name, "dataset": dataset, "version": int(version)})


def _input_from(item: Any) -> InputRef:
    try:
        ref = item if isinstance(item, InputRef) else InputRef(**item)
    except TypeError:
        raise BadJobSpec(field="inputs", rule="needs name, dataset and version each") from None
    if not isinstance(ref.name, str) or not _NAME.fullmatch(ref.name):
        raise BadJobSpec(
            field=f"inputs.{ref.name}", rule="must be a plain file name, with no path in it"
        )
    if not isinstance(ref.dataset, str):
        raise BadJobSpec(field=f"inputs.{ref.name}.dataset", rule="must be a dataset's slug")
    if isinstance(ref.version, bool) or not isinstance(ref.version, int) or ref.version < 1:
        raise BadJobSpec(field=f"inputs.{ref.name}.version", rule="must be 1 or more")
    return ref


def _file_from(item: Any) -> FileRef:
    try:
        ref = item if isinstance(item, FileRef) else FileRef(**item)
    except TypeError:
        raise BadJobSpec(field="files", rule="needs path and sha256 each") from None
    parts = ref.path.split("/") if isinstance(ref.path, str) else [""]
    if len(ref.path) > PATH_LENGTH or any(not _FILE.fullmatch(part) for part in parts):
        raise BadJobSpec(
            field=f"files.{ref.path}", rule="must be a relative path of plain names, as src/main.py"
        )
    if not isinstance(ref.sha256, str) or not _SHA256.fullmatch(ref.sha256):
        raise BadJobSpec(field=f"files.{ref.path}.sha256", rule="must be 64 hexadecimal digits")
    return ref


def _check_wishes(spec: JobSpec) -> None:
    """What is asked of the centre, beyond amounts."""
    for name in ("software", "centres"):
        words = getattr(spec, name)
        if len(words) > WISH_LIMIT or any(
            not isinstance(word, str) or not _WISH.fullmatch(word) for word in words
        ):
            raise BadJobSpec(field=name, rule=f"must be at most {WISH_LIMIT} plain names")
    if not isinstance(spec.accelerator, str) or (
        spec.accelerator and not _WISH.fullmatch(spec.accelerator)
    ):
        raise BadJobSpec(field="accelerator", rule="must be a model, a maker or a class")
    if spec.accelerator and not spec.gpu_milli:
        raise BadJobSpec(field="gpu_milli", rule=f"is 0; say how much of {spec.accelerator}")
    if spec.objective not in list(Objective):
        raise BadJobSpec(field="objective", rule=f"must be one of {', '.join(Objective)}")
    try:
        deadline = spec.deadline_at
    except (TypeError, ValueError):
        raise BadJobSpec(field="deadline", rule="must be an instant in ISO 8601") from None
    if deadline is not None and deadline.tzinfo is None:
        raise BadJobSpec(field="deadline", rule="needs a time zone, as +08:00")
    if len(spec.files) > FILE_LIMIT:
        raise BadJobSpec(field="files", rule=f"may be at most {FILE_LIMIT}")
    if len({item.path for item in spec.files}) != len(spec.files):
        raise BadJobSpec(field="files", rule="must have different paths")


def _check_words(spec: JobSpec) -> None:
    if not isinstance(spec.name, str) or not _NAME.fullmatch(spec.name):
        raise BadJobSpec(
            field="name", rule="must be 1 to 64 lower-case letters, digits, '.', '_' or '-'"
        )
    words = spec.command
    if not 1 <= len(words) <= COMMAND_LIMIT:
        raise BadJobSpec(field="command", rule=f"must have 1 to {COMMAND_LIMIT} words")
    if any(not isinstance(w, str) or len(w) > ARGUMENT_LENGTH or "\0" in w for w in words):
        raise BadJobSpec(field="command", rule="must be a list of plain strings")
    if len(spec.inputs) > INPUT_LIMIT:
        raise BadJobSpec(field="inputs", rule=f"may be at most {INPUT_LIMIT}")
    if len({item.name for item in spec.inputs}) != len(spec.inputs):
        raise BadJobSpec(field="inputs", rule="must have different names")
    if len({(item.dataset, item.version) for item in spec.inputs}) != len(spec.inputs):
        raise BadJobSpec(field="inputs", rule="may name each dataset version once")


def _check_environment(spec: JobSpec) -> None:
    for name, value in spec.environment.items():
        good = isinstance(name, str) and _VARIABLE.fullmatch(name) and isinstance(value, str)
        if not good or "\0" in value:
            raise BadJobSpec(
                field=f"environment.{name}", rule="must be an upper-case name and a string"
            )
        if name.startswith(("HAIHE_", "LD_")):
            raise BadJobSpec(field=f"environment.{name}", rule="is reserved")
    if len(spec.labels) > LABEL_LIMIT:
        raise BadJobSpec(field="labels", rule=f"may be at most {LABEL_LIMIT}")
    if any(not isinstance(word, str) for pair in spec.labels.items() for word in pair):
        raise BadJobSpec(field="labels", rule="must be strings")


_RANGES: Mapping[str, tuple[int, int]] = {
    "cpu_milli": (1, 10_000_000),
    "memory_bytes": (16 * 1024**2, 1024**5),
    "gpu_milli": (0, 10_000_000),
    "wall_s": (1, 30 * 86_400),
    "cpu_s": (0, 10_000_000_000),
    "output_bytes": (0, 1024**5),
    "nodes": (1, 1_000),
    "array": (1, 1_000),
}


def _check_amounts(spec: JobSpec) -> None:
    for name, (low, high) in _RANGES.items():
        value = getattr(spec, name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise BadJobSpec(field=name, rule=f"is {value!r}; give a whole number {low} to {high}")
    if spec.gpu_milli > MILLI and spec.gpu_milli % MILLI:
        rule = f"is {spec.gpu_milli}; give a share of one card below {MILLI}, or whole cards"
        raise BadJobSpec(field="gpu_milli", rule=rule)
