"""The interlock: whether the actuator may move now, and if not, why.

The actuator is off until an operator arms it, and it moves only while a permit is renewed. The
interlock issues permits; a dead man (:mod:`bci_rehab.session.deadman`) in the actuator's own
process turns off when they cease. Both are pure: time is handed in, in seconds of the host's
monotonic clock, and nothing here reads a device.

A comparison that fails for a number that is not one (NaN) stops: "unknown" is never "well".
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from bci_rehab.errors import LimitsUnsafe, NotArmable
from haihe.packs import gettext_noop

# What the whole chain must keep: from a cause to the driver's off (s).
STOP_WITHIN_S = 0.25
# What a tick of the session and of the actuator's process, and the driver's call, may take of it.
CHAIN_S = 0.05
LOG_LIMIT = 1_000
BAD_CHANNELS = gettext_noop("{count} channels")
PAGE_REPLACED = gettext_noop("another page took its place")
DETAILS = (BAD_CHANNELS, PAGE_REPLACED)


class StopReason(StrEnum):
    """Why the actuator is off. The value is the code in logs; ``words`` is for people."""

    NOT_ARMED = "not_armed"
    DATA_STALE = "data_stale"
    SAMPLES_LOST = "samples_lost"
    CHANNELS_BAD = "channels_bad"
    SOURCE_CHANGED = "source_changed"
    STREAM_IRREGULAR = "stream_irregular"
    SIGNAL_IMPLAUSIBLE = "signal_implausible"
    DECODER_FAILED = "decoder_failed"
    DECODER_LATE = "decoder_late"
    DECODER_CONTRADICTS = "decoder_contradicts"
    PAGE_CLOSED = "page_closed"
    STAFF_AWAY = "staff_away"
    THERAPIST_STOP = "therapist_stop"
    EMERGENCY_KEY = "emergency_key"
    PERMIT_LATE = "permit_late"
    RECORDER_FAILED = "recorder_failed"
    DRIVER_FAILED = "driver_failed"
    PART_REPLACED = "part_replaced"
    SESSION_ENDED = "session_ended"
    ON_TOO_LONG = "on_too_long"
    DUTY_EXCEEDED = "duty_exceeded"
    REFRACTORY = "refractory"

    @property
    def words(self) -> str:
        """What happened, in plain words, as a key of the message catalogue."""
        return _WORDS[self]

    @property
    def latched(self) -> bool:
        """Whether a person must arm again before the actuator may move."""
        return self in LATCHED


_WORDS: Mapping[StopReason, str] = {
    StopReason.NOT_ARMED: gettext_noop("Nobody has armed the actuator."),
    StopReason.DATA_STALE: gettext_noop("No fresh samples come from the amplifier."),
    StopReason.SAMPLES_LOST: gettext_noop("Too many samples are lost on the way."),
    StopReason.CHANNELS_BAD: gettext_noop("Too many electrodes give no usable signal."),
    StopReason.SOURCE_CHANGED: gettext_noop("The amplifier or its channels have changed."),
    StopReason.STREAM_IRREGULAR: gettext_noop("Samples come twice, late, or with times that jump."),
    StopReason.SIGNAL_IMPLAUSIBLE: gettext_noop(
        "What the amplifier says of its rate or unit cannot be true."
    ),
    StopReason.DECODER_FAILED: gettext_noop("The decoder failed."),
    StopReason.DECODER_LATE: gettext_noop("The decoder does not answer in time."),
    StopReason.DECODER_CONTRADICTS: gettext_noop(
        "The decoder says the opposite of what is asked, trial after trial. Classes or electrodes "
        "may be swapped."
    ),
    StopReason.PAGE_CLOSED: gettext_noop("The patient's page is closed or hidden."),
    StopReason.STAFF_AWAY: gettext_noop(
        "No therapist's page is open from which it can be stopped."
    ),
    StopReason.THERAPIST_STOP: gettext_noop("The therapist stopped it."),
    StopReason.EMERGENCY_KEY: gettext_noop("The emergency key was pressed."),
    StopReason.PERMIT_LATE: gettext_noop("The permit was not renewed in time."),
    StopReason.RECORDER_FAILED: gettext_noop("The recording cannot be written."),
    StopReason.DRIVER_FAILED: gettext_noop("The actuator does not obey."),
    StopReason.PART_REPLACED: gettext_noop("A part of the system was put in anew."),
    StopReason.SESSION_ENDED: gettext_noop("The session has ended."),
    StopReason.ON_TOO_LONG: gettext_noop("It was on for as long as is allowed at once."),
    StopReason.DUTY_EXCEEDED: gettext_noop("It was on for its full share of the last minutes."),
    StopReason.REFRACTORY: gettext_noop("It rests between two movements."),
}

# What a person must look at before the actuator moves again, and why. The three that are missing
# (on too long, duty, refractory) are the dose: they end by themselves, as in any movement.
_INTENT = "the patient's intention was unknown, and a movement that returns by itself surprises"
LATCHED: Mapping[StopReason, str] = {
    StopReason.DATA_STALE: _INTENT,
    StopReason.SAMPLES_LOST: _INTENT,
    StopReason.CHANNELS_BAD: "an electrode must be put right by hand",
    StopReason.SOURCE_CHANGED: "another device, or another montage, has another model",
    StopReason.STREAM_IRREGULAR: _INTENT,
    StopReason.SIGNAL_IMPLAUSIBLE: "filters and decoder work on wrong numbers",
    StopReason.DECODER_FAILED: "a decoder that failed once has lost its state",
    StopReason.DECODER_LATE: _INTENT,
    StopReason.DECODER_CONTRADICTS: "labels must be put right, or the model calibrated anew",
    StopReason.PAGE_CLOSED: "the patient must see what moves the hand",
    StopReason.STAFF_AWAY: "whoever could have stopped it was not there",
    StopReason.THERAPIST_STOP: "a person stopped it, and a person lets it go on",
    StopReason.EMERGENCY_KEY: "a person stopped it, and a person lets it go on",
    StopReason.PERMIT_LATE: "the session's process was stuck; what it missed is unknown",
    StopReason.RECORDER_FAILED: "what is not recorded cannot be accounted for",
    StopReason.DRIVER_FAILED: "whether the actuator is off must be seen with one's eyes",
    StopReason.PART_REPLACED: "what was put in anew has not been seen at work",
    StopReason.SESSION_ENDED: "the next one is armed anew",
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the interlock and the dead man hold to. Times in seconds, shares from 0 to 1.

    The ages lie below 250 ms, so that with the chain behind them the actuator is off before 250 ms
    have passed since the last good sample, answer or heartbeat.
    """

    data_age_s: float = 0.15
    lost_share: float = 0.05
    bad_channels: int = 2
    decoder_age_s: float = 0.15
    page_age_s: float = 0.18
    recorder_behind_s: float = 0.5
    permit_s: float = 0.2
    on_s: float = 5.0
    duty_share: float = 0.5
    duty_window_s: float = 60.0
    refractory_s: float = 1.0

    def __post_init__(self) -> None:
        longest_s = STOP_WITHIN_S - CHAIN_S
        for name in ("data_age_s", "decoder_age_s", "page_age_s", "permit_s"):
            _within(name, getattr(self, name), 0.02, longest_s)
        _within("lost_share", self.lost_share, 0.0, 0.05)
        _within("bad_channels", self.bad_channels, 0, 1_024)
        _within("recorder_behind_s", self.recorder_behind_s, 0.1, 0.5)
        _within("on_s", self.on_s, 0.05, 60.0)
        _within("duty_share", self.duty_share, 0.01, 1.0)
        _within("duty_window_s", self.duty_window_s, 1.0, 3_600.0)
        _within("refractory_s", self.refractory_s, 0.1, 600.0)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A part's own word that it failed, with the time when it did."""

    reason: StopReason
    cause_s: float
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The state of all that the actuator depends on, at one time.

    ``decoder_age_s`` is how long the oldest unanswered question waits; ``recorder_behind_s`` how
    long the oldest unwritten record does; ``data_age_s`` the time since the last sample arrived,
    and ``page_age_s`` the age of what the patient's page shows.
    """

    data_age_s: float
    lost_share: float
    bad_channels: int
    decoder_age_s: float
    page_age_s: float
    recorder_behind_s: float
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Permit:
    """The right to move at ``level`` (0 to 1) until it is older than the limit.

    ``epoch`` counts the armings: one that was used up by a stop never moves anything again.
    """

    number: int
    stamp_s: float
    level: float
    epoch: int
    reason: StopReason | None = None


@dataclass(frozen=True, kw_only=True)
class Stop:
    """A stop that was decided: what caused it and when, and when the driver was off.

    ``off_s`` is None as long as the driver has not said so, and if the actuator was off anyway.
    """

    reason: StopReason
    cause_s: float
    decided_s: float
    was_on: bool
    detail: str = ""
    off_s: float | None = None

    @property
    def latency_ms(self) -> float | None:
        """From the cause to the driver's off, in milliseconds; 0 if it was off anyway."""
        if not self.was_on:
            return 0.0
        return None if self.off_s is None else max(0.0, (self.off_s - self.cause_s) * 1e3)


