"""Housekeeping of files: what an upload left that was broken off by a crash."""

from __future__ import annotations

from datetime import datetime, timedelta

from haihe.data.services import blob_store

DRAFT_LIFE = timedelta(days=1)


def forget_drafts(at: datetime) -> str:
    """Remove drafts of uploads that nobody can be writing to any more."""
    return f"{blob_store().remove_drafts(before=at - DRAFT_LIFE)} drafts removed"
