"""Housekeeping of signing in: sessions, invitations and tokens that open nothing any more."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.sessions.models import Session

from haihe.kernel.settings import load_settings
from haihe.kernel.tasks import remove
from haihe.parties.models import ApiToken, Invitation


def forget_expired(at: datetime) -> str:
    """Remove sessions that ended, and invitations and tokens that ran out some time ago.

    Who became a member by which hand is in the evidence log; the invitation is not needed for it.
    """
    before = at - timedelta(days=load_settings().retention_days)
    sessions = Session.objects.filter(expire_date__lt=at)
    invitations = Invitation.objects.filter(expires_at__lt=before)
    tokens = ApiToken.objects.filter(expires_at__lt=before)
    return (
        f"{remove(sessions)} sessions, {remove(invitations)} invitations, "
        f"{remove(tokens)} tokens removed"
    )
