"""Commands of compute, by subject: the network, centres, contracts, quotes and jobs."""

from haihe.compute.cli.agents import agent
from haihe.compute.cli.centres import centre, offer, pool
from haihe.compute.cli.contracts import contract
from haihe.compute.cli.jobs import job, quote
from haihe.compute.cli.network import account, allocation, maintenance, network

__all__ = [
    "account",
    "agent",
    "allocation",
    "centre",
    "contract",
    "job",
    "maintenance",
    "network",
    "offer",
    "pool",
    "quote",
]
