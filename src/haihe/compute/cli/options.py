"""What a job is asked for on the command line: one table of options for every command that asks.

A job may stand in a file (TOML or YAML) or be the words after ``--``; options that are given win
over the file. The three ways to submit a job, from a file, from Python and from the page, end in
the same :func:`haihe.compute.domain.spec_from`.
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from haihe.compute.domain import MILLI, Objective, parse_input
from haihe.compute.errors import BadJobSpec
from haihe.kernel.quantities import whole_units

MIB = 1024**2
FILES = (".toml", ".yaml", ".yml")

Words = Annotated[
    list[str],
    typer.Argument(help="A job as FILE.toml or FILE.yaml; or, after --, the command to run."),
]


def _list(text: str) -> Any:
    return Annotated[list[str] | None, typer.Option(help=f"{text}; may be given several times.")]


def _one(kind: Any, text: str) -> Any:
    return Annotated[kind | None, typer.Option(help=text)]


_OPTIONS: dict[str, Any] = {
    "organisation": _one(str, "Slug of the organisation that pays."),
    "contract": _one(str, "Number of a signed contract."),
    "name": _one(str, "What the job is called."),
    "cpu": _one(float, "CPUs, in steps of 0.001; with --nodes, on each."),
    "gpu": _one(float, "GPUs, in steps of 0.001; with --nodes, on each."),
    "memory_mib": _one(int, "Memory in MiB; with --nodes, on each."),
    "minutes": _one(int, "Minutes at most."),
    "output_mib": _one(int, "Output at most, in MiB."),
    "nodes": _one(int, "Nodes that start together."),
    "array": _one(int, "Like jobs, each with its number in HAIHE_ARRAY_INDEX."),
    "accelerator": _one(str, "A model, a maker or a class of card."),
    "objective": _one(Objective, "What matters most in the choice of a centre."),
    "deadline": _one(str, "By when it must have ended: 2026-12-31T18:00+08:00."),
    "software": _list("What the pool must have"),
    "centre": _list("Slug of a centre that may have it"),
    "input": _list("name=dataset@version"),
    "env": _list("NAME=VALUE"),
    "file": _list("PATH, or PATH/IN/JOB=PATH, of a file that the job finds where it works"),
}


def takes_job(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the arguments and options of a job, and call it with ``asked``.

    ``asked`` holds the fields of a spec that were given, with ``organisation`` and ``contract``.
    """

    @wraps(command)
    def call(words: list[str], **options: Any) -> None:
        given = {name: options.pop(name) for name in _OPTIONS}
        command(_asked(words, given), **options)

    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    keyword = inspect.Parameter.KEYWORD_ONLY
    job = [
        inspect.Parameter(name, keyword, default=None, annotation=kind)
        for name, kind in _OPTIONS.items()
    ]
    first = inspect.Parameter("words", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Words)
    rest = [parameter.replace(kind=keyword) for parameter in own]
    call.__signature__ = inspect.Signature([first, *job, *rest])  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in (first, *job, *rest)}
    return call


def _asked(words: list[str], given: dict[str, Any]) -> dict[str, Any]:
    """A job from a file or a command, and options, of which those given win."""
    is_file = len(words) == 1 and words[0].endswith(FILES)
    data = read_job(Path(words[0])) if is_file else {"command": words}
    scaled = {
        "cpu_milli": _scaled(given, "cpu", MILLI),
        "gpu_milli": _scaled(given, "gpu", MILLI),
        "memory_bytes": _scaled(given, "memory_mib", MIB),
        "wall_s": _scaled(given, "minutes", 60),
        "output_bytes": _scaled(given, "output_mib", MIB),
        "inputs": [parse_input(text) for text in given["input"] or ()],
        "environment": dict(_variable(text) for text in given["env"] or ()),
        "centres": given["centre"],
    }
    same = (
        "organisation", "contract", "name", "nodes", "array", "accelerator", "objective",
        "deadline", "software",
    )  # fmt: skip
    fields = {
        "files": [_file(text) for text in given["file"] or ()],
        **scaled,
        **{name: given[name] for name in same},
    }
    return data | {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def read_job(path: Path) -> dict[str, Any]:
    """A job as a file says it.

    Raises
    ------
    BadJobSpec
        If the file cannot be read, or holds no table of fields.
    """
    try:
        text = path.read_text("utf-8")
        data = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadJobSpec(field=f"file {path}", rule=f"cannot be read: {error}") from None
    if not isinstance(data, dict):
        raise BadJobSpec(field=f"file {path}", rule="must give values to the fields of a job")
    return data


def _file(text: str) -> dict[str, str]:
    """A file as people name it: where it is, and where the job finds it."""
    path, equals, here = text.partition("=")
    return {"path": path, "from": here} if equals else {"path": Path(text).name, "from": text}


def _scaled(given: dict[str, Any], name: str, unit: int) -> int | None:
    return None if given[name] is None else whole_units(given[name], unit, field=name)


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise BadJobSpec(field="environment", rule="must read NAME=VALUE")
    return name, value
