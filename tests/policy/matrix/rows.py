"""The words in which the tables say what each route needs.

A row is one way to call a route: its method and name, the permissions that it asks for on its way,
in their order, and a request that is well formed. What is permitted to whom is not said here: the
reference authoriser says that, of the thing that the row names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile

_NEED = re.compile(r"(?P<actions>[a-z_.|]+) on (?P<thing>[a-z-]+)(, (?P<denial>[a-z]+))?")


class Denial(StrEnum):
    """How it reads that a permission is missing."""

    FORBIDDEN = "forbidden"  # sign in, or: you may not
    HIDDEN = "hidden"  # there is no such thing
    OFFERED = "offered"  # a form offers only what its caller may choose


@dataclass(frozen=True)
class Need:
    """A permission: to do one of ``actions`` on a thing of the world."""

    actions: tuple[str, ...]
    thing: str
    denial: Denial


@dataclass(frozen=True)
class Upload:
    """A file in a form, made anew for each request."""

    name: str
    content: bytes

    def file(self) -> SimpleUploadedFile:
        """The file as a client sends it."""
        return SimpleUploadedFile(self.name, self.content)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to call a route.

    ``args`` fill its address, by the name of a thing or as a number; texts of ``query`` and
    ``body`` may name things in braces. ``then`` is the status for who is allowed. ``shows`` is a
    sort of listed thing, of which the answer holds those and only those that the caller may read.
    """

    method: str
    route: str
    needs: tuple[Need, ...]
    args: Mapping[str, str | int]
    query: str
    body: Mapping[str, Any]
    then: int
    shows: str

    @property
    def is_api(self) -> bool:
        """Whether programs call it; else it is a page."""
        return self.route.startswith("api:")

    def __str__(self) -> str:
        return f"{self.method} {self.route}" + (f"?{self.query}" if self.query else "")


def get(
    route: str, *needs: str, query: str = "", shows: str = "", then: int = 200, **args: str | int
) -> Row:
    """A read."""
    return _row("GET", route, needs, args, query=query, shows=shows, then=then)


def post(
    route: str,
    *needs: str,
    body: Mapping[str, Any] | None = None,
    then: int = 0,
    query: str = "",
    **args: str | int,
) -> Row:
    """An act; pages lead on after it, the API answers with 200 unless told otherwise."""
    then = then or (200 if route.startswith("api:") else 302)
    return _row("POST", route, needs, args, body=body, then=then, query=query)


def put(route: str, *needs: str, body: Mapping[str, Any], **args: str | int) -> Row:
    """An edit over the API."""
    return _row("PUT", route, needs, args, body=body)


def delete(route: str, *needs: str, **args: str | int) -> Row:
    """A removal over the API."""
    return _row("DELETE", route, needs, args, then=204)


def _row(
    method: str,
    route: str,
    needs: tuple[str, ...],
    args: Mapping[str, str | int],
    *,
    query: str = "",
    body: Mapping[str, Any] | None = None,
    then: int = 200,
    shows: str = "",
) -> Row:
    return Row(
        method=method,
        route=route,
        needs=tuple(map(_need, needs)),
        args=args,
        query=query,
        body=body or {},
        then=then,
        shows=shows,
    )


def _need(text: str) -> Need:
    """Read ``job.cancel on job``, or ``dataset.read on dataset, hidden``."""
    found = _NEED.fullmatch(text)
    assert found, f"this is no need: {text}"
    denial = Denial(found["denial"] or "forbidden")
    return Need(tuple(found["actions"].split("|")), found["thing"], denial)
