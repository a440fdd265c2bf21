"""The comparison of Cedar and reference is as sharp as it should be: it sees any one slip.

Each clause of each policy is turned round once, and dropped once; each time some request out of
all that there are between one caller and one thing must be decided otherwise than the reference
does. So no clause is there that no comparison looks at.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import product
from uuid import UUID

import cedarpy
import pytest

from haihe.policy.domain import DUTIES, PlatformRole, Principal, Resource, Role
from haihe.policy.services import policy_text, request_of
from tests.policy.reference import PERMITS, permits

OWNER, PARTY = UUID(int=1), UUID(int=2)
CALLER, OTHER = UUID(int=101), UUID(int=102)
Request = tuple[Principal, Resource]


def every_request() -> list[Request]:
    """All that a caller can be to a thing, each combination once, in a fixed disorder."""
    roles = (None, *Role)
    callers = [
        Principal(
            id=CALLER,
            memberships=frozenset(
                (organisation, role)
                for organisation, role in ((OWNER, at_owner), (PARTY, at_party))
                if role
            ),
            duties=frozenset({(OWNER, duty)} if duty else ()),
            platform_roles=frozenset({platform} if platform else ()),
            scopes=scopes,
        )
        for at_owner, at_party, duty, platform, scopes in product(
            roles,
            roles,
            (None, *sorted(DUTIES.duties)),
            (None, *PlatformRole),
            (None, frozenset({"read"}), frozenset({"compute", "admin"})),
        )
    ]
    things = [
        Resource(
            "Thing",
            organisation=OWNER,
            parties=frozenset({PARTY}),
            public=public,
            creator=creator,
        )
        for public, creator in product((False, True), (None, CALLER, OTHER))
    ]
    requests = list(product(callers, things))
    random.Random(1).shuffle(requests)
    return requests


def mutants() -> Iterator[tuple[str, str, list[str]]]:
    """The policies with one clause changed: what was done, all the text, the actions to look at."""
    text = policy_text()
    for policy in re.finditer(r'@id\("([^"]+)"\).*?(?=@id\(|\Z)', text, re.DOTALL):
        named = re.findall(r'Action::"([^"]+)"', policy.group()) or sorted(PERMITS)
        condition = re.search(r"(?:when|unless) \{(.*?)\}", policy.group(), re.DOTALL)
        if condition is None:
            continue
        start = policy.start() + condition.start(1)
        for clause in re.finditer(r"[^&|]+", condition.group(1)):
            said = clause.group().strip()
            for other in (f" !({said}) ", " true "):
                before, after = text[: start + clause.start()], text[start + clause.end() :]
                yield f"{policy.group(1)}: {said} ->{other}", before + other + after, named


@pytest.mark.long
def test_a_slip_in_any_clause_of_any_policy_is_seen() -> None:
    requests = every_request()
    unseen = []
    for done, text, actions in mutants():
        policies = cedarpy.PolicySet.from_str(text)
        if not any(
            differs(policies, request, action) for request in requests for action in actions
        ):
            unseen.append(done)
    assert unseen == []


def test_every_policy_with_a_condition_is_turned_round() -> None:
    turned = {done.partition(":")[0] for done, _, _ in mutants()}
    assert {"officer-decides", "operator-grants", "cancels-own", "token-scope"} <= turned
    assert len(turned) == len(re.findall(r"(?:when|unless) \{", policy_text()))


def differs(policies: cedarpy.PolicySet, request: Request, action: str) -> bool:
    """Whether the reference sees that these policies are not the rules."""
    principal, resource = request
    asked, entities = request_of(principal, action, resource)
    allowed = cedarpy.is_authorized(asked, policies, entities).allowed
    return bool(allowed != permits(principal, action, resource))
