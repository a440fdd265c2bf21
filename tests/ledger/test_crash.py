"""A process killed in the middle of a transfer leaves books without it, or with the whole of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults

START = """
import django
django.setup()
from uuid import UUID
from django.core.management import call_command
from haihe.ledger.domain import Kind
from haihe.ledger.models import Transfer
from haihe.ledger.services import audit, external_account, transfer
from haihe.policy.domain import system_principal
from tests.ledger.factories import balance, open_cash, pending, posted, resolve

def accounts():
    return [open_cash(name, owner_id=UUID(int=n)) for n, name in enumerate(["Payer", "Payee"])]

def pay():
    payer, payee = accounts()
    hold = pending(payer.pk, payee.pk, 700, transfer_id=UUID(int=3))
    post = resolve(Kind.POST, hold.transfer_id, transfer_id=UUID(int=4), amount_micro=500)
    transfer([hold, post])

def look():
    payer, payee = accounts()
    balanced = audit(system_principal("test")).balanced
    print(Transfer.objects.count(), balance(payer), balance(payee), balanced)
"""
FUND = """
call_command("migrate", verbosity=0)
transfer([posted(external_account("CNY").pk, accounts()[0].pk, 1_000)])
"""


def python(code: str, home: Path, *, crash_at: str = "") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "HAIHE_HOME": str(home),
        "HAIHE_DATABASE_URL": "",
        "DJANGO_SETTINGS_MODULE": "haihe.app.settings",
    }
    if crash_at:
        environment["HAIHE_CRASH_AT"] = crash_at
    return subprocess.run(
        [sys.executable, "-c", START + code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def funded_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("funded")
    done = python(FUND, home)
    assert done.returncode == 0, done.stderr
    return home


@pytest.mark.parametrize(
    ("crash_at", "after"),
    [
        ("ledger.transferred:1", "1 (1000, 0, 0) (0, 0, 0) True"),
        # Looking the two accounts up passes the points of a unit of work twice.
        ("work.before_commit:3", "1 (1000, 0, 0) (0, 0, 0) True"),
        ("work.after_commit:3", "3 (500, 0, 0) (500, 0, 0) True"),
    ],
)
def test_a_kill_undoes_all_of_a_transfer_or_none(
    funded_home: Path, tmp_path: Path, crash_at: str, after: str
) -> None:
    home = tmp_path / "home"
    shutil.copytree(funded_home, home)
    assert python("pay()", home, crash_at=crash_at).returncode == -signal.SIGKILL
    seen = python("look(); pay(); look()", home).stdout.splitlines()
    assert seen[0] == after
    assert seen[1] == "3 (500, 0, 0) (500, 0, 0) True", "the same call completes what is missing"
