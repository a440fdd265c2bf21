"""What runs in the actuator's process and in its stand-by. See :mod:`bci_rehab.session.actuator`.

Nothing heavy is imported here: the processes must be there within a moment and stay small.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from types import FrameType
from typing import TypeAlias

from bci_rehab.session.deadman import PUNCTUAL_S, DeadMan, Output
from bci_rehab.session.drivers import Driver
from bci_rehab.session.host_status import (
    TRANSITIONS_KEPT,
    HostFiles,
    HostState,
    HostStatus,
    Transition,
    read_permit,
    read_status,
    write_status,
)
from bci_rehab.session.interlock import Limits, StopReason
from bci_rehab.session.slot import Slot

MakeDriver: TypeAlias = Callable[[], Driver]

PERIOD_S = 0.005
# A heartbeat this old means that the host is dead, stopped or stuck. It beats every 5 ms; the rest
# is for a machine that is busy, since a false alarm costs a new arming.
HEARTBEAT_S = 0.12
# "On" is repeated well within the device's lease of 200 ms; "off" as often, for a while, since a
# datagram may be lost.
REPEAT_S = 0.05
OFF_REPEATED_S = 0.5
# A driver's call that takes longer is cut off.
CALL_S = 0.08
OFF_ATTEMPTS = 3
OFF_ATTEMPT_S = 0.05
# Off comes first; what else a driver does to disconnect may take a little longer.
CLOSE_S = 0.5
STANDBY_PERIOD_S = 0.01
# After so long without a heartbeat nobody comes back.
GONE_S = 3.0
# A stuck interpreter (a library that never gives it back) is ended from outside of it.
STUCK_S = 0.2
FAILED_EXIT = 3


def serve(make_driver: MakeDriver, limits: Limits, files: HostFiles, session_pid: int) -> None:
    """The actuator's process: permits in, driver calls out, until the session is gone."""
    stopping = _stop_on_signal()
    slot = Slot(files.status)
    host = _Host(make_driver, slot)
    if not host.opened():
        return
    permits, dead_man = Slot(files.permit), DeadMan(limits)
    seen, permit, watched_s = 0, None, 0.0
    while not stopping.is_set() and os.getppid() == session_pid:
        now_s = time.monotonic()
        word = permits.read()
        if word is not None and word.number != seen:
            seen, permit = word.number, read_permit(word)
        host.follow(dead_man.step(now_s, permit), now_s)
        if now_s - watched_s > STUCK_S / 4:
            faulthandler.dump_traceback_later(STUCK_S, exit=True)
            watched_s = now_s
        time.sleep(PERIOD_S)
    faulthandler.cancel_dump_traceback_later()
    host.closed()


def stand_by(make_driver: MakeDriver, limits: Limits, files: HostFiles, session_pid: int) -> None:
    """Whenever the host's heartbeat is old, or it says that it failed, turn off in its place."""
    del limits
    stopping = _stop_on_signal()
    own, host = Slot(files.standby), Slot(files.status)
    write_status(own, HostStatus(state=HostState.READY, stamp_s=time.monotonic()))
    turned_off = False
    while not stopping.is_set():
        status = read_status(host)
        age_s = time.monotonic() - status.stamp_s
        if status.state is HostState.CLOSED:
            return
        opened = status.state is not HostState.OPENING
        if not opened and os.getppid() != session_pid:
            return  # the session died before there was anything to turn off
        gone = opened and (status.state is HostState.FAILED or age_s > HEARTBEAT_S)
        if gone and not turned_off:
            _turn_off_anew(make_driver, own)
        # A host that was only late goes on, off, and is watched again.
        turned_off = gone
        if gone and age_s > GONE_S:
            return
        time.sleep(STANDBY_PERIOD_S)


