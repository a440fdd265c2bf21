"""Commands of the programme: plans and indicators, schemes and vouchers, scenarios."""

from __future__ import annotations

from haihe.programme.cli.plans import indicator, plan
from haihe.programme.cli.scenarios import scenario
from haihe.programme.cli.vouchers import scheme, voucher

__all__ = ["indicator", "plan", "scenario", "scheme", "voucher"]
