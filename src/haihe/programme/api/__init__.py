"""HTTP routes of the programme: plans and indicators, schemes and vouchers, scenarios."""

from __future__ import annotations

from ninja import Router

from haihe.programme.api.plans import router as plans
from haihe.programme.api.scenarios import router as scenarios
from haihe.programme.api.vouchers import router as vouchers

router = Router(tags=["programme"])
router.add_router("", plans)
router.add_router("", vouchers)
router.add_router("", scenarios)
