"""The agent's work: one step at a time, each of which may be the last before a crash.

A step first talks to the platform, then starts what it may start, then looks at what runs. What
must survive is in the journal before anything follows from it, and every call to a back-end can be
repeated; so a step that was broken off is simply done again.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import structlog

from haihe import __version__
from haihe.compute.agent.journal import Journal, Kept, Stage
from haihe.compute.agent.links import Link
from haihe.compute.agent.messages import (
    LIST_LIMIT,
    LOG_PIECE_CHARS,
    Exchange,
    LogPiece,
    NodeItem,
    Order,
    PoolFault,
    PoolItem,
    Report,
    UsageItem,
)
from haihe.compute.agent.plain_files import opened_plainly
from haihe.compute.backends import (
    Account,
    ArrayElement,
    Backend,
    Handle,
    PoolReport,
    RunState,
    RunStatus,
    Seat,
    Submitted,
    WorkOrder,
)
from haihe.compute.domain import EndReason
from haihe.compute.errors import AgentStopped, BackendUnavailable, LinkDown, PlatformRefused
from haihe.kernel.clock import now
from haihe.kernel.crash import crash_point
from haihe.kernel.errors import HaiheError, StorageUnavailable
from haihe.kernel.storage import storage_failure, takes_files

REPORT_EVERY = timedelta(seconds=15)
LOGS_AT_ONCE = 16
REFUSED_SHOWN = 5
NEVER = datetime.min.replace(tzinfo=UTC)
NO_ROOM = "the agent's disk has no room for a job's files"

log = structlog.get_logger(__name__)

Folder = Callable[[UUID, int], Path]
Metrics = Callable[[str], Mapping[str, float]]


@dataclass
class Agent:
    """One running agent.

    ``backends`` are the centre's pools by slug; ``folder`` gives the folder of a job's attempt;
    ``metrics`` adds what else is measured of a pool.
    """

    journal: Journal
    link: Link
    backends: Mapping[str, Backend]
    folder: Folder
    metrics: Metrics = lambda pool: {}
    report_every: timedelta = REPORT_EVERY
    epoch: int = 0
    _number: int = 0
    _has_room: bool = True
    _logged: dict[UUID, datetime] = field(default_factory=dict)
    _faults: dict[str, str] = field(default_factory=dict)
    _observed: dict[str, datetime] = field(default_factory=dict)

    def step(self) -> int:
        """Talk, start, look; how much happened, so that the caller knows whether to pause."""
        happened = 0
        self._look_for_room()
        try:
            happened += self.talk()
        except (LinkDown, PlatformRefused) as error:
            log.info("agent.not_heard", reason=error.reason)
        happened += self._start_ready() + self._look()
        return happened

    # --- talk ---

    def talk(self) -> int:
        """One exchange: pass on what is new, keep what is heard."""
        said = self._say()
        try:
            answer = self.link.exchange(said)
        except LinkDown:
            self.journal.keep_samples(said.pools, said.sent_at)
            raise
        crash_point("agent.heard")
        if self.epoch != answer.epoch:
            self.epoch, self._number = answer.epoch, 0
            self._compare_pools(answer.pools)
        with self.journal.all_or_nothing():
            done = self.journal.heard(answer.heard)
            self.journal.accept(answer.offers)
            self.journal.accept(answer.forgotten, stage=Stage.STARTED)
            self.journal.drop(answer.revoked)
            self.journal.advance(answer.go, Stage.ACCEPTED, Stage.READY)
            self.journal.mark_cancelled(answer.cancel)
            self.journal.drop_samples(said.earlier, said.sent_at)
            for piece in said.logs:
                self.journal.note_log(piece.attempt_id, piece.offset + len(piece.content))
        for kept in done:
            self._clean(kept.order)
        return len(answer.offers) + len(answer.go) + len(answer.cancel) + len(done)

    def _say(self) -> Exchange:
        self._number = self._number + 1 if self.epoch else self.journal.next_start()
        pools, at = self._pool_items(), now()
        return Exchange(
            version=__version__,
            epoch=self.epoch,
            number=self._number,
            sent_at=at,
            accepted=[k.order.attempt_id for k in self.journal.kept(Stage.ACCEPTED)][:LIST_LIMIT],
            held=self.journal.known() if self.epoch == 0 else None,
            reports=self.journal.unheard(LIST_LIMIT),
            logs=[] if self.link.shares_files else self._log_pieces(),
            pools=pools,
            earlier=self.journal.earlier(LIST_LIMIT, at),
            faults=[PoolFault(pool=pool, fault=why) for pool, why in self._wrong().items()],
        )

    def _compare_pools(self, there: Sequence[str]) -> None:
        """Tell the operator of pools that only one side knows: they get no jobs."""
        for name in sorted(set(there) - set(self.backends)):
            log.warning("agent.pool_not_served", pool=name, hint="add it to agent.toml")
        for name in sorted(set(self.backends) - set(there)):
            log.warning("agent.pool_unknown", pool=name, hint="the centre has none of that name")

    def _wrong(self) -> dict[str, str]:
        """Why a pool can start nothing now, by pool."""
        return self._faults if self._has_room else dict.fromkeys(self.backends, NO_ROOM)

    def _pool_items(self) -> list[PoolItem]:
        """What is new of the pools since the last exchange that said it."""
        items = []
        for pool, backend in self.backends.items():
            last = self._observed.get(pool)
            if last is not None and now() - last < self.report_every:
                continue
            try:
                report = backend.report()
            except BackendUnavailable as error:
                self._faults[pool] = error.reason
                continue
            self._faults.pop(pool, None)
            self._observed[pool] = now()
            items.append(_pool_item(pool, report, self.metrics(pool)))
        return items

    def _log_pieces(self) -> list[LogPiece]:
        """What is new in the logs of what runs; who was heard longest ago comes first."""
        pieces: list[LogPiece] = []
        running = self.journal.kept(Stage.STARTED)
        for kept in sorted(
            running, key=lambda kept: self._logged.get(kept.order.attempt_id, NEVER)
        ):
            if len(pieces) == LOGS_AT_ONCE:
                break
            with opened_plainly(self._handle(kept.order).folder / "log.txt") as file:
                if file is not None:
                    file.seek(kept.log_offset)
                content = b"" if file is None else file.read(LOG_PIECE_CHARS)
            if content:
                piece = LogPiece(
                    attempt_id=kept.order.attempt_id, offset=kept.log_offset, content=content
                )
                pieces.append(piece)
        self._logged = {
            attempt: at
            for kept in running
            if (at := self._logged.get(attempt := kept.order.attempt_id))
        } | {piece.attempt_id: now() for piece in pieces}
        return pieces

    # --- start ---

    def _start_ready(self) -> int:
        """Start what is free to start; of each pool all at once, so that arrays stay together."""
        started = 0
        if not self._has_room:
            return 0
        for pool, ready in self._by_pool(Stage.READY).items():
            wanted = [kept for kept in ready if not self._end_before_start(kept)]
            orders = [kept.order for kept in wanted if self._has_inputs(kept.order)]
            backend = self.backends.get(pool)
            if backend is None:
                self._refuse_all(orders, f"this agent has no pool {pool!r}")
                continue
            if not orders:
                continue
            try:
                done = backend.submit([self._work_order(order) for order in orders])
            except BackendUnavailable as error:
                self._faults[pool] = error.reason
                continue
            except OSError as error:
                if storage_failure(error) is None:
                    raise
                self._faults[pool] = str(error)
                continue
            crash_point("agent.submitted")
            started += self._note_submitted(orders, done)
        return started

    def _note_submitted(self, orders: Sequence[Order], done: Submitted) -> int:
        """Go on with what was taken, report why the rest was not; how much of it is settled."""
        taken = []
        for order in orders:
            key = str(order.attempt_id)
            if key in done.refused:
                self._refuse_all([order], done.refused[key])
            elif key in done.put_off:
                waits = RunStatus(state=RunState.PENDING, message=done.put_off[key])
                self._report(order, waits, measured_by="")
            else:
                taken.append(order.attempt_id)
        self.journal.advance(taken, Stage.READY, Stage.STARTED)
        return len(orders) - len(done.put_off)

    def _look_for_room(self) -> None:
        """Whether the home takes a job's files; while it does not, no pool starts anything."""
        before, self._has_room = self._has_room, takes_files()
        if before != self._has_room:
            log.warning("agent.room", has_room=self._has_room)

    def _end_before_start(self, kept: Kept) -> bool:
        """An order whose end is wanted before it was started here has ended, without any use.

        It may have been started by a process that crashed before it wrote so; then the back-end
        knows it, and it is ended there.
        """
        if not kept.is_cancelled:
            return False
        backend = self.backends.get(kept.order.pool)
        handle = self._handle(kept.order)
        try:
            seen = backend.status([handle]).get(handle.attempt_id) if backend else None
        except BackendUnavailable:
            return True
        if seen is None or seen.state is RunState.UNKNOWN:
            ended = RunStatus(state=RunState.ENDED, reason=EndReason.CANCELLED)
            self._report(kept.order, ended, measured_by="")
        else:
            self.journal.advance([kept.order.attempt_id], Stage.READY, Stage.STARTED)
        return True

    def _has_inputs(self, order: Order) -> bool:
        """Bring the inputs; an order whose inputs are refused for good has ended."""
        try:
            self.link.fetch_inputs(order, self._handle(order).folder)
        except LinkDown:
            return False
        except (AgentStopped, StorageUnavailable):
            raise
        except (HaiheError, OSError) as error:
            if storage_failure(error) is not None:
                return False
            self._refuse_all([order], str(error))
            return False
        return True

    def _refuse_all(self, orders: Iterable[Order], why: str) -> None:
        for order in orders:
            log.warning("agent.not_started", attempt_id=str(order.attempt_id), reason=why)
            ended = RunStatus(state=RunState.ENDED, reason=EndReason.NOT_STARTED, message=why)
            self._report(order, ended, measured_by="")

    # --- look ---

    def _look(self) -> int:
        """Ask each back-end once what became of everything it has; report what changed."""
        changed = 0
        for pool, started in self._by_pool(Stage.STARTED).items():
            backend = self.backends.get(pool)
            if backend is None:
                continue
            handles = [self._handle(kept.order) for kept in started]
            unwanted = [
                handle for handle, kept in zip(handles, started, strict=True) if kept.is_cancelled
            ]
            try:
                if unwanted:
                    backend.cancel(unwanted)
                seen = backend.status(handles)
            except BackendUnavailable as error:
                self._faults[pool] = error.reason
                continue
            for kept in started:
                status = seen.get(str(kept.order.attempt_id))
                if status is not None:
                    changed += self._note(kept, status, backend.measured_by)
        return changed

    def _note(self, kept: Kept, status: RunStatus, measured_by: str) -> int:
        """Report what became of an attempt, if it is news; its files go before its end."""
        if status.state is RunState.UNKNOWN:
            status = RunStatus(
                state=RunState.LOST,
                reason=EndReason.LOST,
                message="the scheduler has no trace of it",
            )
        word = f"{status.state} {status.message}"[:200]
        if word == kept.last_word:
            return 0
        if status.state in (RunState.ENDED, RunState.LOST) and not self.link.shares_files:
            try:
                refused = self.link.send_outputs(
                    kept.order.attempt_id, self._handle(kept.order).folder
                )
            except LinkDown as error:
                log.warning("agent.results_not_sent", reason=error.reason)
                return 0
            if refused:
                log.warning("agent.results_refused", paths=refused)
                status = replace(status, message=_with_refused(status.message, refused))
        self._report(kept.order, status, measured_by=measured_by)
        return 1

    def _report(self, order: Order, status: RunStatus, *, measured_by: str) -> None:
        used = status.usage
        usage = None
        if used is not None:
            usage = UsageItem(
                cpu_ms=used.cpu_ms,
                gpu_milli_ms=used.gpu_milli_ms,
                wall_ms=used.wall_ms,
                peak_memory_bytes=used.peak_memory_bytes,
                output_bytes=used.output_bytes,
            )
        report = Report(
            number=1,
            attempt_id=order.attempt_id,
            state=str(status.state),
            reason=status.reason,
            exit_code=status.exit_code,
            message=status.message[:2_000],
            usage=usage,
            measured_by=measured_by,
            external_id=status.external_id[:200],
            nodes=list(status.nodes)[:1_000],
            started_at=status.started_at,
            finished_at=status.finished_at,
        )
        self.journal.report(report, word=f"{status.state} {status.message}"[:200])
        crash_point("agent.reported")

    def _clean(self, order: Order) -> None:
        """Remove what a job was given to read; and the rest too, if the platform has it."""
        folder = self._handle(order).folder
        shutil.rmtree(folder / "inputs" if self.link.shares_files else folder, ignore_errors=True)

    # --- words ---

    def _by_pool(self, stage: Stage) -> dict[str, list[Kept]]:
        found: dict[str, list[Kept]] = defaultdict(list)
        for kept in self.journal.kept(stage):
            found[kept.order.pool].append(kept)
        return found

    def _handle(self, order: Order) -> Handle:
        return Handle(
            attempt_id=str(order.attempt_id), folder=self.folder(order.job_id, order.number)
        )

    def _work_order(self, order: Order) -> WorkOrder:
        plain = order.model_dump(
            include={
                "name", "cpu_milli", "cpu_limit_s", "memory_bytes", "wall_s", "output_bytes",
                "gpu_milli", "gpu_model", "nodes", "partition",
            }
        )  # fmt: skip
        return WorkOrder(
            **plain,
            attempt_id=str(order.attempt_id),
            job_id=str(order.job_id),
            folder=self._handle(order).folder,
            command=order.command,
            environment=order.environment,
            seats=[Seat(**seat.model_dump()) for seat in order.seats],
            account=Account(**order.account.model_dump()) if order.account else None,
            element=ArrayElement(**order.element.model_dump()) if order.element else None,
        )


