"""The actuator's own process, and a stand-by that takes its place to turn off.

The session writes permits into a mapped record; the host reads them every 5 ms, lets the dead man
decide, and tells the driver. Nobody has to answer for it to turn off:

- permits cease (the session is stuck or killed): the dead man turns off after at most 200 ms;
- a call of the driver fails or hangs: off is tried from another thread, and the process ends, so
  that a late "on" cannot come after the "off";
- the host is killed, stopped, or stuck inside a library: the stand-by sees that its heartbeat is
  old, opens the device anew and turns it off; and the device's own lease of 200 ms runs out.

Times are seconds of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from bci_rehab.errors import ActuatorUnavailable
from bci_rehab.session import spawned
from bci_rehab.session.host_status import (
    HostFiles,
    HostState,
    HostStatus,
    Transition,
    read_status,
    write_permit,
)
from bci_rehab.session.hosting import HEARTBEAT_S, MakeDriver, serve, stand_by
from bci_rehab.session.interlock import Fault, Limits, Permit, StopReason
from bci_rehab.session.slot import Slot
from bci_rehab.session.spawned import Process

START_WITHIN_S = 20.0
CLOSE_S = 1.0
STANDBY_TURNS_OFF_S = 0.5


class ActuatorHost:
    """The session's end: starts both processes, renews permits, reads what became of them.

    ``make_driver`` is called in the other processes and must be picklable: a driver's class with
    ``functools.partial``.
    """

    def __init__(self, make_driver: MakeDriver, *, limits: Limits, folder: Path) -> None:
        self.limits = limits
        self._files = HostFiles.within(folder)
        self._permit = Slot(self._files.permit)
        self._status = Slot(self._files.status)
        self._standby = Slot(self._files.standby)
        self._seen = 0
        self._seen_standby = 0
        self._make_driver = make_driver
        self._host: Process | None = None
        self._second: Process | None = None

    @property
    def pids(self) -> tuple[int, int]:
        """The process ids of the host and of the stand-by."""
        assert self._host is not None, "start comes first"
        assert self._second is not None, "start comes first"
        return self._host.pid, self._second.pid

    def start(self) -> None:
        """Start both processes and wait until the device is open and off.

        Raises :class:`ActuatorUnavailable` if the device cannot be opened.
        """
        arguments = (self._make_driver, self.limits, self._files, os.getpid())
        self._host = spawned.start(serve, *arguments)
        self._second = spawned.start(stand_by, *arguments)
        until_s = time.monotonic() + START_WITHIN_S
        while time.monotonic() < until_s:
            status = self.status()
            if status.state is HostState.FAILED:
                self.close()
                raise ActuatorUnavailable(driver=status.driver, reason=status.detail)
            if status.state is HostState.READY and self._standby.read() is not None:
                return
            time.sleep(0.005)
        self.close()
        raise ActuatorUnavailable(driver="", reason="its process did not start in time")

    def renew(self, permit: Permit) -> None:
        """Make ``permit`` the one that holds. Never blocks."""
        write_permit(self._permit, permit)

    def status(self) -> HostStatus:
        """What the host last said of itself."""
        return read_status(self._status)

    def fault(self, now_s: float) -> Fault | None:
        """Why the actuator cannot be relied on now, for the interlock; None if it can."""
        status = self.status()
        if status.state is not HostState.READY:
            detail = status.detail or f"the actuator is {status.state.value}"
            return Fault(reason=StopReason.DRIVER_FAILED, cause_s=status.stamp_s, detail=detail)
        if now_s - status.stamp_s > HEARTBEAT_S:
            detail = "the actuator's process does not answer"
            return Fault(reason=StopReason.DRIVER_FAILED, cause_s=status.stamp_s, detail=detail)
        if self._second is not None and self._second.poll() is not None:
            detail = "the process that stands by for the actuator has ended"
            return Fault(reason=StopReason.DRIVER_FAILED, cause_s=now_s, detail=detail)
        return None

    def news(self) -> list[Transition]:
        """The transitions since the last call, the stand-by's included."""
        fresh = [t for t in self.status().transitions if t.number > self._seen]
        stood_in = [
            t for t in read_status(self._standby).transitions if t.number > self._seen_standby
        ]
        if fresh:
            self._seen = fresh[-1].number
        if stood_in:
            self._seen_standby = stood_in[-1].number
        return fresh + stood_in

    def close(self) -> None:
        """Turn off, end both processes, and reap them."""
        if self._host is not None and not spawned.end(self._host, within_s=CLOSE_S):
            # It would not go by itself; the stand-by must have its time to turn off.
            time.sleep(STANDBY_TURNS_OFF_S)
        if self._second is not None:
            spawned.end(self._second, within_s=CLOSE_S)
