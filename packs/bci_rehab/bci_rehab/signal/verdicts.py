"""What the watchdog can say: codes, the words for each, and the numbers beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from haihe.packs import gettext_noop


class Code(StrEnum):
    """A cause. The first group concerns the stream, the second single channels."""

    STALE = "stale"
    FROZEN = "frozen"
    LOST = "lost"
    DOUBLED = "doubled"
    RESTARTED = "restarted"
    LATE = "late"
    CLOCK_JUMP = "clock_jump"
    CLOCK_DRIFT = "clock_drift"
    RATE = "rate"
    SCALE = "scale"
    FLAT = "flat"
    RAILING = "railing"
    NOISY = "noisy"
    DETACHED = "detached"
    MAINS = "mains"


# With these a channel is bad; mains alone leaves it usable behind the notch.
BAD_CHANNEL = frozenset({Code.FLAT, Code.RAILING, Code.NOISY, Code.DETACHED})

WORDS: dict[Code, str] = {
    Code.STALE: gettext_noop(
        "No new data for {value:.2f} s (limit {limit:.2f} s). Check that the amplifier is on, in "
        "reach and charged."
    ),
    Code.FROZEN: gettext_noop(
        "The same values have come for {value:.2f} s. The amplifier hangs: switch it off and on."
    ),
    Code.LOST: gettext_noop(
        "{value:.1%} of the samples are lost (limit {limit:.1%}). Bring the amplifier nearer, "
        "change its battery, or switch off other radios."
    ),
    Code.DOUBLED: gettext_noop(
        "{value:.0f} samples came twice. The driver repeats blocks; they are left out. Restart the "
        "stream if it goes on."
    ),
    Code.RESTARTED: gettext_noop(
        "The sample counter went back by {value:.0f}. The amplifier restarted during the session."
    ),
    Code.LATE: gettext_noop(
        "Data came {value:.2f} s late, in bursts (limit {limit:.2f} s). Relieve the computer or "
        "the wireless link."
    ),
    Code.CLOCK_JUMP: gettext_noop(
        "The device's clock jumped by {value:.3f} s. Times around it are uncertain."
    ),
    Code.CLOCK_DRIFT: gettext_noop(
        "The device's clock runs {value:.0f} ppm off the computer's (limit {limit:.0f} ppm)."
    ),
    Code.RATE: gettext_noop(
        "The device gives {value:.1f} samples a second, its header says {limit:.1f}. Correct the "
        "setting: filters and decoder would be wrong."
    ),
    Code.SCALE: gettext_noop(
        "The amplitude is {value:.3g} microvolts, which EEG cannot have (limit {limit:.3g}). The "
        "unit or the gain of the device is wrong."
    ),
    Code.FLAT: gettext_noop(
        "{channel} is flat. Check its cable and whether the electrode is plugged in."
    ),
    Code.RAILING: gettext_noop(
        "{channel} stands at the end of its range ({value:.0f} microvolts). Add gel, and check "
        "ground and reference."
    ),
    Code.NOISY: gettext_noop(
        "{channel} varies by {value:.0f} microvolts (limit {limit:.0f}). Press the electrode on, "
        "add gel, ask the patient to relax."
    ),
    Code.DETACHED: gettext_noop(
        "{channel} picks up {value:.0f} microvolts of mains (limit {limit:.0f}): it has come off. "
        "Put it back."
    ),
    Code.MAINS: gettext_noop(
        "{value:.0%} of the power in {channel} is mains (limit {limit:.0%}). Lower its impedance; "
        "move power supplies away."
    ),
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One cause with its measure; ``channel`` is empty where it concerns the stream."""

    code: Code
    channel: str = ""
    value: float
    limit: float = 0.0

    @property
    def message(self) -> str:
        """What a technician can act on, in plain English."""
        return WORDS[self.code].format(channel=self.channel, value=self.value, limit=self.limit)


@dataclass(frozen=True, kw_only=True)
class ClockFit:
    """The device's clock against the host's: host = device + offset, growing by the drift.

    ``jitter_s`` is the spread of the blocks' arrival about the line.
    """

    offset_s: float
    drift_ppm: float
    jitter_s: float
    span_s: float


@dataclass(frozen=True, kw_only=True)
class Health:
    """The state of a stream at one moment; plain numbers for the interlock, causes for people."""

    verdicts: tuple[Finding, ...]
    age_s: float
    lost_share: float
    bad_channels: int
    bad_channel_names: tuple[str, ...] = ()
    rate_hz: float | None = None
    clock: ClockFit | None = None
    mains_share: dict[str, float] = field(default_factory=dict)

    def has(self, code: Code) -> bool:
        """Whether a cause is among the verdicts."""
        return any(finding.code is code for finding in self.verdicts)

    def of_channel(self, channel: str) -> Literal["good", "fair", "bad"]:
        """One word for drawing an electrode."""
        codes = {finding.code for finding in self.verdicts if finding.channel == channel}
        if codes & BAD_CHANNEL:
            return "bad"
        return "fair" if codes else "good"
