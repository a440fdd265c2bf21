"""HTTP routes of compute, by subject: centres, contracts, jobs."""

from ninja import Router

from haihe.compute.api import centres, contracts, jobs

router = Router(tags=["compute"])
for _part in (centres, contracts, jobs):
    router.add_router("", _part.router)
