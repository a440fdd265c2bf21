"""Commands of compute, by subject: centres with pools and offers, contracts, quotes and jobs."""

from haihe.compute.cli.agents import agent
from haihe.compute.cli.centres import centre, offer, pool
from haihe.compute.cli.contracts import contract
from haihe.compute.cli.jobs import job, quote

__all__ = ["agent", "centre", "contract", "job", "offer", "pool", "quote"]
