"""What accounts' codes, transfers' reasons and the books' rules are called on pages.

Codes and reasons are the words of the domains that open accounts and move money, and stable; this
table only translates. One that is not here is shown as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from haihe.kernel.texts import called
from haihe.ledger.domain import Rule
from haihe.ledger.models import Account
from haihe.ledger.services import EXTERNAL
from haihe.policy.names import Named

VOUCHER_CODE = "voucher-v-"
_PURPOSES: Mapping[str, str | Promise] = {
    "cash": _("Cash"),
    "external": _("Outside the books"),
    "voucher-burned": _("Vouchers paid out"),
    "voucher-issue": _("Vouchers issued"),
    "voucher-pool": _("Voucher pool"),
    "voucher-receivable": _("Vouchers received"),
}
_REASONS: Mapping[str, str | Promise] = {
    "burn-voucher": _("Vouchers taken out of use"),
    "deposit": _("Deposit"),
    "expired": _("Time ran out"),
    "fund-scheme": _("Voucher scheme funded"),
    "grant-voucher": _("Voucher granted"),
    "job-hold": _("Held for a job"),
    "job-settlement": _("Job settled"),
    "pay-voucher": _("Vouchers paid out"),
    "return-voucher": _("Rest of a voucher returned"),
}
RULES: Mapping[str, str | Promise] = {
    Rule.ASSET_SUM: _("All accounts of an asset sum to zero"),
    Rule.POSTED: _("A settled balance is what the transfers make"),
    Rule.HELD: _("Held funds are what the open transfers hold"),
    Rule.INCOMING: _("Incoming funds are what the open transfers announce"),
    Rule.FLOOR: _("No account lies below its floor"),
    Rule.ONE_ASSET: _("A transfer moves one asset"),
    Rule.RESOLVED_ONCE: _("A held transfer is resolved once"),
    Rule.RESOLUTION: _("A resolution agrees with what it resolves"),
    Rule.EXPIRY: _("What will expire is on the list, and nothing else is"),
}


def purpose_label(code: str) -> str | Promise:
    """What an account is for."""
    return _("Voucher") if code.startswith(VOUCHER_CODE) else _PURPOSES.get(code, code)


def account_label(account: Account, owners: Mapping[UUID, Named]) -> str:
    """What an account is called: its owner's part of the name in the reader's language."""
    owner = owners.get(account.owner_id) if account.owner_id else None
    if owner is not None:
        return account.name.replace(owner.name, called(owner), 1)
    if account.code == EXTERNAL:
        return gettext("Outside the books, in %(asset)s") % {"asset": account.asset}
    return account.name


def reason_label(reason: str) -> str | Promise:
    """Why money moved."""
    return _REASONS.get(reason, reason)
