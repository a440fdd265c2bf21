"""Identifiers: UUIDv7 for what machines name, slugs for what people name."""

from __future__ import annotations

import re
from uuid import UUID

import uuid_utils.compat

from haihe.kernel.errors import InvalidField, MissingRecord

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
SLUG_LENGTH = 80


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562): unique, and nearly ordered by time, so that indexes stay compact."""
    return uuid_utils.compat.uuid7()


def parse_id(text: str | UUID, *, kind: str) -> UUID:
    """Read an id that came from outside.

    Raises
    ------
    MissingRecord
        If ``text`` is no UUID: an id that cannot exist reads like one that does not.
    """
    if isinstance(text, UUID):
        return text
    try:
        return UUID(text)
    except (ValueError, AttributeError, TypeError):
        raise MissingRecord(kind=kind, id=str(text)[:64]) from None


def check_slug(text: str, *, field: str) -> str:
    """Return ``text`` if it is a slug: lower-case ASCII words joined by single hyphens."""
    if len(text) > SLUG_LENGTH or not _SLUG.fullmatch(text):
        raise InvalidField(
            field=field,
            value=text[:SLUG_LENGTH],
            rule="give up to 80 lower-case letters, digits and single hyphens, as in tj-centre-1",
        )
    return text