def _with_refused(message: str, refused: Sequence[str]) -> str:
    """What an attempt's end says, and which of its files the platform does not keep."""
    shown = ", ".join(refused[:REFUSED_SHOWN])
    more = f" and {len(refused) - REFUSED_SHOWN} more" if len(refused) > REFUSED_SHOWN else ""
    return "; ".join(filter(None, [message, f"not kept by the platform: {shown}{more}"]))


def _pool_item(pool: str, report: PoolReport, metrics: Mapping[str, float]) -> PoolItem:
    return PoolItem(
        pool=pool,
        age_s=0,
        version=report.version[:400],
        nodes=_node_items(report),
        pending=report.pending,
        running=report.running,
        metrics=dict(metrics),
    )


def _node_items(report: PoolReport) -> Sequence[NodeItem]:
    return [
        NodeItem(
            name=node.name,
            condition=str(node.condition),
            cpu_milli=node.cpu_milli,
            memory_bytes=node.memory_bytes,
            gpus=node.gpus,
            gpu_model=node.gpu_model,
            used_cpu_milli=node.used_cpu_milli,
            used_memory_bytes=node.used_memory_bytes,
            used_gpu_milli=node.used_gpu_milli,
            reason=node.reason[:400],
        )
        for node in report.nodes
    ]
