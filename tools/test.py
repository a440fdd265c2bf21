"""All tests: on SQLite, on PostgreSQL, with real schedulers, in the browser, by killing processes.

The rounds on the two databases each take all processors, one round after the other. The rest mostly
waits for processes and pages, and runs side by side. Packs with an environment of their own are
tested in it, at the end. Prints how many ran where. Under ``CI`` a test that was skipped counts as
failed: what a machine lacks, ``.ci/run`` installs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from haihe.cli import postgres
from haihe.packs.discovery import PackSource, installed_packs

ROOT = Path(__file__).resolve().parents[1]
WORKERS = os.environ.get("HAIHE_TEST_WORKERS", "2")


@dataclass
class Result:
    """What one round of pytest did."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0


def pytest(
    name: str,
    *arguments: str,
    url: str = "",
    is_quiet: bool = False,
    python: Path = Path(sys.executable),
) -> Result:
    """One round; its counts are read from pytest's own report. A quiet one prints at its end."""
    title = f"\n== {name} =="
    if not is_quiet:
        print(title, flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="haihe-test-") as home:
        report = Path(home) / "report.xml"
        environment = {**os.environ, "HAIHE_TEST_HOME": home, "HAIHE_DATABASE_URL": url}
        done = subprocess.run(
            [python, "-m", "pytest", "-q", f"--junitxml={report}", *arguments],
            env=environment,
            check=False,
            stdout=subprocess.PIPE if is_quiet else None,
            stderr=subprocess.STDOUT if is_quiet else None,
            text=True,
        )
        if is_quiet:
            print(f"{title}\n{done.stdout}", flush=True)
        result = Result(name, seconds=time.monotonic() - began)
        if report.exists():
            for suite in ElementTree.parse(report).getroot().iter("testsuite"):
                total = int(suite.get("tests", 0))
                result.failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
                result.skipped += int(suite.get("skipped", 0))
                result.passed += total - result.failed - result.skipped
        if done.returncode != 0 and result.failed == 0:
            result.failed = 1
    return result


def main() -> int:
    """Run all rounds and sum up; 0 if nothing failed and, under CI, nothing was skipped."""
    # In the order that tests/conftest.py gives: the longest files first.
    parallel = ("-n", WORKERS, "--dist", "loadfile", "--no-loadscope-reorder")
    usual = "not browser and not faults and not integration"
    results = [pytest("SQLite", *parallel, "tests", "-m", usual)]
    if postgres.binaries() is None:
        print(f"\nPostgreSQL is not installed, its round is skipped: {postgres.INSTALL}")
        results.append(Result("PostgreSQL", skipped=1))
    else:
        with postgres.server(fast=True) as url:
            both = f"{usual} and not sqlite"
            results.append(pytest("PostgreSQL", *parallel, "tests", "-m", both, url=url))
    print("\nThe rest runs side by side; each round prints when it has ended.", flush=True)
    with ThreadPoolExecutor(max_workers=int(WORKERS)) as lanes:
        others = (*parallel, "tests", "-m", "integration")
        rest = [
            lanes.submit(pytest, "Integration", *others, is_quiet=True),
            lanes.submit(pytest, "Faults", "tests", "-m", "faults", is_quiet=True),
            lanes.submit(pytest, "Browser", "tests", "-m", "browser", is_quiet=True),
            lanes.submit(pytest, "Packs", "packs", is_quiet=True),
        ]
        results += [round_.result() for round_ in rest]
    # Signals come in real time: their tests have the machine to themselves.
    heavy = (heavy_pack(source) for source in installed_packs())
    results += [result for result in heavy if result is not None]
    return conclude([*results, tiers()])


def tiers() -> Result:
    """What the checks make of each pack of this checkout, against the tier in its file ``tier``.

    A pack that fell is seen here, and one that rose: the file then says the new tier.
    """
    print("\n== Tiers ==", flush=True)
    result, began = Result("Tiers"), time.monotonic()
    for source in installed_packs():
        if source.checkout is None:
            continue
        wanted = (source.checkout / "tier").read_text("utf-8").strip()
        with tempfile.TemporaryDirectory(prefix="haihe-tier-") as home:
            done = subprocess.run(
                [Path(sys.executable).with_name("haihe"), "packs", "check", source.name, "--json"],
                env={**os.environ, "HAIHE_HOME": home},
                check=False,
                capture_output=True,
                text=True,
            )
        report = json.loads(done.stdout) if done.stdout.startswith("{") else {}
        held = done.returncode == 0 and report.get("tier") == wanted
        print(f"{source.name}: {report.get('tier') or done.stderr.strip()}, wanted {wanted}")
        result.passed, result.failed = result.passed + held, result.failed + (not held)
    result.seconds = time.monotonic() - began
    return result


def heavy_pack(source: PackSource) -> Result | None:
    """The tests of a pack that has an environment of its own, in that; None if it has none.

    The environment is the one that users get, with what tests need besides.
    """
    wanted = source.manifest().environment
    if wanted is None or source.checkout is None:
        return None
    folder = ROOT / ".tools" / "packs" / source.name
    uv = shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    subprocess.run(
        [
            uv, "sync", "--quiet", "--frozen", "--no-default-groups", "--group", "test",
            "--package", source.distribution, "--extra", wanted.extra,
        ],
        env={**os.environ, "UV_PROJECT_ENVIRONMENT": str(folder), "UV_PYTHON": sys.executable},
        cwd=ROOT,
        check=True,
    )  # fmt: skip
    # Not the platform's settings of pytest: there is no Django to set up.
    settings = ("-c", os.devnull, f"--rootdir={source.checkout}", "-W", "error", "-ra")
    tests = str(source.checkout / "tests")
    return pytest(source.name, *settings, tests, python=folder / "bin" / "python")


def conclude(results: list[Result]) -> int:
    """Print the table and the closing line."""
    print()
    for result in results:
        print(
            f"{result.name:<12} {result.passed:>5} passed {result.failed:>4} failed "
            f"{result.skipped:>4} skipped  in {result.seconds:.0f} s"
        )
    passed, failed, skipped = (
        sum(getattr(result, name) for result in results) for name in ("passed", "failed", "skipped")
    )
    if os.environ.get("CI") and skipped:
        print("A test was skipped under CI: .ci/run must install what it lacks.")
        failed += skipped
        skipped = 0
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
