"""Centres, their pools and agents, and the network over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from haihe.client.http import Record
from haihe.client.subjects import Subject, part, pool_part, record


class Centres(Subject):
    """Centres, who may do what at them, and the agents that speak for them."""

    def list(self) -> Iterator[Record]:
        """All centres with their pools and prices."""
        return self.http.pages("/centres")

    def get(self, slug: str) -> Record:
        """A centre."""
        return record(self.http.get(f"/centres/{part(slug)}"))

    def create(self, **card: Any) -> Record:
        """Connect a centre, for a manager of its operator."""
        return record(self.http.post("/centres", card))

    def terms(self, slug: str) -> Record:
        """What an operator says of a centre besides its name, with the ETag for an edit."""
        return record(self.http.get(f"/centres/{part(slug)}/terms"))

    def set_terms(self, slug: str, *, etag: str | None = None, **terms: Any) -> Record:
        """Say anew where it is, how clean its power is, how fast data gets there."""
        return record(self.http.put(f"/centres/{part(slug)}/terms", terms, etag=etag))

    def network(self) -> Record:
        """Every centre and pool as it is now: state, use, queue, price, power, age."""
        return record(self.http.get("/network"))

    def history(self, pool: str, *, hours: int = 168) -> Mapping[str, Sequence[Record]]:
        """What was measured of ``centre/pool``, by metric, the oldest first."""
        return record(self.http.get(f"/centres/{pool_part(pool)}/history", hours=hours))

    def accounts(self, slug: str) -> Sequence[Record]:
        """Who people are in the centre's scheduler."""
        return [*self.http.get(f"/centres/{part(slug)}/accounts")]

    def set_account(
        self, slug: str, *, email: str, user: str, account: str = "", qos: str = ""
    ) -> Record:
        """Say who a person is in the centre's scheduler."""
        body = {"email": email, "user": user, "account": account, "qos": qos}
        return record(self.http.put(f"/centres/{part(slug)}/accounts", body))

    def drop_account(self, slug: str, email: str) -> None:
        """Forget who a person is there."""
        self.http.delete(f"/centres/{part(slug)}/accounts/{part(email)}")

    def agent(self, slug: str) -> Record | None:
        """The agent that speaks for it; nothing while that is the platform's own process."""
        found: Record | None = self.http.get(f"/centres/{part(slug)}/agent")
        return found

    def invite_agent(self, slug: str) -> Record:
        """Make a one-time token with which an agent joins."""
        return record(self.http.post(f"/centres/{part(slug)}/agent/invite"))

    def revoke_agent(self, slug: str) -> Record:
        """Hear the agent no more."""
        return record(self.http.post(f"/centres/{part(slug)}/agent/revoke"))

    def give_up(self, slug: str) -> Record:
        """End as lost what a revoked agent had taken."""
        return record(self.http.post(f"/centres/{part(slug)}/agent/give-up"))


class Pools(Subject):
    """Pools, by their path ``centre/pool``."""

    def list(self, centre: str) -> Sequence[Record]:
        """The pools of a centre."""
        return [*self.http.get(f"/centres/{part(centre)}/pools")]

    def get(self, pool: str) -> Record:
        """A pool with its price."""
        return record(self.http.get(f"/centres/{pool_part(pool)}"))

    def create(self, centre: str, **card: Any) -> Record:
        """Describe a pool of a centre."""
        return record(self.http.post(f"/centres/{part(centre)}/pools", card))

    def terms(self, pool: str) -> Record:
        """What an operator says of ``centre/pool``, with the ETag for an edit."""
        return record(self.http.get(f"/centres/{pool_part(pool)}/terms"))

    def set_terms(self, pool: str, *, etag: str | None = None, **terms: Any) -> Record:
        """Say anew how it is reached, what it has, and whom it takes."""
        return record(self.http.put(f"/centres/{pool_part(pool)}/terms", terms, etag=etag))

    def open(self, pool: str) -> Record:
        """Take jobs."""
        return record(self.http.post(f"/centres/{pool_part(pool)}/open"))

    def drain(self, pool: str) -> Record:
        """Take no more jobs; what runs goes on."""
        return record(self.http.post(f"/centres/{pool_part(pool)}/drain"))

    def offers(self, pool: str) -> Iterator[Record]:
        """Its prices, the newest first."""
        return self.http.pages(f"/centres/{pool_part(pool)}/offers")

    def set_offer(self, pool: str, **prices: int) -> Record:
        """Set new prices; open quotes keep theirs."""
        return record(self.http.post(f"/centres/{pool_part(pool)}/offers", prices))

    def maintenance(self, pool: str) -> Sequence[Record]:
        """What is planned."""
        return [*self.http.get(f"/centres/{pool_part(pool)}/maintenance")]

    def plan_maintenance(self, pool: str, *, begins_at: str, ends_at: str, reason: str) -> Record:
        """Plan a time in which no job is placed that would still run in it."""
        body = {"begins_at": begins_at, "ends_at": ends_at, "reason": reason}
        return record(self.http.post(f"/centres/{pool_part(pool)}/maintenance", body))

    def withdraw_maintenance(self, maintenance_id: str) -> Record:
        """Call a maintenance off."""
        return record(self.http.post(f"/maintenance/{part(maintenance_id)}/withdraw"))

    def allocations(self, pool: str) -> Sequence[Record]:
        """How much organisations may use of it, and what they used."""
        return [*self.http.get(f"/centres/{pool_part(pool)}/allocations")]

    def set_allocation(self, pool: str, **allocation: Any) -> Record:
        """Say how much an organisation may use of it in a period."""
        return record(self.http.put(f"/centres/{pool_part(pool)}/allocations", allocation))
