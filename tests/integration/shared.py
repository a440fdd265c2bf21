"""Clusters that all tests of a session use, whichever asks first; ended with the session."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, TypeVar

import pytest

from tests.integration import NotInstalled

T = TypeVar("T")
_OPENED: pytest.StashKey[dict[Any, Any]] = pytest.StashKey()
_ENDED: pytest.StashKey[ExitStack] = pytest.StashKey()


def shared(config: pytest.Config, make: Callable[[], AbstractContextManager[T]]) -> T:
    """What ``make`` opens, once for the session; a test skips where a part is not installed.

    A cluster that did not come up is not tried again: the first failure is every test's.
    """
    opened = config.stash.setdefault(_OPENED, {})
    if make not in opened:
        try:
            opened[make] = config.stash.setdefault(_ENDED, ExitStack()).enter_context(make())
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            opened[make] = error
    found = opened[make]
    if isinstance(found, NotInstalled):
        pytest.skip(str(found))
    if isinstance(found, Exception):
        raise found
    return found


def end_shared(config: pytest.Config) -> None:
    """End all clusters. To be called before the session is over: a worker of xdist is killed ten
    seconds after it, whatever it is doing.
    """
    config.stash.setdefault(_ENDED, ExitStack()).close()
