"""Callers and things, and what the reference authoriser makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from haihe.policy.domain import ACTIONS, Principal, Resource
from tests.policy.matrix.callers import Caller
from tests.policy.matrix.rows import Denial, Need, Row
from tests.policy.reference import permits

LIST = "list"
# Things that are another one for each caller: themselves, and what belongs to their organisations.
_OF_CALLERS: Mapping[str, Callable[[Principal], list[Resource]]] = {
    "self": lambda caller: [Resource("Person", creator=caller.id)],
    "mine": lambda caller: [Resource("Mine", organisation=o) for o in caller.organisations()],
    "mine-as-party": lambda caller: [
        Resource("Mine", parties=frozenset({o})) for o in caller.organisations()
    ],
}


@dataclass(frozen=True)
class Thing:
    """What stands for it in addresses and bodies, and what it is to a policy.

    It may be several things to a policy, as the content of a dataset is read in the name of its
    holder or of a consumer: then what is permitted on one of them is permitted.
    """

    address: str
    resources: tuple[Resource, ...] = ()


@dataclass(frozen=True)
class Listed:
    """A text that stands in an answer for those who may do ``action``, and for nobody else."""

    text: str
    action: str
    resource: Resource


@dataclass(frozen=True)
class World:
    """Everybody and everything; ``log_size`` is how much was recorded before anybody called."""

    callers: Mapping[str, Caller]
    things: Mapping[str, Thing]
    listed: Mapping[str, list[Listed]]
    log_size: int

    def fill(self, value: Any) -> Any:
        """``value`` with the addresses of things in the place of their names in braces."""
        if isinstance(value, str):
            return value.format_map(self._addresses)
        if isinstance(value, Mapping):
            return {name: self.fill(inner) for name, inner in value.items()}
        return [self.fill(inner) for inner in value] if isinstance(value, list) else value

    def denial(self, row: Row, caller: Principal) -> Denial | None:
        """How the first permission reads that the caller lacks; None if they lack none."""
        lacking = (need.denial for need in row.needs if not self._met(need, caller))
        return next(lacking, None)

    def shown(self, row: Row, caller: Principal) -> Iterator[tuple[str, bool]]:
        """Each text that the row's answers may hold, and whether this caller's does."""
        for sort in row.shows.split():
            for item in self.listed[sort]:
                yield item.text, permits(caller, item.action, item.resource)

    @cached_property
    def _addresses(self) -> dict[str, str]:
        return {name: thing.address for name, thing in self.things.items()}

    def _met(self, need: Need, caller: Principal) -> bool:
        if need.thing == LIST:
            # Whoever is signed in may ask for a list, and is shown what they may read.
            return caller.id is not None and all(in_scope(caller, name) for name in need.actions)
        own = _OF_CALLERS.get(need.thing)
        resources = own(caller) if own else self.things[need.thing].resources
        return any(permits(caller, name, one) for name in need.actions for one in resources)


def in_scope(caller: Principal, action: str) -> bool:
    """Whether the caller's token, if they call with one, has the scope of an action."""
    return caller.scopes is None or ACTIONS.actions[action].scope in caller.scopes
