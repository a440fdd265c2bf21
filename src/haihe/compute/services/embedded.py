"""The embedded default: the platform's own process speaks for centres that have no agent."""

from __future__ import annotations

from haihe.compute.models import Agent, Centre
from haihe.kernel.clock import now

EMBEDDED = "embedded:"


def embed_agent(centre: Centre) -> Agent:
    """In the open unit of work: let the platform's own process speak for a centre without agent."""
    agent = Agent.objects.in_force().filter(centre=centre).first()
    if agent is not None:
        return agent
    return Agent.objects.create(centre=centre, public_key=f"{EMBEDDED}{centre.pk}", seen_at=now())


def embedded_agents() -> list[Agent]:
    """The agents that run inside the platform's own process."""
    return list(
        Agent.objects.in_force()
        .filter(public_key__startswith=EMBEDDED)
        .select_related("centre")
        .order_by("centre__slug")
    )
