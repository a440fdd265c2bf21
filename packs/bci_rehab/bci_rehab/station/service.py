"""The station as a service of the pack: pages and the portal speak to its live session.

What the portal vouches for is in a channel's claims: the session, and the role of the page. A page
gets what its role may see, 20 times a second; one that is slow misses pictures, never orders.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bci_rehab.session.export import Person, label_of, to_bids, to_edf
from bci_rehab.session.interlock import PAGE_REPLACED
from bci_rehab.session.record_format import read_recording
from bci_rehab.station import calibration, devices
from bci_rehab.station.earlier import Earlier
from bci_rehab.station.errors import OrderInvalid, SessionNotHere, StationBusy
from bci_rehab.station.opening import RECORDING, DecoderFile, read_opening, within
from bci_rehab.station.running import RunningSession
from bci_rehab.station.summary import finish
from haihe.packs import Channel, ChannelClosed, HaiheError, ServiceContext

PATIENT, TECHNICIAN, THERAPIST = "patient", "technician", "therapist"
ROLES = frozenset({PATIENT, TECHNICIAN, THERAPIST})
ORDERS = frozenset(
    {"begin", "arm", "stop", "emergency", "pause", "resume", "skip", "abort", "note"}
)
# What the patient's page gets: enough to draw, nothing to be distracted by.
PATIENT_SEES = ("number", "at_s", "evidence", "trial", "summary", "actuator", "has_decoder")
TEXT_LIMIT = 2_000
FRAMES_LIMIT, FRAME_LIMIT_MS = 200, 60_000
# How long the end of a session may take to be seen: a pass of its loop, and the driver's off.
HALT_S = 2.0
IDLE: dict[str, Any] = {"state": "idle", "session": "", "detail": "", "fit": None}
DISCLAIMER = "For research and training; not a medical device."


def make(context: ServiceContext) -> Station:
    """The service, as the manifest names it."""
    return Station(context.home)


class Station:
    """Holds at most one live session."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._running: RunningSession | None = None
        self._state: dict[str, Any] = dict(IDLE)
        self._pages: set[_Page] = set()
        self._screen: _Page | None = None
        self._turn = asyncio.Lock()
        self._fitting: asyncio.Task[None] | None = None
        self._questions: dict[str, Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]] = {
            "state": self._tell_state,
            "sources": self._offer,
            "open": self._open,
            "fit": self._fit,
            "use": self._use,
            "close": self._close,
            "halt": self._halt,
            "export": self._export,
        }

    async def start(self) -> None:
        """Nothing is touched before a session is opened."""
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        """Close what runs; its recording can be resumed only if it had not begun to be closed."""
        if self._fitting is not None:
            self._fitting.cancel()
        if self._running is not None:
            running, self._running = self._running, None
            await asyncio.to_thread(running.close)

    async def answer(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """One question of the portal."""
        question = self._questions.get(str(message.get("what", "")))
        if question is None:
            raise OrderInvalid(order=str(message.get("what", "")), reason="no such question")
        return await question(message)

    async def handle(self, channel: Channel) -> None:
        """A page, for as long as it stays."""
        page = _Page(channel)
        if page.role not in ROLES:
            return
        self._pages.add(page)
        sending = asyncio.create_task(page.send_all())
        try:
            self._greet(page)
            self._come(page)
            async for message in channel:
                self._obey(page, message)
        finally:
            self._pages.discard(page)
            self._go(page)
            sending.cancel()
            with suppress(asyncio.CancelledError, ChannelClosed):
                await sending

    # --- questions of the portal -----------------------------------------------------------------

    async def _tell_state(self, message: Mapping[str, Any]) -> dict[str, Any]:
        del message
        return self._state

    async def _offer(self, message: Mapping[str, Any]) -> dict[str, Any]:
        del message
        return {
            "sources": await asyncio.to_thread(devices.offered_sources, self.home),
            "actuators": devices.offered_actuators(self.home),
        }

    async def _open(self, message: Mapping[str, Any]) -> dict[str, Any]:
        opening = read_opening(message)
        session = str(opening.session)
        async with self._turn:
            if self._running is not None:
                if self._state["session"] == session:
                    return self._state  # asked twice
                raise StationBusy(session=self._state["session"])
            self._become("opening", session)
            try:
                running = RunningSession(opening, self.home, self._from_session)
                await asyncio.to_thread(running.open)
            except HaiheError as error:
                self._become("idle", "", detail=str(error))
                raise
            except BaseException:
                self._become("idle", "")
                raise
            self._running = running
            self._become("live", session)
            for page in self._pages:
                self._greet(page)
            self._count_staff(session)
        return self._state

    async def _fit(self, message: Mapping[str, Any]) -> dict[str, Any]:
        running = self._held(message)
        if self._fitting is None or self._fitting.done():
            self._state = {**self._state, "fit": {"state": "running", "detail": ""}}
            self._fitting = asyncio.create_task(self._fitted(running))
        return {"started": True}

    async def _use(self, message: Mapping[str, Any]) -> dict[str, Any]:
        running = self._held(message)
        try:
            file = DecoderFile.model_validate(message.get("decoder"))
        except ValidationError as error:
            reason = devices.first_problem(error)
            raise OrderInvalid(order="use", reason=reason) from error
        await asyncio.to_thread(running.use, file)
        return self._state

    async def _close(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """End a session. One that was lost here is finished from what its recording holds."""
        async with self._turn:
            if (left := self._left_behind(message)) is not None:
                return {"summary": await self._beside(partial(finish, left))}
            running = self._held(message)
            summary = await asyncio.to_thread(running.close)
            self._running = None
            for page in self._pages:
                page.offer({"type": "ended", "summary": page.may_see(summary)})
            self._become("idle", "")
        return {"summary": summary}

    async def _halt(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """The patient may not train any more: end it, and say whether it has ended."""
        running = self._held(message)
        running.order("halt", by="portal", text=_writable(str(message.get("why", ""))))
        return {"ended": await asyncio.to_thread(running.ended.wait, HALT_S)}

    async def _export(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """A closed session as BIDS-EEG or EDF+, written by a process of its own."""
        said = {name: str(message.get(name, "")) for name in ("folder", "to")}
        recording = within(self.home, said["folder"]) / RECORDING
        write = EXPORTS.get(str(message.get("format", "bids")))
        if write is None or not recording.is_file():
            raise OrderInvalid(order="export", reason="no such format or recording")
        to = within(self.home, said["to"])
        names = str(message.get("pseudonym", "")), str(message.get("session", ""))
        await self._beside(partial(write, recording, to, *names))
        return {"to": said["to"]}

    async def _beside(self, job: Callable[[], Any]) -> Any:
        """Run something long in a process of its own, so that a live session does not feel it."""
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return await self._loop.run_in_executor(pool, job)

    def _left_behind(self, message: Mapping[str, Any]) -> Path | None:
        """The folder of a session that is not held, if there is a recording in it."""
        held = self._running is not None and str(self._running.opening.session)
        if held == str(message.get("session", "")) or not message.get("folder"):
            return None
        folder = within(self.home, str(message["folder"]))
        return folder if (folder / RECORDING).is_file() else None

    def _held(self, message: Mapping[str, Any]) -> RunningSession:
        session = str(message.get("session", ""))
        if self._running is None or str(self._running.opening.session) != session:
            raise SessionNotHere(session=session)
        return self._running

    async def _fitted(self, running: RunningSession) -> None:
        """Fit beside the session, in a process of its own, and keep the outcome in the state."""
        number = len(list(running.folder.glob("decoder-*.zip"))) + 1
        to = running.folder / f"decoder-{number}.zip"
        job = partial(
            calibration.fit,
            running.recording,
            to,
            wanted_per_min=running.opening.false_triggers_per_min,
            version=f"{version('haihe-bci-rehab')}+{running.opening.session}-{number}",
            earlier=[
                Earlier(decoder=within(self.home, one.file), sha256=one.sha256)
                for one in running.opening.earlier
            ],
        )
        try:
            fitted = await self._beside(job)
            made = {**fitted.to_json(), "file": str(to.relative_to(self.home.resolve()))}
            outcome = {"state": "done", "detail": "", **made}
        except HaiheError as error:
            outcome = {"state": "failed", "detail": str(error), "error": error.code}
        except Exception as error:  # noqa: BLE001 - told to the therapist; the session goes on
            outcome = {"state": "failed", "detail": f"{type(error).__name__}: {error}"}
        self._state = {**self._state, "fit": outcome}

    # --- pages -----------------------------------------------------------------------------------

    def _greet(self, page: _Page) -> None:
        """Tell a page what it is about."""
        running = self._running
        if running is None or str(running.opening.session) != page.session:
            page.offer({"type": "state", **self._state})
            return
        page.offer({**running.opened_message(), "disclaimer": DISCLAIMER})

    def _come(self, page: _Page) -> None:
        """A page is there. Of patients' pages the newest counts, and the one before is told so."""
        if page.role == PATIENT:
            if self._screen is not None:
                self._screen.offer({"type": "replaced"})
                self._say_of_pages("page", page.session, text=PAGE_REPLACED)
            self._screen = page
        self._count_staff(page.session)

    def _go(self, page: _Page) -> None:
        """A page has left: nothing moves that nobody sees, or that nobody could stop."""
        if page is self._screen:
            self._screen = None
            self._say_of_pages("page", page.session)
        self._count_staff(page.session)

    def _count_staff(self, session: str) -> None:
        there = any(one.role == THERAPIST and one.session == session for one in self._pages)
        self._say_of_pages("staff", session, present=there)

    def _say_of_pages(self, what: str, session: str, **said: Any) -> None:
        """Tell the live session of its pages, if it is theirs."""
        running = self._running
        if running is not None and str(running.opening.session) == session:
            running.order(what, **said)

    def _obey(self, page: _Page, message: Mapping[str, Any]) -> None:
        """Carry out what a page asks for, if its role may; nothing else is answered."""
        running, what = self._running, message.get("what")
        if running is None or str(running.opening.session) != page.session:
            return
        if what == "emergency":
            running.order("emergency", by=page.name)
        elif what == "drawn" and page is self._screen:
            number = message.get("number")
            if isinstance(number, int):
                running.drawn(number, _frame_times(message.get("frame_ms")))
        elif what == "order" and page.role == THERAPIST and message.get("order") in ORDERS:
            text, number = message.get("text", ""), message.get("id", 0)
            running.order(
                str(message["order"]),
                by=page.name,
                text=_writable(str(text)[:TEXT_LIMIT]),
                id=number if isinstance(number, int) else 0,
            )

    def _from_session(self, message: dict[str, Any]) -> None:
        """In the session's thread: hand a message over to the pages."""
        with suppress(RuntimeError):  # the loop is closed: the service is being stopped
            self._loop.call_soon_threadsafe(self._publish, message)

    def _publish(self, message: dict[str, Any]) -> None:
        running = self._running
        if running is None:
            return
        if message.get("type") == "failed":
            self._become("failed", self._state["session"], detail=message["detail"])
            return
        here = [page for page in self._pages if page.session == self._state["session"]]
        message |= {
            "type": "live",
            "fit": self._state["fit"],
            "patient_page": self._screen in here,
        }
        reduced = {"type": "live", **{name: message[name] for name in PATIENT_SEES}}
        for page in here:
            page.offer(reduced if page.role == PATIENT else message)
        if message["trial"]["ended"] and self._state["state"] == "live":
            self._become("ended", self._state["session"])

    def _become(self, state: str, session: str, detail: str = "") -> None:
        self._state = {"state": state, "session": session, "detail": detail, "fit": None}
        for page in self._pages:
            page.offer({"type": "state", **self._state})


def _frame_times(given: object) -> list[float]:
    """What a page says of its frames (ms), without what no frame takes."""
    frames = given if isinstance(given, list) else []
    numbers = [v for v in frames[:FRAMES_LIMIT] if isinstance(v, int | float)]
    return [float(v) for v in numbers if 0 <= v <= FRAME_LIMIT_MS]


def _writable(text: str) -> str:
    """Text that can be written down: halves of characters, which JSON can carry, are replaced."""
    return text.encode("utf-8", "replace").decode()


def _to_bids(recording: Path, root: Path, pseudonym: str, session: str) -> None:
    read = read_recording(recording)
    task = str(read.info["plan"]["task"])
    to_bids(read, root, Person(pseudonym=pseudonym), session=session, task=task)


def _to_edf(recording: Path, root: Path, pseudonym: str, session: str) -> None:
    root.mkdir(parents=True, exist_ok=True)
    name = f"{label_of(pseudonym)}-{label_of(session)}.edf"
    to_edf(read_recording(recording), root / name, Person(pseudonym=pseudonym))


EXPORTS: Mapping[str, Callable[[Path, Path, str, str], None]] = {"bids": _to_bids, "edf": _to_edf}


class _Page:
    """A page's end: the newest messages wait here, and old pictures are dropped first."""

    WAITING = 4

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        claims = channel.claims
        self.session = str(claims.get("session", ""))
        self.role = str(claims.get("role", ""))
        self.name = str(claims.get("name", ""))
        self._waiting: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    def offer(self, message: dict[str, Any]) -> None:
        """Queue a message; of live ones only the newest few are kept."""
        live = [one for one in self._waiting if one["type"] == "live"]
        if message["type"] == "live" and (len(live) >= self.WAITING or self._channel.behind):
            if not live:
                return
            self._waiting.remove(live[0])
        self._waiting.append(message)
        self._news.set()

    def may_see(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        """Of a summary, what the role is shown."""
        if self.role != PATIENT:
            return dict(summary)
        shown = ("trials", "hits", "quiet", "accuracy", "time_on_task_s")
        return {name: summary[name] for name in shown}

    async def send_all(self) -> None:
        """Send what waits, for as long as the channel is open."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                await self._channel.send(self._waiting.pop(0))
