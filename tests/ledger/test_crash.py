"""A process killed in the middle of a transfer leaves books without it, or with the whole of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults

MIGRATE = """
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
"""
SETUP = """
import django
django.setup()
from uuid import UUID
from haihe.ledger.domain import Kind
from haihe.ledger.models import Account, Transfer
from haihe.ledger.services import audit, transfer
from haihe.policy.domain import system_principal
from tests.ledger.factories import balance, open_cash, pending, resolve

payer = open_cash("Payer", owner_id=UUID(int=1))
payee = open_cash("Payee", owner_id=UUID(int=2))
hold = pending(payer.pk, payee.pk, 700, transfer_id=UUID(int=3))
post = resolve(Kind.POST, hold.transfer_id, transfer_id=UUID(int=4), amount_micro=500)
"""
FUND = SETUP + """
from tests.ledger.factories import posted
from haihe.ledger.services import external_account
transfer([posted(external_account("CNY").pk, payer.pk, 1_000, transfer_id=UUID(int=5))])
"""
PAY = SETUP + """
transfer([hold, post])
"""
LOOK = SETUP + """
rows = Transfer.objects.filter(transfer_id__in=[hold.transfer_id, post.transfer_id]).count()
print(rows, balance(payer), balance(payee), audit(system_principal("test")).balanced)
"""


def python(code: str, home: Path, crash_at: str = "") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "HAIHE_HOME": str(home),
        "HAIHE_DATABASE_URL": "",
        "DJANGO_SETTINGS_MODULE": "haihe.app.settings",
    }
    if crash_at:
        environment["HAIHE_CRASH_AT"] = crash_at
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("crash_at", "survives"),
    [("ledger.transferred", False), ("work.before_commit", False), ("work.after_commit", True)],
)
def test_a_kill_undoes_all_of_a_transfer_or_none(
    tmp_path: Path, crash_at: str, survives: bool
) -> None:
    assert python(MIGRATE, tmp_path).returncode == 0
    assert python(FUND, tmp_path).returncode == 0
    # Opening both accounts passes the points of a unit of work twice.
    count = 1 if crash_at.startswith("ledger") else 3
    assert python(PAY, tmp_path, f"{crash_at}:{count}").returncode == -signal.SIGKILL
    after = "2 (500, 0, 0) (500, 0, 0) True" if survives else "0 (1000, 0, 0) (0, 0, 0) True"
    assert python(LOOK, tmp_path).stdout.strip() == after
    assert python(PAY, tmp_path).returncode == 0, "and the same call completes what is missing"
    assert python(LOOK, tmp_path).stdout.strip() == "2 (500, 0, 0) (500, 0, 0) True"
