"""Accounts, deposits, the audit; the evidence log."""

from __future__ import annotations

from tests.policy.matrix.rows import get, post

_LIST = "account.read on list"
_HEADS = "evidence.list on anything"
_DEPOSIT = {"amount_micro": 5_000_000, "reference": "bank"}
_DEPOSIT_FORM = {"transfer_id": "{new-id}", "amount": "5", "reference": "bank"}
# The log is longer than one page: these are the entries that it is asked for.
_DRAWN_UP, _IMPORTED = "kind=contract.drawn_up", "kind=plan.imported"

API = [
    get("api:list_accounts", _LIST, shows="account"),
    get("api:list_accounts", "account.read on account", query="owner={own-id}"),
    get("api:read_statement", "account.read on account", account_id="account", shows="reference"),
    post(
        "api:deposit",
        "account.deposit on account",
        account_id="account",
        body=_DEPOSIT,
        then=201,
    ),
    get("api:audit_ledger", "ledger.audit on anything"),
    get("api:read_evidence_head", _HEADS),
    get("api:list_checkpoints", _HEADS),
    get("api:list_evidence_keys", _HEADS),
    post("api:rotate_evidence_key", "evidence.rotate_key on anything", then=201),
    get("api:list_evidence", _HEADS, query=_DRAWN_UP, shows="entry"),
    get("api:list_evidence", _HEADS, query=_IMPORTED, shows="platform-entry"),
    get("api:read_evidence", "evidence.read on entry", entry_id="entry", shows="entry-content"),
    get("api:prove_inclusion", _HEADS, entry_id="entry", shows="entry-content"),
    get("api:prove_consistency", _HEADS, query="first=1&second=2"),
    post("api:verify_evidence", "evidence.verify on anything"),
]

PAGES = [
    get("ledger:accounts", _LIST, shows="account"),
    get("ledger:accounts", "account.read|account.deposit on account", query="owner={own-id}"),
    get("ledger:statement", "account.read on account", account_id="account", shows="reference"),
    get("ledger:deposit", "account.deposit on account", account_id="account"),
    post("ledger:deposit", "account.deposit on account", account_id="account", body=_DEPOSIT_FORM),
    get("ledger:audit", "ledger.audit on anything"),
    get("evidence:log", _HEADS, query=_DRAWN_UP, shows="entry"),
    get("evidence:log", _HEADS, query=_IMPORTED, shows="platform-entry"),
    get("evidence:entry", _HEADS, entry_id="entry", shows="entry-content"),
    get("evidence:proof", _HEADS, entry_id="entry", shows="entry-content"),
    get("evidence:checkpoints", _HEADS),
    post("evidence:rotate_key", "evidence.rotate_key on anything"),
    get("evidence:verify", _HEADS),
    post("evidence:verify", "evidence.verify on anything"),
]
