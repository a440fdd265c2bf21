"""Errors of the portal itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haihe.kernel.errors import Unavailable, gettext_noop


@dataclass(kw_only=True, eq=False)
class MissingStaticFile(Unavailable):
    """A third-party file that a page needs was not built, or is not in the build's list."""

    code: ClassVar[str] = "portal.missing_static_file"
    template: ClassVar[str] = gettext_noop(
        "The front-end file {name} is missing. Name it in tools/build_static.py, then run "
        "python tools/build_static.py."
    )

    name: str
