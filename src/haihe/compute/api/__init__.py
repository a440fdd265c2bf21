"""HTTP routes of compute, by subject: centres, contracts, jobs, the network."""

from ninja import Router

from haihe.compute.api import centres, contracts, jobs, network

router = Router(tags=["compute"])
for _part in (centres, contracts, jobs, network):
    router.add_router("", _part.router)
