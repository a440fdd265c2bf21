"""Full disk, read-only home, clock set back: a named error meanwhile, and nothing lost afterwards.

Each runs the whole scenario into the accident, asks the command line and the API what they say of
it, takes the accident away, and then finishes and checks the scenario: every transfer balances, the
evidence verifies, no job is lost or paid twice, and the outbox has caught up.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from haihe.parties.domain import credit_code_check_digit
from tests.faults.conftest import WORKERS
from tests.faults.harness import UNAVAILABLE, WITHOUT_OVERRIDE, Nursery, copy_home, crash_points

pytestmark = pytest.mark.faults

DISK_BYTES = 48 << 20
# A disk so small has less room than the setting asks for by default.
SMALL = {"HAIHE_DISK_MINIMUM_BYTES": "1000000"}
NAME = "kernel.storage_unavailable"
ORGANISATION = {
    "slug": "new",
    "name": "new",
    "kind": "enterprise",
    "credit_code": "91120111MADEM0004C",
}
INSTALL = "mounting is not allowed here: run as root, in a container with --cap-add SYS_ADMIN"


@pytest.fixture
def nursery(nurseries: Queue[Nursery]) -> Iterator[Nursery]:
    taken = nurseries.get()
    yield taken
    nurseries.put(taken)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "haihe-faults", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip(INSTALL)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextmanager
def filled(disk: Path, *, but_bytes: int = 0) -> Iterator[None]:
    """Fill a disk to the last byte, or to so many before it."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4_096))
        except OSError as error:
            assert error.errno == errno.ENOSPC
        file.truncate(max(0, file.tell() - but_bytes))
    yield
    ballast.unlink()


def says_what_is_wrong(nursery: Nursery, home: Path, **environment: str) -> None:
    """A command and a request that must write fail with a name; those that read do not crash."""
    create = ("org", "create", "new", "--name", "new", "--kind", "enterprise", "--yes")
    code, said = nursery.command(
        home,
        "--as",
        "firm@haihe.test",
        *create,
        "--credit-code",
        "91120111MADEM0004C",
        **environment,
    )
    assert code == UNAVAILABLE, said
    assert NAME in said
    assert "Traceback" not in said
    status, answer = nursery.call(home, "/api/v1/organisations", ORGANISATION, **environment)
    assert (status, answer["code"]) == (503, NAME)
    status, answer = nursery.call(home, "/api/v1/organisations", **environment)
    assert status == 200 or (status, answer["code"]) == (503, NAME)
    code, said = nursery.command(home, "ledger", "audit", **environment)
    assert code == 0 or (code, NAME in said) == (UNAVAILABLE, True)
    assert "Traceback" not in said
    status, answer = nursery.call(home, "/health/ready", **environment)
    assert status == 503
    states = {name: line["state"] for name, line in answer["checks"].items()}
    assert "failed" in (states["database"], states["disk"])


def recovers(nursery: Nursery, home: Path, **environment: str) -> None:
    """What was begun is finished, and all holds that must hold; commands and requests work."""
    assert nursery.run("check", home, **environment) == 0
    code, said = nursery.command(home, "ledger", "audit", **environment)
    assert code == 0, said
    code, said = nursery.command(home, "evidence", "verify", **environment)
    assert code == 0, said
    assert nursery.call(home, "/api/v1/organisations", ORGANISATION, **environment)[0] == 201


def test_a_full_disk(nursery: Nursery, prepared: Path, disk: Path) -> None:
    home = copy_home(prepared, disk / "home")
    with filled(disk):
        assert nursery.run("run", home, **SMALL) == UNAVAILABLE
        says_what_is_wrong(nursery, home, **SMALL)
    recovers(nursery, home, **SMALL)


