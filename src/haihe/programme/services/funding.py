"""What vouchers pay of the bills of jobs: compute asks here when it quotes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from haihe.compute.domain import Subsidy
from haihe.kernel.money import format_micro
from haihe.programme.models import Voucher
from haihe.programme.services.books import free_micro, voucher_account


class VoucherFunding:
    """Fills compute's socket: what a voucher on a contract may pay."""

    def subsidy(self, contract_id: UUID, *, at: datetime) -> tuple[Subsidy | None, str]:
        """The voucher's ratio and what is left of it, or why there is none."""
        voucher = (
            Voucher.objects.select_related("scheme")
            .filter(contract_id=contract_id, state=Voucher.State.RESERVED)
            .first()
        )
        if voucher is None:
            return None, "the contract has no reserved voucher: the firm pays all"
        account = voucher_account(voucher)
        ratio = voucher.scheme.rules.ratio_percent
        why = (
            f"voucher {voucher.number} pays {ratio} %, "
            f"{format_micro(free_micro(account))} are left of it"
        )
        subsidy = Subsidy(
            voucher.number, str(account.pk), voucher.scheme.asset, ratio, free_micro(account)
        )
        return subsidy, why