class _Host:
    """Holds the driver; its calls run in a thread of their own, so that one that hangs is seen."""

    def __init__(self, make_driver: MakeDriver, slot: Slot) -> None:
        self._make_driver = make_driver
        self._slot = slot
        self._driver: Driver | None = None
        self._status = HostStatus(state=HostState.OPENING, stamp_s=time.monotonic())
        self._wish = threading.Condition()
        self._wanted: Output | None = None
        self._called_s: float | None = None
        self._done: tuple[Output, float] | None = None
        self._error = ""
        self._sent_s = 0.0
        self._off_since_s = time.monotonic()

    def opened(self) -> bool:
        """Open the device; whether that went well."""
        try:
            self._driver = self._make_driver()
            self._status = replace(self._status, driver=self._driver.name)
            self._driver.open()
        except Exception as error:  # noqa: BLE001 - a driver is foreign code; all it raises is told
            self._tell(state=HostState.FAILED, detail=_said(error))
            return False
        threading.Thread(target=self._work, daemon=True, name="driver").start()
        self._tell(state=HostState.READY)
        return True

    def follow(self, output: Output, now_s: float) -> None:
        """Bring the driver to ``output``; cut it off if it failed or hangs."""
        self._take_note()
        called_s = self._called_s
        if self._error or (called_s is not None and now_s - called_s > CALL_S):
            self._cut(self._error or f"a call did not return within {CALL_S * 1e3:.0f} ms")
        changed = output.level != self._status.level
        if output.level == 0.0 and self._status.level > 0.0:
            self._off_since_s = now_s
        repeat = output.level > 0.0 or now_s - self._off_since_s < OFF_REPEATED_S
        idle = self._wanted is None
        if idle and (changed or (repeat and now_s - self._sent_s >= REPEAT_S)):
            with self._wish:
                self._wanted, self._sent_s = output, now_s
                self._wish.notify()
        self._tell(why_off=output.reason)

    def closed(self) -> None:
        """Turn off, disconnect, and say so."""
        assert self._driver is not None
        off = _attempt(self._driver)
        if self._status.level > 0.0 and off is not None:
            self._note(0.0, off, StopReason.PERMIT_LATE)
        closing = threading.Thread(target=self._close_driver, daemon=True)
        closing.start()
        closing.join(CLOSE_S)
        self._tell(state=HostState.CLOSED, level=0.0)
        os._exit(0)  # a driver that hangs must not keep the process, nor come back with "on"

    def _close_driver(self) -> None:
        assert self._driver is not None
        with suppress(Exception):  # off was tried before; the process ends in any case
            self._driver.close()

    def _work(self) -> None:
        """The driver's thread: carry out the last wish."""
        assert self._driver is not None
        while True:
            with self._wish:
                while self._wanted is None:
                    self._wish.wait()
                wanted = self._wanted
                self._called_s = time.monotonic()
            try:
                self._call(self._driver, wanted)
            except Exception as error:  # noqa: BLE001 - a driver is foreign code; all it raises is told
                self._error = _said(error)
                return
            with self._wish:
                self._done = (wanted, time.monotonic())
                self._wanted, self._called_s = None, None

    def _call(self, driver: Driver, wanted: Output) -> None:
        if wanted.level <= 0.0:
            driver.off()
            return
        if time.monotonic() - self._sent_s > PUNCTUAL_S:
            raise TimeoutError("the actuator's process was itself stopped")
        driver.on(wanted.level)

    def _take_note(self) -> None:
        """Log what the driver's thread has done since; this thread alone writes the status."""
        with self._wish:
            done, self._done = self._done, None
        if done is not None and done[0].level != self._status.level:
            self._note(done[0].level, done[1], done[0].reason)

    def _note(self, level: float, at_s: float, reason: StopReason | None) -> None:
        before = self._status.transitions
        transition = Transition(
            number=before[-1].number + 1 if before else 1, at_s=at_s, level=level, reason=reason
        )
        kept = (*before, transition)[-TRANSITIONS_KEPT:]
        self._status = replace(self._status, level=level, transitions=kept)

    def _cut(self, detail: str) -> None:
        """Off from another thread, as often as it takes; then the end of this process."""
        assert self._driver is not None
        faulthandler.cancel_dump_traceback_later()
        off_s = _attempt(self._driver)
        if off_s is None:
            detail = f"{detail}; it did not take off either"
        else:
            self._note(0.0, off_s, StopReason.DRIVER_FAILED)
        self._tell(state=HostState.FAILED, detail=detail, why_off=StopReason.DRIVER_FAILED)
        os._exit(FAILED_EXIT)

    def _tell(self, **changes: object) -> None:
        self._status = replace(self._status, stamp_s=time.monotonic(), **changes)  # type: ignore[arg-type]
        write_status(self._slot, self._status)


def _attempt(driver: Driver) -> float | None:
    """Try to turn off, each time in a fresh thread; when the call returned, or None."""
    done: list[float] = []

    def off() -> None:
        with suppress(Exception):  # the next attempt, and the report, follow from `done`
            driver.off()
            done.append(time.monotonic())

    for _ in range(OFF_ATTEMPTS):
        thread = threading.Thread(target=off, daemon=True)
        thread.start()
        thread.join(OFF_ATTEMPT_S)
        if done:
            return done[0]
    return None


def _turn_off_anew(make_driver: MakeDriver, own: Slot) -> None:
    """In the stand-by: open the device as if for the first time, which turns it off."""
    before = read_status(own)
    status = replace(before, state=HostState.FAILED, level=0.0)
    try:
        driver = make_driver()
        driver.open()
    except Exception as error:  # noqa: BLE001 - a driver is foreign code; all it raises is told
        write_status(own, replace(status, stamp_s=time.monotonic(), detail=_said(error)))
        return
    off_s = _attempt(driver)
    if off_s is not None:
        number = before.transitions[-1].number + 1 if before.transitions else 1
        off = Transition(number=number, at_s=off_s, level=0.0, reason=StopReason.DRIVER_FAILED)
        status = replace(status, state=HostState.READY, transitions=(off,))
    write_status(own, replace(status, stamp_s=time.monotonic()))
    with suppress(Exception):  # off was said; nothing more can be done from here
        driver.close()


def _stop_on_signal() -> threading.Event:
    """Set on SIGTERM. Ctrl-C is for the session: its permits cease then, and that is enough."""
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return stopping


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
