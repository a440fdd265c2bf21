"""What balances are by definition, worked out from the list of all transfers each time.

It shares no code with the ledger: the slow and obvious way, for tests to compare with.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from haihe.ledger.domain import Balance, TransferRecord


def balance_by_definition(account_id: UUID, records: Iterable[TransferRecord]) -> Balance:
    """Settled credits less settled debits; and what unresolved pending transfers hold or bring."""
    records = list(records)
    settled = [record for record in records if record.kind in ("posted", "post")]
    resolved = {record.pending_id for record in records}
    waiting = [
        record
        for record in records
        if record.kind == "pending" and record.transfer_id not in resolved
    ]
    return Balance(
        sum(record.amount_micro for record in settled if record.credit_account_id == account_id)
        - sum(record.amount_micro for record in settled if record.debit_account_id == account_id),
        sum(record.amount_micro for record in waiting if record.debit_account_id == account_id),
        sum(record.amount_micro for record in waiting if record.credit_account_id == account_id),
    )
