"""Attempts as Slurm jobs.

Every attempt has a ticket in its folder, written before Slurm is asked. A submission whose answer
was lost is looked for by its name before it is made again, and the job's own claim on its folder
keeps one that comes to light later from running. slurmctld says what waits and runs; how something
ended, and what it used, the accounting says alone, so that nothing has ended before it is metered.

Slurm enforces CPUs, memory and minutes. What it cannot, this back-end does when it looks: it ends
attempts that write more than they may, or reach their time limit inside a minute.
"""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from haihe.compute.backends import (
    Account,
    Handle,
    LogChunk,
    PoolReport,
    RunState,
    RunStatus,
    Submitted,
    WorkOrder,
    read_log,
)
from haihe.compute.backends.slurm import folder as files
from haihe.compute.backends.slurm.folder import Ticket
from haihe.compute.backends.slurm.outcome import (
    completed_record,
    end_status,
    live_status,
    repeated_status,
)
from haihe.compute.backends.slurm.records import (
    ENDED,
    JobRecord,
    NodeRecord,
    NotNow,
    NotSent,
    Refusal,
    Submission,
    Transport,
    newest,
    ours,
)
from haihe.compute.backends.slurm.resources import (
    MIB,
    WHOLE_MILLI,
    node_report,
    part_gres,
    whole_gres,
)
from haihe.compute.backends.slurm.script import batch_script, cpus_of
from haihe.compute.domain import EndReason
from haihe.compute.errors import BackendUnavailable
from haihe.kernel.clock import now

# Slurm takes arrays of up to 1,000 elements, unless it is told otherwise.
ARRAY_LIMIT = 500
# A submission without an answer may come to light for so long before it is made again.
SETTLE_S = 30
# The accounting may be so far behind slurmctld before an attempt that neither knows is lost, ...
LOST_AFTER_S = 300
# ... and so far before one that slurmctld saw end is taken to have ended without being metered.
UNMETERED_AFTER_S = 86_400
# A running attempt's files are counted no more often than this.
COUNT_EVERY_S = 30.0
# Names are looked for in the accounting from so long before they were given, whatever its clock.
CLOCK_SLACK = timedelta(days=2)
NO_ANSWER = "Slurm has not answered whether it took the job"
NO_USER = "this centre runs jobs only of people who have an account there"


