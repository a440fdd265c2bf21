"""What every back-end promises, tried on real runs of small commands."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest

from haihe.compute.backends import (
    Handle,
    LogChunk,
    RunState,
    RunStatus,
    Submitted,
    WorkOrder,
    landlock,
)
from haihe.compute.domain import EndReason
from tests.contracts.sites import PATIENCE_S, SITES, Site, lives, wait_until

MIB = 1024**2
Test = TypeVar("Test", bound=Callable[..., Any])


def needs(*abilities: str) -> Callable[[Test], Test]:
    """Run a test on those sites only that can do all of this."""

    def mark(test: Test) -> Test:
        test.needs = frozenset(abilities)  # type: ignore[attr-defined]
        return test

    return mark


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "site" not in metafunc.fixturenames:
        return
    needed = getattr(metafunc.function, "needs", frozenset())
    names = [
        name if name == "local" else pytest.param(name, marks=pytest.mark.integration)
        for name, site in SITES.items()
        if needed <= site.can
    ]
    metafunc.parametrize("site", names, indirect=True)


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    return SITES[request.param](tmp_path.resolve(), request.config)  # type: ignore[call-arg]


_numbers = count(1)
_session = secrets.token_hex(4)


def order(
    site: Site,
    *command: str,
    environment: Mapping[str, str] | None = None,
    cpu_limit_s: int = 30,
    memory_bytes: int = 512 * MIB,
    wall_s: int = 30,
    output_bytes: int = 8 * MIB,
) -> WorkOrder:
    number = next(_numbers)
    return WorkOrder(
        attempt_id=f"attempt-{_session}-{number}",
        job_id=f"job-{number}",
        name="contract",
        folder=site.home / "jobs" / f"job-{number}" / "1",
        command=command,
        environment=environment or {},
        cpu_milli=1_000,
        cpu_limit_s=cpu_limit_s,
        memory_bytes=memory_bytes,
        wall_s=wall_s,
        output_bytes=output_bytes,
    )


def python(code: str) -> Sequence[str]:
    return ("python", "-c", code)


def handle_of(wanted: WorkOrder) -> Handle:
    return Handle(attempt_id=wanted.attempt_id, folder=wanted.folder)


def start(site: Site, wanted: WorkOrder) -> Handle:
    assert site.backend.submit([wanted]) == Submitted()
    return handle_of(wanted)


def status_of(site: Site, handle: Handle) -> RunStatus:
    return site.backend.status([handle])[handle.attempt_id]


def end_of(site: Site, handle: Handle) -> RunStatus:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        status = status_of(site, handle)
        if status.state not in (RunState.PENDING, RunState.RUNNING):
            return status
        time.sleep(0.05)
    raise AssertionError("the attempt did not end")


def run(site: Site, wanted: WorkOrder) -> RunStatus:
    return end_of(site, start(site, wanted))


def piece_of(site: Site, wanted: WorkOrder | Handle, *, offset: int, limit: int) -> LogChunk:
    handle = wanted if isinstance(wanted, Handle) else handle_of(wanted)
    return site.backend.log(handle, offset=offset, limit=limit)


def log_of(site: Site, wanted: WorkOrder | Handle) -> str:
    return piece_of(site, wanted, offset=0, limit=MIB).text


# --- ends ----------------------------------------------------------------------------------------


def test_a_command_that_succeeds_is_metered_and_leaves_log_and_outputs(site: Site) -> None:
    code = (
        "import os, time\n"
        "end = time.process_time() + 0.3\n"
        "while time.process_time() < end: sum(range(1000))\n"
        "open(os.environ['HAIHE_OUTPUTS'] + '/r.txt', 'w').write('x' * 1000)\n"
        "print('完成')\n"
        f"time.sleep({2 * site.memory_step_s})"
    )
    wanted = order(site, *python(code))
    status = run(site, wanted)
    assert (status.state, status.reason, status.exit_code) == ("ended", EndReason.EXITED, 0)
    assert status.usage is not None
    assert status.usage.cpu_ms >= 300
    assert status.usage.wall_ms >= 300 - site.wall_step_ms
    assert status.usage.peak_memory_bytes > MIB
    assert status.usage.output_bytes == 1000
    assert log_of(site, wanted) == "完成\n"
    assert (wanted.folder / "outputs" / "r.txt").stat().st_size == 1000


def test_a_failing_command_ends_with_its_exit_code(site: Site) -> None:
    status = run(site, order(site, "sh", "-c", "echo oh >&2; exit 3"))
    assert (status.reason, status.exit_code) == (EndReason.EXITED, 3)
    assert status.usage is not None


def test_a_command_that_a_signal_ends_says_which(site: Site) -> None:
    status = run(site, order(site, "sh", "-c", "kill -TERM $$"))
    assert (status.reason, status.exit_code) == (EndReason.EXITED, -signal.SIGTERM)


@needs("refuses-missing-program")
def test_a_missing_program_is_an_error_at_once(site: Site) -> None:
    wanted = order(site, "no-such-program")
    refused = site.backend.submit([wanted]).refused
    assert "no-such-program" in refused[wanted.attempt_id]


@needs("ends-what-is-left")
def test_what_a_command_leaves_behind_ends_with_it(site: Site) -> None:
    wanted = order(site, *python(_leaving_behind("pass")))
    assert run(site, wanted).exit_code == 0
    assert not lives(int(log_of(site, wanted)))


@needs("counts-what-is-left")
def test_what_a_command_leaves_behind_is_counted(site: Site) -> None:
    burn = "import time; e = time.process_time() + 0.3\nwhile time.process_time() < e: pass"
    status = run(site, order(site, *python(_leaving_behind(burn))))
    assert status.usage is not None
    assert status.usage.cpu_ms >= 300


def _leaving_behind(code: str) -> str:
    """A program that ends while another of its own making goes on, away from its family."""
    child = f"{code}\nprint('done', flush=True); import time; time.sleep(60)"
    return (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}],"
        " start_new_session=True, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid)"
    )


# --- limits --------------------------------------------------------------------------------------


def test_the_cpu_limit_ends_a_busy_command(site: Site) -> None:
    status = run(site, order(site, *python("while True: pass"), cpu_limit_s=1))
    assert status.reason is EndReason.CPU_LIMIT
    assert status.usage is not None
    assert 500 <= status.usage.cpu_ms <= 3_000


def test_the_memory_limit_ends_a_greedy_command(site: Site) -> None:
    code = "import time; held = bytearray(300 * 2**20); time.sleep(60)"
    status = run(site, order(site, *python(code), memory_bytes=100 * MIB))
    assert status.reason is EndReason.MEMORY_LIMIT
    assert status.usage is not None
    assert status.usage.peak_memory_bytes >= 100 * MIB


def test_the_wall_limit_ends_a_slow_command(site: Site) -> None:
    status = run(site, order(site, "sleep", "60", wall_s=1))
    assert status.reason is EndReason.WALL_LIMIT
    assert status.usage is not None
    assert 1_000 <= status.usage.wall_ms < 20_000


@pytest.mark.parametrize(
    "command",
    [
        "while true; do head -c 200000 /dev/zero >> $HAIHE_OUTPUTS/big; sleep 0.02; done",
        "i=0; while true; do i=$((i+1)); head -c 200000 /dev/zero > $HAIHE_OUTPUTS/$i; done",
        "while true; do echo line line line line line; done",
    ],
    ids=["one file", "many files", "the log"],
)
def test_the_output_limit_counts_files_and_log(site: Site, command: str) -> None:
    status = run(site, order(site, "sh", "-c", command, output_bytes=MIB))
    assert status.reason is EndReason.OUTPUT_LIMIT


# --- control -------------------------------------------------------------------------------------


def test_a_run_goes_on_when_nobody_looks_and_ends_when_it_is_cancelled(site: Site) -> None:
    handle = start(site, order(site, "sleep", "60"))
    wait_until(lambda: status_of(site, handle).state == "running")
    site.backend.cancel([handle])
    site.backend.cancel([handle])
    status = end_of(site, handle)
    assert status.reason is EndReason.CANCELLED
    assert status.usage is not None
    assert status.usage.wall_ms < 30_000


def test_an_order_that_comes_twice_runs_once(site: Site) -> None:
    wanted = order(site, "sh", "-c", "echo ran >> $HAIHE_OUTPUTS/ran; sleep 1")
    handle = start(site, wanted)
    site.backend.submit([wanted])
    first = end_of(site, handle)
    site.backend.submit([wanted])
    assert status_of(site, handle) == first
    assert (handle.folder / "outputs" / "ran").read_text() == "ran\n"


def test_a_run_whose_supervision_is_lost_is_lost_and_leaves_nothing(site: Site) -> None:
    handle = start(site, order(site, "sh", "-c", "echo $$; sleep 60"))
    wait_until(lambda: log_of(site, handle))
    pid = int(log_of(site, handle))
    site.lose(handle)
    status = end_of(site, handle)
    assert status.reason is site.loss
    assert (status.state is RunState.LOST) == (site.loss is EndReason.LOST)
    wait_until(lambda: not lives(pid))
    assert status_of(site, handle) == status


# --- log -----------------------------------------------------------------------------------------


def test_a_log_read_in_pieces_is_the_log(site: Site) -> None:
    text = "".join(f"第 {number} 行\n" for number in range(50))
    wanted = order(site, *python(f"print({text!r}, end='')"))
    run(site, wanted)
    for limit in (4, 5, 7, 1_000):
        pieces, offset = [], 0
        while (chunk := piece_of(site, wanted, offset=offset, limit=limit)).text:
            pieces.append(chunk.text)
            offset = chunk.next_offset
        assert "".join(pieces) == text, f"in pieces of {limit} bytes"
        assert offset == len(text.encode())


def test_a_negative_offset_reads_the_end_of_a_log(site: Site) -> None:
    wanted = order(site, "echo", "0123456789")
    run(site, wanted)
    end = piece_of(site, wanted, offset=-5, limit=MIB)
    assert (end.text, end.next_offset) == ("6789\n", 11)
    whole = piece_of(site, wanted, offset=-500, limit=MIB)
    assert whole.text == "0123456789\n"


def test_a_run_that_was_never_started_has_an_empty_log(site: Site) -> None:
    never = Handle(attempt_id="none", folder=site.home / "jobs" / "none" / "1")
    chunk = site.backend.log(never, offset=0, limit=MIB)
    assert (chunk.text, chunk.next_offset) == ("", 0)
    assert status_of(site, never).state is RunState.UNKNOWN


def test_bytes_that_are_no_text_do_not_break_the_log(site: Site) -> None:
    wanted = order(site, *python(r"import os; os.write(1, b'a\xff\xfeb\n')"))
    run(site, wanted)
    assert log_of(site, wanted) == "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b\n"


# --- confinement ---------------------------------------------------------------------------------


@needs("confines")
def test_a_job_reads_its_inputs_and_does_not_change_them(site: Site) -> None:
    wanted = order(
        site,
        "sh",
        "-c",
        "cat $HAIHE_INPUTS/cases.csv; echo more >> $HAIHE_INPUTS/cases.csv || echo refused",
    )
    (wanted.folder / "inputs").mkdir(parents=True)
    (wanted.folder / "inputs" / "cases.csv").write_text("a\n1\n")
    run(site, wanted)
    log = log_of(site, wanted)
    assert log.startswith("a\n1\n")
    assert log.endswith("refused\n")
    assert (wanted.folder / "inputs" / "cases.csv").read_text() == "a\n1\n"


@needs("confines")
def test_a_job_cannot_read_the_home_or_another_job_or_write_outside(site: Site) -> None:
    secret = site.home / "keys" / "django.key"
    secret.parent.mkdir(parents=True)
    secret.write_text("a secret")
    other = order(site, "true")
    run(site, other)
    (other.folder / "outputs" / "theirs").write_text("theirs")
    tries = [
        f"open({str(secret)!r}).read()",
        f"os.listdir({str(site.home)!r})",
        f"open({str(other.folder / 'outputs' / 'theirs')!r}).read()",
        "os.listdir('/root')",
        "open('/etc/shadow').read()",
        f"open({str(site.home / 'mine')!r}, 'w')",
        "open('/tmp/haihe-mine', 'w')",
        "os.symlink('/etc/shadow', 'link') or open('link').read()",
    ]
    wanted = order(site, *python(_each_refused(tries)))
    status = run(site, wanted)
    assert log_of(site, wanted) == "refused\n" * len(tries)
    assert status.exit_code == 0


@pytest.mark.skipif(landlock.version() < 4, reason="closing TCP needs Linux 6.7 or newer")
@needs("confines")
def test_a_job_cannot_connect_or_listen(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        tries = [
            f"socket.create_connection(('127.0.0.1', {port}), timeout=5)",
            "socket.create_server(('127.0.0.1', 0))",
        ]
        wanted = order(site, *python(_each_refused(tries)))
        run(site, wanted)
    assert log_of(site, wanted) == "refused\n" * len(tries)


@pytest.mark.skipif(landlock.version() < 6, reason="closing signals needs Linux 6.12 or newer")
@needs("confines")
def test_a_job_cannot_signal_what_is_not_its_own(site: Site) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as outsider:
        try:
            tries = [f"os.kill({outsider.pid}, 9)", f"os.kill({os.getpid()}, 0)"]
            wanted = order(site, *python(_each_refused(tries)))
            run(site, wanted)
            assert outsider.poll() is None
        finally:
            outsider.kill()
    assert log_of(site, wanted) == "refused\n" * len(tries)


def test_a_job_sees_the_environment_it_was_given_and_not_the_platforms(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAIHE_SECRET_KEY", "a secret")
    wanted = order(site, "sh", "-c", "env", environment={"SEED": "7", "HOME": "/nowhere"})
    run(site, wanted)
    seen = dict(line.split("=", 1) for line in log_of(site, wanted).splitlines())
    assert seen["SEED"] == "7"
    assert seen["HAIHE_JOB_ID"] == wanted.job_id
    assert "HAIHE_SECRET_KEY" not in seen
    assert "a secret" not in log_of(site, wanted)


def _each_refused(tries: Sequence[str]) -> str:
    """A program that tries each expression and prints whether the kernel refused it."""
    return (
        "import os, socket\n"
        f"for text in {list(tries)!r}:\n"
        "    try:\n"
        "        eval(text)\n"
        "    except PermissionError:\n"
        "        print('refused')\n"
        "    else:\n"
        "        print('ALLOWED', text)\n"
    )