@pytest.mark.parametrize("room_kib", [16, 64, 128, 256, 512, 768, 1_024, 1_536])
def test_a_disk_that_runs_full_on_the_way(
    room_kib: int, nursery: Nursery, prepared: Path, disk: Path
) -> None:
    home = copy_home(prepared, disk / "home")
    with filled(disk, but_bytes=room_kib << 10):
        code = nursery.run("run", home, HAIHE_DISK_MINIMUM_BYTES="0")
        assert code in (0, UNAVAILABLE)
    recovers(nursery, home, **SMALL)


def test_a_job_that_fills_the_disk(nursery: Nursery, prepared: Path, disk: Path) -> None:
    home = copy_home(prepared, disk / "home")
    assert nursery.run("fill", home, **SMALL) == 0


def test_a_disk_that_takes_no_byte_more(nursery: Nursery, prepared: Path, tmp_path: Path) -> None:
    """The same by a limit on files, where a disk of one's own may not be mounted."""
    home = copy_home(prepared, tmp_path / "home")
    full = {"FAULTS_FILE_BYTES": "0"}
    assert nursery.run("run", home, **full) == UNAVAILABLE
    says_what_is_wrong(nursery, home, **full, HAIHE_DISK_MINIMUM_BYTES=str(10**18))
    recovers(nursery, home)


def test_a_home_on_a_disk_that_went_read_only(nursery: Nursery, prepared: Path, disk: Path) -> None:
    home = copy_home(prepared, disk / "home")
    remount(disk, "ro")
    try:
        assert nursery.run("run", home, **SMALL) == UNAVAILABLE
        says_what_is_wrong(nursery, home, **SMALL)
    finally:
        remount(disk, "rw")
    recovers(nursery, home, **SMALL)


def remount(disk: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(disk)], check=True)


def test_a_home_without_the_right_to_write(prepared: Path, tmp_path: Path) -> None:
    home = copy_home(prepared, tmp_path / "home")
    nursery = Nursery(*WITHOUT_OVERRIDE)
    try:
        set_modes(home, folders=0o500, files=0o400)
        assert nursery.run("run", home) == UNAVAILABLE
        says_what_is_wrong(nursery, home)
        set_modes(home, folders=0o700, files=0o600)
        recovers(nursery, home)
    finally:
        set_modes(home, folders=0o700, files=0o600)
        nursery.close()


def set_modes(home: Path, *, folders: int, files: int) -> None:
    for root, _, names in os.walk(home):
        for name in names:
            Path(root, name).chmod(files)
        Path(root).chmod(folders)


def test_a_deliberate_restore_of_an_older_copy(
    nursery: Nursery, prepared: Path, tmp_path: Path
) -> None:
    """What ``docs/how-to/back-up.md`` says will be seen, and what it says to do."""
    home = copy_home(prepared, tmp_path / "home")
    assert nursery.run("check", home) == 0
    for name in ("haihe.sqlite3", "haihe.sqlite3-wal", "haihe.sqlite3-shm"):
        (home / name).unlink(missing_ok=True)
        if (prepared / name).exists():
            shutil.copy2(prepared / name, home / name)
    code, said = nursery.command(home, "evidence", "verify")
    assert (code, "older copy" in said) == (9, True)
    assert nursery.run("run", home) == 0, "work goes on"
    assert nursery.command(home, "evidence", "verify")[0] == 9, "and wipes nothing out"
    witness = home / "evidence" / "witness.jsonl"
    witness.rename(tmp_path / "witness-before-restore.jsonl")
    (home / "evidence.jsonl.trust").unlink()
    recovers(nursery, home)


# --- the clock -----------------------------------------------------------------------------------

BEFORE, LATER, BACK = ({"FAULTS_CLOCK": time} for time in ("08:00", "12:00", "09:00"))


