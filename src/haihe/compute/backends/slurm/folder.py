"""What the Slurm back-end keeps in an attempt's folder, and to whom it belongs.

    slurm.json     the ticket: under which name and number Slurm has it; written before asking
    end.json       how it ended; from then on Slurm is not asked any more
    given          the job's user owns what it must
    cancel         Haihe wants its end
    over           the limit that it reached, as Haihe saw it
    run.sh         what the job runs
    run/           what the job writes for Haihe: its claim, and Slurm's own messages
    inputs/ work/ outputs/ log.txt

Where the job runs as another user, that user owns what the job must read and write, and only that:
the folder itself and what Haihe keeps in it stay the agent's.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from haihe.compute.backends import (
    RunState,
    RunStatus,
    WorkOrder,
    bytes_in,
    make_folders,
    supervised,
)
from haihe.compute.backends.slurm.outcome import Marks
from haihe.compute.backends.slurm.records import Refusal
from haihe.compute.backends.slurm.script import RUN, run_script
from haihe.compute.domain import EndReason, Usage

LOG_TAIL_BYTES = 8_192


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """How to find an attempt in Slurm.

    ``job`` is empty while the answer to the submission is not known. ``position`` is the element's
    number in the submitted array, -1 for a job of its own. Times are seconds since the epoch, by
    the agent's clock. ``ended_state`` is the end that slurmctld told of before the accounting did;
    ``earlier_names`` are those of submissions that were given up as never received.
    """

    name: str
    asked_at_s: float
    job: str = ""
    position: int = -1
    log: str = ""
    wall_s: int = 0
    output_bytes: int = 0
    memory_bytes: int = 0
    gpu_milli: int = 0
    parts_per_gpu: int = 0
    missing_since_s: float = 0
    ended_state: str = ""
    earlier_names: Sequence[str] = ()

    @property
    def key(self) -> str:
        """The job or element as Slurm names it."""
        return self.job if self.position < 0 else f"{self.job}_{self.position}"

    def numbered(self, key: str) -> Ticket:
        """The ticket of the job that Slurm names ``key``."""
        job, _, position = key.partition("_")
        return replace(self, job=job, position=int(position) if position.isdecimal() else -1)


def read_ticket(folder: Path) -> Ticket | None:
    """The attempt's ticket, if it was ever submitted."""
    try:
        return Ticket(**json.loads((folder / "slurm.json").read_text("utf-8")))
    except FileNotFoundError:
        return None


def write_ticket(folder: Path, ticket: Ticket) -> None:
    """Keep the ticket."""
    supervised.replace_json(folder / "slurm.json", asdict(ticket))


def drop_ticket(folder: Path) -> None:
    """Forget a submission that cannot have reached Slurm."""
    (folder / "slurm.json").unlink(missing_ok=True)


def read_end(folder: Path) -> RunStatus | None:
    """How the attempt ended, if that is known."""
    try:
        data = json.loads((folder / "end.json").read_text("utf-8"))
    except FileNotFoundError:
        return None
    return RunStatus(
        state=RunState(data["state"]),
        reason=EndReason(data["reason"]),
        exit_code=data["exit_code"],
        usage=Usage(**data["usage"]) if data["usage"] else None,
        message=data["message"],
        external_id=data["external_id"],
        nodes=tuple(data["nodes"]),
        started_at=_moment(data["started_at"]),
        finished_at=_moment(data["finished_at"]),
    )


def write_end(folder: Path, end: RunStatus) -> None:
    """Keep the end for good."""
    data = asdict(end)
    for name in ("started_at", "finished_at"):
        data[name] = data[name].isoformat() if data[name] else None
    supervised.replace_json(folder / "end.json", data)


def mark_cancelled(folder: Path) -> None:
    """Note that Haihe wants the attempt's end."""
    (folder / "cancel").touch()


def mark_over(folder: Path, reason: EndReason) -> None:
    """Note the limit that the attempt reached."""
    (folder / "over").write_text(reason, "utf-8")


