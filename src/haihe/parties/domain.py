"""Rules about organisations and people that need no database."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import deque
from collections.abc import Iterable
from uuid import UUID

from haihe.kernel.errors import InvalidField
from haihe.parties.errors import BadCreditCode
from haihe.policy.domain import DUTIES, SCOPES, PlatformRole, Role

CREDIT_CODE_LENGTH = 18
# GB 32100-2015: digits and letters without I, O, S, V, Z.
_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_MODULUS = 31
TOKEN_PREFIX = "haihe_"  # noqa: S105 (a marker that secret scanners look for, not a secret)
RELATED_SHARE_PERCENT = 25
LINE_LENGTH = 200
PERSON_NAME_LENGTH = 80
TOKEN_NAME_LENGTH = 80
EMAIL_LENGTH = 254

# No control characters, and no lone surrogates, which no database stores.
_LINE = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
# A shape and no proof: whether somebody reads the mail, only sending one shows.
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")


def credit_code_check_digit(body: str) -> str:
    """The 18th character that GB 32100-2015 gives the first 17: weights 3^i modulo 31."""
    assert len(body) == CREDIT_CODE_LENGTH - 1
    total = sum(
        _ALPHABET.index(char) * pow(3, position, _MODULUS) for position, char in enumerate(body)
    )
    return _ALPHABET[-total % _MODULUS]


def check_credit_code(code: str) -> str:
    """Return a unified social credit code in upper case if it is well formed.

    Raises
    ------
    BadCreditCode
        If the length, a character, the district digits or the check digit is wrong; the error says
        which.
    """
    code = code.strip().upper()
    if len(code) != CREDIT_CODE_LENGTH:
        raise BadCreditCode(value=code[:40], reason=f"it has {len(code)} characters, not 18")
    wrong = next((char for char in code if char not in _ALPHABET), None)
    if wrong is not None:
        raise BadCreditCode(
            value=code, reason=f"the character {wrong!r} does not occur in credit codes"
        )
    if not code[2:8].isdigit():
        raise BadCreditCode(value=code, reason="characters 3 to 8 must be a district's digits")
    expected = credit_code_check_digit(code[:-1])
    if code[-1] != expected:
        raise BadCreditCode(
            value=code, reason=f"its check digit is {code[-1]}, computed is {expected}"
        )
    return code


def new_token() -> str:
    """A fresh API token: shown once, never stored."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """What is stored of a token or link. 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def check_scopes(scopes: Iterable[str]) -> list[str]:
    """Return the scopes in order, each once, if all are known and there is at least one."""
    wanted = sorted(set(scopes))
    unknown = [scope for scope in wanted if scope not in SCOPES]
    if unknown or not wanted:
        raise InvalidField(
            field="scopes", value=", ".join(unknown), rule="choose from " + ", ".join(SCOPES)
        )
    return wanted


def check_role(role: str) -> str:
    """Return the role if an organisation knows it."""
    if role not in list(Role):
        raise InvalidField(field="role", value=role[:20], rule="choose from " + ", ".join(Role))
    return role


def check_duties(duties: Iterable[str]) -> list[str]:
    """Return the duties, each once and in order, if installed packs know them."""
    wanted = sorted(set(duties))
    unknown = next((name for name in wanted if name not in DUTIES.duties), None)
    if unknown is not None:
        rule = "choose from " + (", ".join(DUTIES.duties) or "none: no pack has duties")
        raise InvalidField(field="duties", value=unknown[:60], rule=rule)
    return wanted


def check_platform_role(role: str) -> str:
    """Return the role if the platform knows it."""
    if role not in list(PlatformRole):
        rule = "choose from " + ", ".join(PlatformRole)
        raise InvalidField(field="role", value=role[:20], rule=rule)
    return role


def check_line(text: str, *, field: str, length: int = LINE_LENGTH) -> str:
    """Return ``text`` if it is one line of 1 to ``length`` characters and not blank."""
    if not text.strip() or len(text) > length or not _LINE.fullmatch(text):
        rule = f"give one line of 1 to {length} characters"
        raise InvalidField(field=field, value=text[:40], rule=rule)
    return text


def check_email(email: str) -> str:
    """Return an e-mail address in lower case if it has the shape of one."""
    email = email.strip().lower()
    if len(email) > EMAIL_LENGTH or not _EMAIL.fullmatch(email):
        raise InvalidField(field="email", value=email[:80], rule="give an e-mail address")
    return email


def related_through(
    a: UUID, b: UUID, shares: Iterable[tuple[UUID, UUID, int]], *, at_least_percent: int
) -> list[UUID] | None:
    """The chain of holdings that makes two organisations related, or None.

    Two organisations are related if one holds the other, or a third holds both, directly or
    through a chain, each link of at least ``at_least_percent``. A chain counts by its links and
    not by their product, as the State Taxation Administration's announcement 2016 No. 42 counts
    an indirect holding through an intermediary of 25 % or more.

    Parameters
    ----------
    shares : iterable of (owner, owned, percent)

    Returns
    -------
    list of UUID or None
        The organisations along the chain, from ``a`` to ``b``.
    """
    if a == b:
        return [a]
    owners: dict[UUID, list[UUID]] = {}
    for owner, owned, percent in shares:
        if percent >= at_least_percent:
            owners.setdefault(owned, []).append(owner)
    above_a, above_b = _paths_up(a, owners), _paths_up(b, owners)
    common = [org for org in above_a if org in above_b]
    if not common:
        return None
    top = min(common, key=lambda org: len(above_a[org]) + len(above_b[org]))
    return above_a[top] + above_b[top][-2::-1]


def _paths_up(start: UUID, owners: dict[UUID, list[UUID]]) -> dict[UUID, list[UUID]]:
    """For ``start`` and each organisation that holds it, the shortest chain up to it."""
    paths = {start: [start]}
    queue = deque([start])
    while queue:
        here = queue.popleft()
        for owner in owners.get(here, []):
            if owner not in paths:
                paths[owner] = [*paths[here], owner]
                queue.append(owner)
    return paths
