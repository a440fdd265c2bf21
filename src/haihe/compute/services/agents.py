"""Agents: who may speak for a centre, and how one joins."""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass
from datetime import timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from haihe.compute.agent.signing import signed_text
from haihe.compute.domain import AttemptState, EndReason
from haihe.compute.errors import AgentUnknown, CentreBusy, EnrolmentRefused
from haihe.compute.models import Agent, Attempt, Centre, Enrolment
from haihe.compute.services.centres import find_centre
from haihe.compute.services.embedded import EMBEDDED
from haihe.compute.services.settlement import AttemptEnd, end_attempt
from haihe.evidence.services import record
from haihe.kernel.clock import now
from haihe.kernel.errors import HaiheError, MissingRecord
from haihe.kernel.ids import parse_id
from haihe.kernel.work import unit_of_work
from haihe.policy.domain import Principal, system_principal
from haihe.policy.services import authorize

ENROLMENT_LIFE = timedelta(days=1)
KEY_BYTES = 32


@dataclass(frozen=True)
class NewEnrolment:
    """A one-time token, shown this once."""

    centre: Centre
    token: str
    enrolment: Enrolment


def invite_agent(principal: Principal, centre_slug: str) -> NewEnrolment:
    """Make a one-time token with which an agent can join a centre within a day."""
    centre = find_centre(principal, centre_slug)
    authorize(principal, "centre.update", centre.resource())
    token = secrets.token_urlsafe(32)
    with unit_of_work():
        enrolment = Enrolment.objects.create(
            centre=centre,
            token_hash=_hash(token),
            expires_at=now() + ENROLMENT_LIFE,
            created_by_id=principal.person_id,
        )
        _record(
            "agent.invited", principal, centre, {"expires_at": enrolment.expires_at.isoformat()}
        )
    return NewEnrolment(centre, token, enrolment)


def enrol_agent(token: str, public_key: str) -> Agent:
    """Let an agent join with its token and the public part of a key that it made itself.

    It takes the place of the agent before it, which must have nothing left to look after.

    Raises
    ------
    EnrolmentRefused
        If the token is unknown, used or expired, or the key is none.
    CentreBusy
        If attempts are unfinished that the agent before it looks after.
    """
    _check_key(public_key)
    with unit_of_work():
        found = (
            Enrolment.objects.select_for_update()
            .filter(token_hash=_hash(token), used_at=None, expires_at__gt=now())
            .first()
        )
        if found is None:
            raise EnrolmentRefused(reason="its token is unknown, was used, or has expired")
        centre = Centre.objects.select_for_update().get(pk=found.centre_id)
        unfinished = Attempt.objects.unfinished().filter(
            pool__centre=centre, claimed_at__isnull=False
        )
        if unfinished.exists():
            raise CentreBusy(centre=centre.slug, unfinished=unfinished.count())
        Agent.objects.in_force().filter(centre=centre).update(revoked_at=now())
        agent = Agent.objects.create(centre=centre, public_key=public_key)
        found.used_at = now()
        found.save(update_fields=["used_at"])
        _record("agent.enrolled", system_principal("agent"), centre, {"public_key": public_key})
    return agent


def revoke_agent(principal: Principal, centre_slug: str) -> Agent:
    """Hear a centre's agent no more; what it looks after stays its own until another joins."""
    centre = find_centre(principal, centre_slug)
    authorize(principal, "centre.update", centre.resource())
    with unit_of_work():
        agent = Agent.objects.in_force().select_for_update().filter(centre=centre).first()
        if agent is None:
            raise MissingRecord(kind="agent", id=centre_slug)
        agent.revoked_at = now()
        agent.save(update_fields=["revoked_at"])
        _record("agent.revoked", principal, centre, {"public_key": agent.public_key})
    return agent


def give_up_attempts(principal: Principal, centre_slug: str) -> int:
    """End what a centre's last agent had, as lost: it runs elsewhere, and is not paid for.

    For a centre that is gone for good. Its agent must have been revoked, so that none of it can
    come back and be heard.

    Raises
    ------
    CentreBusy
        If an agent in force may still report it.
    """
    centre = find_centre(principal, centre_slug)
    authorize(principal, "centre.update", centre.resource())
    unfinished = Attempt.objects.unfinished().filter(pool__centre=centre, claimed_at__isnull=False)
    if Agent.objects.in_force().filter(centre=centre).exists():
        raise CentreBusy(centre=centre.slug, unfinished=unfinished.count())
    ended = 0
    for pk in list(unfinished.values_list("pk", flat=True)):
        with unit_of_work():
            end = AttemptEnd(
                state=AttemptState.LOST, reason=EndReason.LOST, message="its centre is gone"
            )
            ended += end_attempt(pk, end) is not None
    with unit_of_work():
        _record("agent.gave_up", principal, centre, {"attempts": str(ended)})
    return ended


def find_agent(principal: Principal, centre_slug: str) -> Agent | None:
    """The agent that speaks for a centre, for those who run it."""
    centre = find_centre(principal, centre_slug)
    authorize(principal, "centre.update", centre.resource())
    return Agent.objects.in_force().filter(centre=centre).first()


def authenticate_agent(
    agent_id: str, *, method: str, path: str, content_sha256: str, signature: str
) -> Agent:
    """The agent that signed a request.

    Raises
    ------
    AgentUnknown
        If there is no such agent, it was revoked, or the signature is not its own.
    """
    try:
        pk = parse_id(agent_id, kind="agent")
    except HaiheError:
        raise AgentUnknown from None
    found = Agent.objects.in_force().select_related("centre").filter(pk=pk).first()
    if found is None or found.public_key.startswith(EMBEDDED):
        raise AgentUnknown
    try:
        key = Ed25519PublicKey.from_public_bytes(b64decode(found.public_key, validate=True))
        key.verify(b64decode(signature, validate=True), signed_text(method, path, content_sha256))
    except (InvalidSignature, Base64Error, ValueError):
        raise AgentUnknown from None
    return found


def _check_key(public_key: str) -> None:
    try:
        good = len(b64decode(public_key, validate=True)) == KEY_BYTES
    except (Base64Error, ValueError):
        good = False
    if not good:
        raise EnrolmentRefused(reason="its key is no Ed25519 public key in base 64")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _record(kind: str, principal: Principal, centre: Centre, data: dict[str, str]) -> None:
    record(
        kind,
        subject=f"centre:{centre.pk}",
        actor=principal,
        data=data,
        parties=[centre.operator_id],
    )
