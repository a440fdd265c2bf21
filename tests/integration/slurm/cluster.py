"""Start the daemons of a test cluster in the right order, and end them with all they started."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration import NotInstalled
from tests.integration.ports import free_ports
from tests.integration.slurm import INSTALL, conf
from tests.integration.slurm.processes import (
    can_use_cgroups,
    listens,
    processes_of,
    remove_cgroups,
    wait_until,
)

PROGRAMS = (
    "mariadbd", "mariadb-install-db", "munged", "sbatch", "slurmctld", "slurmd", "slurmdbd",
    "slurmrestd",
)  # fmt: skip
SEARCH_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# People of the cluster: users that every Debian has, so that none must be made.
USERS = ("games", "news")
ACCOUNT = "lab"
QOS = "short"
REST_USER = "daemon"
REST_VERSIONS = (37, 38)


@dataclass
class Cluster:
    """A running Slurm: what it is made of, and its daemons by name."""

    plan: conf.Plan
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where all its files are."""
        return self.plan.folder

    @property
    def nodes(self) -> Sequence[str]:
        """The names of its nodes; all but the last have GPUs."""
        return self.plan.nodes

    @property
    def environment(self) -> dict[str, str]:
        """What Slurm's commands need to find this cluster."""
        return {"PATH": SEARCH_PATH, "SLURM_CONF": str(self.conf), "LC_ALL": "C.UTF-8"}

    @property
    def conf(self) -> Path:
        """The path of its ``slurm.conf``."""
        return self.folder / "slurm.conf"

    @property
    def rest_url(self) -> str:
        """Where slurmrestd answers."""
        return f"http://127.0.0.1:{self.plan.ports['slurmrestd']}"

    def run(self, *command: str) -> str:
        """What one of Slurm's commands prints; an error if it fails."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def token(self, user: str = "root") -> str:
        """A JSON web token with which ``user`` may call slurmrestd for an hour."""
        said = self.run("scontrol", "token", f"username={user}", "lifespan=3600")
        return said.strip().partition("=")[2]

    def start(self) -> None:
        """Start everything, each part when the one it needs answers."""
        self._write_files()
        self._start_munge()
        self._start_database()
        self.start_accounting()
        self._make_accounts()
        self.start_controller()
        for node in self.nodes:
            self.start_node(node)
        self._start_rest()
        self.wait_for_nodes()

    def stop(self) -> None:
        """End every process, the ones that write before the ones they write to."""
        with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
            self.run("scancel", "--state=PENDING", "--user=root")
            self.run("scancel", "--state=RUNNING", "--user=root")
        nodes = [name for name in self.daemons if name.startswith("slurmd-")]
        for name in ("slurmrestd", *nodes, "slurmctld", "slurmdbd", "mariadb", "munge"):
            if name in self.daemons:
                self.end(name)
        for pid in processes_of(self.folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.plan.uses_cgroups:
            remove_cgroups(self.nodes)

    # --- parts that a test may stop and start ---

    def start_controller(self) -> None:
        """Start slurmctld and wait until it answers."""
        self._spawn("slurmctld", "slurmctld", "-D", "-f", str(self.conf))
        wait_until(lambda: "UP" in self.run("scontrol", "ping"), "slurmctld answers")

    def start_accounting(self) -> None:
        """Start slurmdbd and wait until it answers."""
        self._spawn("slurmdbd", "slurmdbd", "-D")

        def answers() -> bool:
            self.run("sacctmgr", "--noheader", "list", "cluster")
            return True

        wait_until(answers, "slurmdbd answers")

    def start_node(self, node: str) -> None:
        """Start the slurmd that stands for ``node``."""
        (self.folder / f"spool-{node}").mkdir(exist_ok=True)
        self._spawn(f"slurmd-{node}", "slurmd", "-D", "-N", node, "-f", str(self.conf))

    def end(self, name: str) -> None:
        """End one of the daemons and wait until it is gone."""
        daemon = self.daemons.pop(name)
        daemon.terminate()
        try:
            daemon.wait(timeout=20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait(timeout=20)

    def fail_node(self, node: str) -> None:
        """Have ``node`` declared dead, with what runs on it."""
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    def wait_for_nodes(self) -> None:
        """Wait until all nodes take jobs, bringing back those that a test took down."""

        def all_up() -> bool:
            lines = self.run("sinfo", "-h", "-N", "-o", "%N %T").splitlines()
            states = dict(line.split() for line in lines)
            for node, state in states.items():
                if state.startswith(("down", "drain")):
                    self.run("scontrol", "update", f"nodename={node}", "state=resume")
            if set(states.values()) <= {"idle", "mixed", "allocated"}:
                return True
            raise RuntimeError(f"{states}\n{self._last_words()}")

        wait_until(all_up, "the nodes take jobs")

    def _last_words(self) -> str:
        """The ends of the daemons' logs."""
        logs = sorted((self.folder / "log").iterdir())
        return "\n".join(f"{path.name}: {path.read_text()[-400:]}" for path in logs)

    # --- how each part is started ---

    def _write_files(self) -> None:
        folder = self.folder
        # Daemons of several users meet in it.
        folder.chmod(0o755)
        for name in ("log", "state", "munge", "database"):
            (folder / name).mkdir()
        for number in range(conf.GPUS_PER_NODE):
            (folder / f"gpu{number}").touch()
        files = {
            "slurm.conf": (conf.slurm_conf(self.plan), 0o644),
            "gres.conf": (conf.gres_conf(self.plan), 0o644),
            "cgroup.conf": (conf.CGROUP_CONF if self.plan.uses_cgroups else "", 0o644),
            "slurmdbd.conf": (conf.slurmdbd_conf(self.plan), 0o600),
            "jwt.key": (secrets.token_hex(32), 0o600),
        }
        for name, (text, mode) in files.items():
            (folder / name).touch(mode=mode)
            (folder / name).write_text(text)

    def _start_munge(self) -> None:
        place = self.folder / "munge"
        key = place / "key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        for path in (place, key):
            shutil.chown(path, "munge", "munge")
        self._spawn(
            "munge",
            "munged", "--foreground", "--num-threads=2",
            f"--key-file={key}", f"--socket={place}/socket", f"--pid-file={place}/pid",
            f"--log-file={place}/log", f"--seed-file={place}/seed",
            user="munge",
        )  # fmt: skip
        wait_until((place / "socket").exists, "munged listens")

    def _start_database(self) -> None:
        place = self.folder / "database"
        shutil.chown(place, "mysql", "mysql")
        subprocess.run(
            [
                "mariadb-install-db", "--no-defaults", f"--datadir={place}", "--user=mysql",
                "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
            ],
            env=self.environment, check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        init = place / "init.sql"
        init.write_text(
            "CREATE USER slurm@'127.0.0.1' IDENTIFIED BY 'slurm';\n"
            "CREATE DATABASE slurm_acct;\n"
            "GRANT ALL ON slurm_acct.* TO slurm@'127.0.0.1';\n"
        )
        shutil.chown(init, "mysql", "mysql")
        port = self.plan.ports["mariadb"]
        self._spawn(
            "mariadb",
            "mariadbd", "--no-defaults", f"--datadir={place}", f"--socket={place}/socket",
            "--bind-address=127.0.0.1", f"--port={port}", f"--init-file={init}",
            "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0",
            "--innodb-lock-wait-timeout=900", "--innodb-buffer-pool-size=64M",
            f"--pid-file={place}/pid",
            user="mysql",
        )  # fmt: skip
        wait_until(lambda: listens(port), "MariaDB listens")

    def _make_accounts(self) -> None:
        add = ("sacctmgr", "-i", "add")
        self.run(*add, "cluster", conf.CLUSTER)
        self.run(*add, "qos", QOS, "set", "MaxWall=01:00:00")
        self.run(*add, "account", ACCOUNT, "Description=laboratory", "Organization=haihe")
        for user in USERS:
            self.run(*add, "user", user, f"Account={ACCOUNT}", f"QOS=normal,{QOS}")
        self.run("sacctmgr", "-i", "modify", "user", "root", "set", f"QOS=normal,{QOS}")

    def _start_rest(self) -> None:
        port = self.plan.ports["slurmrestd"]
        plugins = [f"openapi/{kind}v0.0.{n}" for n in REST_VERSIONS for kind in ("", "db")]
        self._spawn(
            "slurmrestd",
            "slurmrestd", "-a", "rest_auth/jwt", "-s", ",".join(plugins), f"127.0.0.1:{port}",
            user=REST_USER, SLURM_JWT="daemon",
        )  # fmt: skip
        wait_until(lambda: listens(port), "slurmrestd listens")

    def _spawn(self, name: str, *command: str, user: str = "", **environment: str) -> None:
        """Start a daemon, with its output in the log folder."""
        identity: dict[str, Any] = {}
        if user:
            group = grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
            identity = {"user": user, "group": group, "extra_groups": []}
        with (self.folder / "log" / f"{name}.out").open("ab") as log:
            self.daemons[name] = subprocess.Popen(
                command,
                env={**self.environment, **environment},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **identity,
            )


def check_installed() -> None:
    """Raise unless every program is there and this user may start them.

    Raises
    ------
    NotInstalled
        With what to do about it.
    """
    lacking = [name for name in PROGRAMS if shutil.which(name, path=SEARCH_PATH) is None]
    if lacking:
        raise NotInstalled(f"{', '.join(lacking)} not installed: {INSTALL}")
    if os.geteuid() != 0:
        raise NotInstalled("the test cluster is started by root, as Slurm's daemons are")


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster in a folder of its own, ended and removed afterwards."""
    check_installed()
    folder = Path(tempfile.mkdtemp(prefix="haihe-slurm-"))
    names = ("mariadb", "slurmdbd", "slurmctld", "slurmrestd", "n1", "n2", "n3")
    tag = f"h{secrets.token_hex(2)}"
    running = Cluster(conf.Plan(folder, tag, free_ports(names), can_use_cgroups()))
    try:
        running.start()
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)
