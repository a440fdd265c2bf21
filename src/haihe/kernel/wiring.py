"""Typed sockets that a lower floor declares and ``haihe.app`` fills.

A floor may not import its neighbours. Where compute needs what data holds, it declares a Protocol
and a :class:`Slot` for it; the composition root plugs the implementation in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Slot(Generic[T]):
    """A place for one implementation of a protocol."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._implementation: T | None = None

    def fill(self, implementation: T) -> None:
        """Plug in the implementation; the last one stays."""
        self._implementation = implementation

    def get(self) -> T:
        """The implementation; it is a defect of the composition if there is none."""
        assert self._implementation is not None, f"nothing fills the slot {self.name!r}"
        return self._implementation

    @contextmanager
    def replaced(self, implementation: T) -> Iterator[None]:
        """Plug in another implementation for the length of a block (tests, simulations)."""
        before = self._implementation
        self._implementation = implementation
        try:
            yield
        finally:
            self._implementation = before