class Interlock:
    """Issues a permit at each step, and stops on the first reason that stands.

    Call :meth:`step` at least every 20 ms; a pause of more than ``limits.permit_s`` is itself a
    stop. The log of stops keeps the last 1,000.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.stops: deque[Stop] = deque(maxlen=LOG_LIMIT)
        self.why_off = StopReason.NOT_ARMED
        self._armed = False
        self._epoch = 0
        self._number = 0
        self._level = 0.0
        self._stepped_s: float | None = None

    @property
    def armed(self) -> bool:
        """Whether an operator has armed it and nothing has stopped it since."""
        return self._armed

    @property
    def last_stop(self) -> Stop | None:
        """The stop that was decided last; of several at one time, the one that came first."""
        if not self.stops:
            return None
        decided_s = self.stops[-1].decided_s
        return next(stop for stop in self.stops if stop.decided_s == decided_s)

    def arm(self, now_s: float, observed: Observed) -> None:
        """Let the actuator move, if nothing stands against it. An operator's act, never a timer's.

        Raises :class:`NotArmable` with every reason that stands.
        """
        standing = self.standing(now_s, observed)
        if standing:
            reasons = ", ".join(
                f"{fault.reason.value} {fault.detail}".strip() for fault in standing
            )
            raise NotArmable(reasons=reasons)
        self._armed = True
        self._epoch += 1
        self._stepped_s = now_s
        self._level = 0.0

    def stop(self, reason: StopReason, now_s: float, *, detail: str = "") -> Permit:
        """Stop at once, for a person or for a part that failed; the permit says level 0."""
        self._trip([Fault(reason=reason, cause_s=now_s, detail=detail)], now_s)
        return self._permit(now_s, 0.0)

    def step(self, now_s: float, observed: Observed, level: float) -> Permit:
        """The permit for now. ``level`` is what decoder and trial want, from 0 to 1."""
        standing = self.standing(now_s, observed)
        self._stepped_s = now_s
        if self._armed and standing:
            self._trip(standing, now_s)
        wanted = min(level, 1.0) if math.isfinite(level) and level > 0.0 else 0.0
        return self._permit(now_s, wanted if self._armed else 0.0)

    def confirm_off(self, off_s: float) -> list[Stop]:
        """Take note that the driver was off at ``off_s``; return the stops which that completes."""
        completed = []
        for index, stop in enumerate(self.stops):
            if stop.was_on and stop.off_s is None:
                self.stops[index] = replace(stop, off_s=off_s)
                completed.append(self.stops[index])
        return completed

    def log_dose(self, reason: StopReason, at_s: float, *, cause_s: float, was_on: bool) -> Stop:
        """Note a stop of the dead man's own for the dose, after which it stays armed.

        ``was_on`` is False where a movement was not begun at all.
        """
        assert not reason.latched, "what must be armed again is stopped here"
        off_s = at_s if was_on else None
        cause_s = min(cause_s, at_s)
        stop = Stop(reason=reason, cause_s=cause_s, decided_s=at_s, was_on=was_on, off_s=off_s)
        self.stops.append(stop)
        return stop

    def standing(self, now_s: float, observed: Observed) -> list[Fault]:
        """Every reason to stop that stands now, each with the time of its cause."""
        limits = self.limits
        found = list(observed.faults)
        ages = (
            (StopReason.DATA_STALE, observed.data_age_s, limits.data_age_s),
            (StopReason.DECODER_LATE, observed.decoder_age_s, limits.decoder_age_s),
            (StopReason.PAGE_CLOSED, observed.page_age_s, limits.page_age_s),
            (StopReason.RECORDER_FAILED, observed.recorder_behind_s, limits.recorder_behind_s),
        )
        for reason, age_s, limit_s in ages:
            if not age_s <= limit_s:
                cause_s = now_s - age_s if math.isfinite(age_s) else now_s
                found.append(Fault(reason=reason, cause_s=cause_s, detail=f"{age_s * 1e3:.0f} ms"))
        # Seen when the samples arrived that showed it.
        judged_s = now_s - observed.data_age_s if math.isfinite(observed.data_age_s) else now_s
        if not observed.lost_share <= limits.lost_share:
            detail = f"{observed.lost_share:.1%}"
            found.append(Fault(reason=StopReason.SAMPLES_LOST, cause_s=judged_s, detail=detail))
        if observed.bad_channels > limits.bad_channels:
            detail = BAD_CHANNELS.format(count=observed.bad_channels)
            found.append(Fault(reason=StopReason.CHANNELS_BAD, cause_s=judged_s, detail=detail))
        if self._armed and self._stepped_s is not None:
            gap_s = now_s - self._stepped_s
            if not 0.0 <= gap_s <= limits.permit_s:
                detail = f"{gap_s * 1e3:.0f} ms"
                found.append(
                    Fault(reason=StopReason.PERMIT_LATE, cause_s=self._stepped_s, detail=detail)
                )
        return found

    def _trip(self, faults: list[Fault], now_s: float) -> None:
        """Log the reasons and end the arming. A person's stop is logged when it is off as well."""
        if not self._armed and not all(f.reason in _BY_PERSON for f in faults):
            return
        was_on = self._armed and self._level > 0.0
        for fault in faults:
            self.stops.append(
                Stop(
                    reason=fault.reason,
                    cause_s=min(fault.cause_s, now_s),
                    decided_s=now_s,
                    was_on=was_on,
                    detail=fault.detail,
                )
            )
        self._armed = False
        self.why_off = faults[0].reason

    def _permit(self, now_s: float, level: float) -> Permit:
        assert level == 0.0 or self._armed, "only what is armed moves"
        self._number += 1
        self._level = level
        return Permit(
            number=self._number,
            stamp_s=now_s,
            level=level,
            epoch=self._epoch,
            reason=None if self._armed else self.why_off,
        )


_BY_PERSON = frozenset({StopReason.THERAPIST_STOP, StopReason.EMERGENCY_KEY})


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise LimitsUnsafe(name=name, value=value, least=least, most=most)