@pytest.fixture(scope="session")
def early(nurseries: Queue[Nursery], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home prepared before the time that the clock is set back to."""
    home = tmp_path_factory.mktemp("early") / "home"
    home.mkdir()
    nursery = nurseries.get()
    assert nursery.run("prepare", home, **BEFORE) == 0
    nurseries.put(nursery)
    return home


def test_a_clock_set_back_while_work_was_broken_off(
    nurseries: Queue[Nursery], early: Path, tmp_path: Path
) -> None:
    """Leases and pauses that seem to end hours from now keep nobody waiting."""

    def one(point: str) -> tuple[str, int, int]:
        home = copy_home(early, tmp_path / point)
        nursery = nurseries.get()
        killed = nursery.run("run", home, HAIHE_CRASH_AT=point, **LATER)
        checked = nursery.run("check", home, **BACK)
        nurseries.put(nursery)
        return point, killed, checked

    with ThreadPoolExecutor(WORKERS) as pool:
        outcomes = list(pool.map(one, crash_points()))
    assert outcomes == [(point, -signal.SIGKILL, 0) for point in crash_points()]


def test_what_a_clock_set_back_does_to_times_and_order(
    nursery: Nursery, early: Path, tmp_path: Path
) -> None:
    home = copy_home(early, tmp_path / "home")
    assert nursery.run("check", home, **LATER) == 0
    asked(nursery, home, "/organisations", LATER, body=organisation("later", "5"))
    newest = asked(nursery, home, "/evidence/checkpoints", LATER)["items"][0]
    known = statement(nursery, home, LATER)

    asked(nursery, home, "/organisations", BACK, body=organisation("new", "6"))
    deposit = {"amount_micro": 1_000_000, "reference": "bank"}
    account = known["account"]["id"]
    asked(nursery, home, f"/accounts/{account}/deposits", BACK, body=deposit)
    checkpoint = asked(nursery, home, "/evidence/checkpoints", BACK)["items"][0]
    assert checkpoint["size"] > newest["size"]
    assert checkpoint["at"] == newest["at"], "time in the log stands, and never runs back"
    now = statement(nursery, home, BACK)
    assert now["items"][1:] == known["items"], "a statement is in the order of the books"
    assert now["items"][0]["at"] < known["items"][0]["at"]
    assert now["closing_micro"] == known["closing_micro"] + 1_000_000
    code, said = nursery.command(
        home, *STATEMENT, account, "--as-of", known["as_of"], "--json", **BACK
    )
    assert (code, "time in the past" in said) == (2, True)
    slugs = [item["slug"] for item in everything(nursery, home, "/organisations", BACK)]
    assert slugs == ["later", "new", "office", "seller", "firm"], "all of them, and each once"
    for check in (("ledger", "audit"), ("evidence", "verify")):
        assert nursery.command(home, *check, **BACK)[0] == 0


STATEMENT = ("--as", "firm@haihe.test", "ledger", "statement")


def organisation(slug: str, digit: str) -> dict[str, str]:
    code = f"91120116MAFAX100{digit}"
    whole = code + credit_code_check_digit(code)
    return {"slug": slug, "name": slug, "kind": "enterprise", "credit_code": whole}


def asked(
    nursery: Nursery,
    home: Path,
    path: str,
    clock: dict[str, str],
    body: dict[str, Any] | None = None,
) -> dict[str, Any]:
    status, answer = nursery.call(home, f"/api/v1{path}", body, **clock)
    assert status in (200, 201), answer
    return answer


def statement(nursery: Nursery, home: Path, clock: dict[str, str]) -> dict[str, Any]:
    """The statement of the firm's money, as the firm reads it."""
    code, said = nursery.command(home, *STATEMENT[:3], "accounts", "--json", **clock)
    assert code == 0, said
    [account] = [item["id"] for item in json.loads(said)["items"] if item["code"] == "cash"]
    code, said = nursery.command(home, *STATEMENT, account, "--json", **clock)
    assert code == 0, said
    found: dict[str, Any] = json.loads(said)
    return found


def everything(
    nursery: Nursery, home: Path, path: str, clock: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """All items of a list, two to a page."""
    cursor = ""
    while cursor is not None:
        page = asked(nursery, home, f"{path}?limit=2&cursor={cursor}", clock)
        yield from page["items"]
        cursor = page["next_cursor"]