@dataclass
class SlurmBackend:
    """A Slurm cluster, or one partition of it.

    ``account`` and ``qos`` are for those who have none of their own; ``default_user`` is whom their
    jobs run as, and without one they are refused. ``gres_types`` gives Slurm's type of a GPU for
    Haihe's model where they differ. Jobs find programs on ``search_path``. An array goes in pieces
    of ``array_limit``, which must be below the cluster's MaxArraySize.
    """

    transport: Transport
    partition: str = ""
    account: str = ""
    qos: str = ""
    default_user: str = ""
    gres_types: Mapping[str, str] = field(default_factory=dict)
    search_path: str = "/usr/local/bin:/usr/bin:/bin"
    array_limit: int = ARRAY_LIMIT
    settle_s: float = SETTLE_S
    lost_after_s: float = LOST_AFTER_S
    unmetered_after_s: float = UNMETERED_AFTER_S
    count_every_s: float = COUNT_EVERY_S
    measured_by: str = "slurm accounting"
    # When each running attempt was first seen to run, and when its files were counted, by this
    # process's own clock.
    _seen_running_s: dict[str, float] = field(default_factory=dict, init=False)
    _counted_s: dict[str, float] = field(default_factory=dict, init=False)

    def submit(self, orders: Sequence[WorkOrder]) -> Submitted:
        """Submit what has not been; the elements of an array together."""
        refused: dict[str, str] = {}
        known = [order for each in orders if (order := self._with_user(each, refused)) is not None]
        tickets = {order.attempt_id: files.read_ticket(order.folder) for order in known}
        handles = [Handle(attempt_id=order.attempt_id, folder=order.folder) for order in known]
        found = self._look_for(handles, tickets)
        fresh, put_off = [], {}
        for order in known:
            ticket = found[order.attempt_id]
            if ticket is None or (not ticket.job and not self._may_appear(ticket)):
                fresh.append(order)
            elif not ticket.job:
                put_off[order.attempt_id] = NO_ANSWER
        self._submit_all(_together(fresh, self.array_limit), refused, put_off)
        return Submitted(refused=refused, put_off=put_off)

    def status(self, handles: Sequence[Handle]) -> dict[str, RunStatus]:
        """Ask the queue once for all, and the accounting once for those that the queue lacks."""
        answers: dict[str, RunStatus] = {}
        tickets: dict[str, Ticket | None] = {}
        for handle in handles:
            end = files.read_end(handle.folder)
            if end is not None:
                answers[handle.attempt_id] = end
            else:
                tickets[handle.attempt_id] = files.read_ticket(handle.folder)
        open_ones = [handle for handle in handles if handle.attempt_id in tickets]
        found = self._look_for(open_ones, tickets)
        known = []
        for handle in open_ones:
            ticket = found[handle.attempt_id]
            if ticket is not None and ticket.job:
                known.append((handle, ticket))
            else:
                answers[handle.attempt_id] = self._unanswered(ticket)
        return answers | self._status_of(known)

    def cancel(self, handles: Sequence[Handle]) -> None:
        """Mark them, so that their end is known for ours, and have Slurm end them."""
        open_ones = [
            handle
            for handle in handles
            if files.read_ticket(handle.folder) and not files.read_end(handle.folder)
        ]
        for handle in open_ones:
            files.mark_cancelled(handle.folder)
        tickets = {handle.attempt_id: files.read_ticket(handle.folder) for handle in open_ones}
        found = self._look_for(open_ones, tickets).values()
        keys = [ticket.key for ticket in found if ticket is not None and ticket.job]
        if keys:
            self.transport.cancel(keys)

    def log(self, handle: Handle, *, offset: int, limit: int) -> LogChunk:
        """Read from the log file."""
        return read_log(handle.folder / "log.txt", offset=offset, limit=limit)

    def report(self) -> PoolReport:
        """The nodes and the queue of the cluster, or of the one partition."""
        records = [
            node
            for node in self.transport.nodes()
            if not self.partition or self.partition in node.partitions
        ]
        models = {kind: model for model, kind in self.gres_types.items()}
        partitions: dict[str, list[str]] = {}
        for node in records:
            for name in node.partitions:
                partitions.setdefault(name, []).append(node.name)
        pending, running = self.transport.depth(self.partition)
        return PoolReport(
            version=f"slurm {self.transport.version()}",
            nodes=[node_report(node, models) for node in records],
            pending=pending,
            running=running,
            partitions=partitions,
        )

    # --- submit ---

    def _with_user(self, order: WorkOrder, refused: dict[str, str]) -> WorkOrder | None:
        """The order, with whom it runs as: never the agent's own user, or root, unasked."""
        user = order.account.user if order.account is not None else self.default_user
        if not user:
            refused[order.attempt_id] = NO_USER
        elif order.account is not None and user != self.default_user and files.is_root(user):
            refused[order.attempt_id] = f"no job runs as {user} here"
        else:
            return replace(order, account=order.account or Account(user=user))
        return None

    def _submit_all(
        self,
        groups: Sequence[Sequence[WorkOrder]],
        refused: dict[str, str],
        put_off: dict[str, str],
    ) -> None:
        """Submit each group; note which never can be, and which must be tried again later."""
        nodes: list[NodeRecord] | None = None
        for group in groups:
            try:
                if nodes is None and group[0].gpu_milli % WHOLE_MILLI:
                    nodes = self.transport.nodes()
                self._submit_group(group, nodes or [])
            except Refusal as refusal:
                refused |= {order.attempt_id: str(refusal) for order in group}
            except NotNow as busy:
                put_off |= {order.attempt_id: str(busy) for order in group}
            except NotSent as away:
                raise BackendUnavailable(backend="slurm", reason=str(away)) from away

    def _submit_group(self, group: Sequence[WorkOrder], nodes: Sequence[NodeRecord]) -> None:
        """One submission: a job, or an array of those that differ in their commands only."""
        gres, parts = self._gres(group[0], nodes)
        submission, log = self._submission(group, gres)
        tickets = [
            _ticket(order, submission.name, position if submission.array else -1, parts, log)
            for position, order in enumerate(group)
        ]
        try:
            for order, ticket in zip(group, tickets, strict=True):
                files.prepare(order, search_path=self.search_path)
                files.write_ticket(order.folder, ticket)
        except OSError as error:
            _drop_tickets(group)
            raise Refusal(str(error)) from error
        try:
            job = self.transport.submit(submission)
        except (Refusal, NotNow, NotSent):
            _drop_tickets(group)
            raise
        try:
            for order, ticket in zip(group, tickets, strict=True):
                files.write_ticket(order.folder, replace(ticket, job=job))
        except OSError as error:
            # Slurm has it; the tickets that lack its number find it by its name.
            raise BackendUnavailable(backend="slurm", reason=str(error)) from error

    def _submission(self, group: Sequence[WorkOrder], gres: str) -> tuple[Submission, str]:
        """What to hand to Slurm, and where it writes what it has to say about the job."""
        first = group[0]
        account = first.account
        is_array = len(group) > 1
        # An element's own folder cannot be told to Slurm, and the first one's may be gone before
        # the last one starts.
        log = "" if is_array else f"{first.folder}/run/slurm.txt"
        submission = Submission(
            name=f"haihe-{first.attempt_id}",
            script=batch_script([order.folder for order in group]),
            folder=Path("/") if is_array else first.folder / "work",
            output=log.replace("%", "%%") or os.devnull,
            cpus=cpus_of(first),
            memory_mib=-(-first.memory_bytes // MIB),
            minutes=-(-first.wall_s // 60),
            nodes=first.nodes,
            gres=gres,
            array=len(group) if is_array else 0,
            partition=self.partition or first.partition,
            account=(account.account if account else "") or self.account,
            qos=(account.qos if account else "") or self.qos,
            user=account.user if account else "",
        )
        return submission, log

    def _gres(self, order: WorkOrder, nodes: Sequence[NodeRecord]) -> tuple[str, int]:
        if not order.gpu_milli:
            return "", 0
        kind = self.gres_types.get(order.gpu_model, order.gpu_model)
        if order.gpu_milli % WHOLE_MILLI == 0:
            return whole_gres(order.gpu_milli, kind), 0
        return part_gres(order.gpu_milli, kind, nodes)

    # --- submissions without an answer ---

    def _look_for(
        self, handles: Sequence[Handle], tickets: Mapping[str, Ticket | None]
    ) -> dict[str, Ticket | None]:
        """The tickets, with their job's number where Slurm has a job of their name after all."""
        found = dict(tickets)
        lacking = {
            handle.attempt_id: (handle, ticket)
            for handle in handles
            if (ticket := tickets.get(handle.attempt_id)) is not None and not ticket.job
        }
        if not lacking:
            return found
        names = sorted({ticket.name for _, ticket in lacking.values()})
        since = datetime.fromtimestamp(min(t.asked_at_s for _, t in lacking.values()), UTC)
        jobs = newest(self.transport.find(names, since=since - CLOCK_SLACK))
        for attempt_id, (handle, ticket) in lacking.items():
            if ticket.name in jobs:
                found[attempt_id] = ticket = replace(ticket, job=jobs[ticket.name])
                files.write_ticket(handle.folder, ticket)
        return found

    def _may_appear(self, ticket: Ticket) -> bool:
        return now().timestamp() - ticket.asked_at_s < self.settle_s

    def _unanswered(self, ticket: Ticket | None) -> RunStatus:
        if ticket is not None and self._may_appear(ticket):
            return RunStatus(state=RunState.PENDING, message=NO_ANSWER)
        return RunStatus(state=RunState.UNKNOWN)

    # --- status ---

    def _status_of(self, known: Sequence[tuple[Handle, Ticket]]) -> dict[str, RunStatus]:
        if not known:
            return {}
        names = {name for _, ticket in known for name in (ticket.name, *ticket.earlier_names)}
        jobs = sorted({ticket.job for _, ticket in known})
        queue = ours(self.transport.queue(jobs), names)
        live, rest = {}, []
        for handle, ticket in known:
            record = queue.get(ticket.key)
            if record is not None and not record.has_ended:
                live[handle.attempt_id] = self._live(handle, ticket, record)
            else:
                rest.append((handle, ticket))
        accounting, fault = self._accounting([ticket for _, ticket in rest], names, queue)
        for handle, ticket in rest:
            self._seen_running_s.pop(handle.attempt_id, None)
            self._counted_s.pop(handle.attempt_id, None)
            record = accounting.get(ticket.key)
            waiting = queue.get(f"{ticket.job}_*")
            if record is not None and record.has_ended:
                live[handle.attempt_id] = self._ended(handle, ticket, record, queue)
            elif waiting is not None:
                live[handle.attempt_id] = live_status(replace(waiting, key=ticket.key))
            else:
                seen = queue.get(ticket.key)
                live[handle.attempt_id] = self._missing(handle, ticket, seen, fault)
        return live

    def _accounting(
        self, tickets: Sequence[Ticket], names: Set[str], queue: Mapping[str, JobRecord]
    ) -> tuple[dict[str, JobRecord], str]:
        """The accounting's records, or why it does not answer: what still runs must be told."""
        if not tickets:
            return {}, ""
        try:
            jobs = sorted({ticket.job for ticket in tickets})
            records = [
                completed_record(record, queue.get(record.key))
                for record in self.transport.accounting(jobs)
            ]
            return ours(records, names), ""
        except BackendUnavailable as error:
            return {}, error.reason

    def _live(self, handle: Handle, ticket: Ticket, record: JobRecord) -> RunStatus:
        if ticket.missing_since_s:
            files.write_ticket(handle.folder, replace(ticket, missing_since_s=0, ended_state=""))
        over = self._over(handle, ticket, record)
        if over is not None:
            files.mark_over(handle.folder, over)
            self.transport.cancel([ticket.key])
        return live_status(record)

    def _over(self, handle: Handle, ticket: Ticket, record: JobRecord) -> EndReason | None:
        """Why Haihe ends an attempt that Slurm would let go on."""
        if record.is_pending:
            # Slurm would start it again on another node, but what has begun is not run twice.
            has_begun = files.claimed_by(handle.folder) == ticket.key
            return EndReason.NODE_FAILED if has_begun else None
        if "SUSPENDED" in record.states:
            self._seen_running_s.pop(handle.attempt_id, None)
            return None
        at_s = time.monotonic()
        first_s = self._seen_running_s.setdefault(handle.attempt_id, at_s)
        if (record.elapsed_s or at_s - first_s) > ticket.wall_s:
            return EndReason.WALL_LIMIT
        if at_s - self._counted_s.get(handle.attempt_id, 0.0) >= self.count_every_s:
            self._counted_s[handle.attempt_id] = at_s
            if files.written_bytes(handle.folder) > ticket.output_bytes:
                return EndReason.OUTPUT_LIMIT
        return None

    def _ended(
        self, handle: Handle, ticket: Ticket, record: JobRecord, queue: Mapping[str, JobRecord]
    ) -> RunStatus:
        """The end, kept for good; or the job that runs the attempt in this one's place."""
        marks = files.marks_of(handle.folder, ticket)
        record = replace(record, cancelled_by=_user_name(record.cancelled_by))
        if record.exit_code is None and ticket.key in queue:
            record = replace(record, exit_code=queue[ticket.key].exit_code)
        if files.was_repeated_by(handle.folder) == ticket.key:
            claimed_by = files.claimed_by(handle.folder)
            if claimed_by in ("", ticket.key):
                end = repeated_status(record, marks)
            else:
                files.write_ticket(handle.folder, ticket.numbered(claimed_by))
                message = f"Slurm has it twice; {claimed_by} runs it"
                return RunStatus(state=RunState.RUNNING, message=message, external_id=claimed_by)
        else:
            end = end_status(record, marks)
        files.write_end(handle.folder, end)
        return end

    def _missing(
        self, handle: Handle, ticket: Ticket, seen: JobRecord | None, fault: str
    ) -> RunStatus:
        """An attempt that neither waits nor runs, and whose end the accounting does not have."""
        state = seen.states[0] if seen is not None else ticket.ended_state
        at_s = now().timestamp()
        since_s = ticket.missing_since_s or at_s
        if (since_s, state) != (ticket.missing_since_s, ticket.ended_state):
            changed = replace(ticket, missing_since_s=since_s, ended_state=state)
            files.write_ticket(handle.folder, changed)
        if fault or at_s - since_s < self._awaited_s(handle, state, seen):
            what = f"it has ended (Slurm: {state})" if state else "slurmctld no longer has it"
            why = f"the accounting does not answer: {fault}" if fault else "its accounting is due"
            return RunStatus(
                state=RunState.RUNNING, message=f"{what}; {why}", external_id=ticket.key
            )
        if state in ENDED:
            record = seen or JobRecord(key=ticket.key, name=ticket.name, states=(state,))
            end = end_status(record, files.marks_of(handle.folder, ticket))
            end = replace(end, message=f"{end.message} its accounting never came".strip())
        else:
            message = f"neither slurmctld nor the accounting knows job {ticket.key}"
            end = RunStatus(
                state=RunState.LOST,
                reason=EndReason.LOST,
                message=message,
                external_id=ticket.key,
            )
        files.write_end(handle.folder, end)
        return end

    def _awaited_s(self, handle: Handle, state: str, seen: JobRecord | None) -> float:
        """How far the accounting may be behind before an attempt is judged without it."""
        if state not in ENDED:
            return self.lost_after_s
        if seen is None or seen.nodes or files.claimed_by(handle.folder):
            return self.unmetered_after_s
        # It never ran, and there is nothing to meter. Of some elements of arrays that were
        # cancelled while they waited, version 22.05 keeps no account.
        return self.settle_s


def _together(orders: Sequence[WorkOrder], limit: int) -> list[list[WorkOrder]]:
    """Elements of one array that ask for the same, in pieces that Slurm takes; others alone."""
    groups: dict[tuple[object, ...], list[WorkOrder]] = {}
    for order in orders:
        which = order.element.array_id if order.element else ""
        key = (
            which, "" if which else order.attempt_id, order.cpu_milli, order.memory_bytes,
            order.gpu_milli, order.gpu_model, order.nodes, order.wall_s, order.account,
            order.partition,
        )  # fmt: skip
        groups.setdefault(key, []).append(order)
    return [
        group[start : start + limit]
        for group in groups.values()
        for start in range(0, len(group), limit)
    ]


def _ticket(order: WorkOrder, name: str, position: int, parts: int, log: str) -> Ticket:
    earlier = files.read_ticket(order.folder)
    return Ticket(
        name=name,
        asked_at_s=now().timestamp(),
        position=position,
        log=log,
        wall_s=order.wall_s,
        output_bytes=order.output_bytes,
        memory_bytes=order.memory_bytes,
        gpu_milli=order.gpu_milli * order.nodes,
        parts_per_gpu=parts,
        earlier_names=(*earlier.earlier_names, earlier.name) if earlier else (),
    )


def _drop_tickets(group: Sequence[WorkOrder]) -> None:
    for order in group:
        files.drop_ticket(order.folder)


def _user_name(name: str) -> str:
    """A user's name for a number, where this machine knows it."""
    try:
        return pwd.getpwuid(int(name)).pw_name
    except (KeyError, ValueError):
        return name