def marks_of(folder: Path, ticket: Ticket) -> Marks:
    """All that the folder says about how the attempt ended."""
    over = _text(folder / "over")
    return Marks(
        is_cancelled=(folder / "cancel").exists(),
        over=EndReason(over) if over else None,
        scheduler_log=_tail(Path(ticket.log)) if ticket.log else "",
        output_bytes=bytes_in(folder / "outputs"),
        memory_bytes=ticket.memory_bytes,
        gpu_milli=ticket.gpu_milli,
        parts_per_gpu=ticket.parts_per_gpu,
    )


def claimed_by(folder: Path) -> str:
    """The job that runs, or ran, the attempt; empty if none has begun."""
    return _text(folder / "run" / "claim" / "job")


def was_repeated_by(folder: Path) -> str:
    """The last job that came to run the attempt and found it claimed."""
    return _text(folder / "run" / "repeated")


def written_bytes(folder: Path) -> int:
    """What the attempt has written so far, in all its places."""
    try:
        log_bytes = (folder / "log.txt").stat().st_size
    except FileNotFoundError:
        log_bytes = 0
    return bytes_in(folder / "outputs") + bytes_in(folder / "work") + log_bytes


def prepare(order: WorkOrder, *, search_path: str) -> None:
    """Make the folders and the script, and give the job's user what the job needs.

    Raises
    ------
    Refusal
        If the user is unknown here, or cannot be given the files.
    """
    folder = order.folder
    make_folders(folder)
    (folder / "run").mkdir(exist_ok=True)
    (folder / "log.txt").touch()
    script = run_script(order, run=folder / "run", search_path=search_path)
    (folder / RUN).touch(mode=0o600)
    (folder / RUN).write_text(script, "utf-8")
    given = folder / "given"
    if order.account is not None and order.account.user != _own_name() and not given.exists():
        # Once: from then on its owner may have put links where files were.
        _hand_over(folder, order.account.user)
        given.touch()


def is_root(user: str) -> bool:
    """Whether a user of this machine may do everything here."""
    try:
        return pwd.getpwnam(user).pw_uid == 0
    except KeyError:
        return False


def _hand_over(folder: Path, user: str) -> None:
    """Let ``user`` pass through the folder, read its inputs, and own what the job writes."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise Refusal(f"this centre has no user {user!r}") from None
    if os.geteuid() != 0:
        raise Refusal(
            f"only root can give files to {user}; this agent runs as {_own_name()}. Run it as root"
        )
    folder.chmod(0o711)
    modes = {"work": 0o700, "work/tmp": 0o700, "outputs": 0o700, "run": 0o700, "log.txt": 0o600}
    for name, mode in {**modes, RUN: 0o400}.items():
        _give(folder / name, entry, mode)
    for _, _, names, inside in os.fwalk(folder / "inputs"):
        os.fchown(inside, entry.pw_uid, entry.pw_gid)
        os.fchmod(inside, 0o500)
        for name in names:
            if not stat.S_ISLNK(os.stat(name, dir_fd=inside, follow_symlinks=False).st_mode):
                _give(name, entry, 0o400, inside=inside)
    groups = [group.gr_gid for group in grp.getgrall() if user in group.gr_mem]
    can = subprocess.run(  # noqa: S603 (a program of the system's)
        ["/usr/bin/test", "-w", str(folder / "work")],
        user=entry.pw_uid, group=entry.pw_gid, extra_groups=groups, check=False, cwd="/",
    )  # fmt: skip
    if can.returncode != 0:
        raise Refusal(f"{user} cannot enter {folder}: open the folders above it for all to pass")


def _give(
    path: Path | str, entry: pwd.struct_passwd, mode: int, *, inside: int | None = None
) -> None:
    """By its handle: a job of this folder may run already, and put a link in the path's place."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(path, flags, dir_fd=inside)
    try:
        os.fchown(handle, entry.pw_uid, entry.pw_gid)
        os.fchmod(handle, mode)
    finally:
        os.close(handle)


def _own_name() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _text(path: Path) -> str:
    return _tail(path).strip()[:200]


def _tail(path: Path) -> str:
    """The end of a file that the job's owner may have put there: no link, no pipe is followed."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with open(handle, "rb") as file:  # noqa: PTH123 (opened by its handle)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return ""
        file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
        return file.read().decode("utf-8", "replace")


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
