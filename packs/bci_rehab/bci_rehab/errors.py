"""What can go wrong with signals, decoders and sessions, said to people.

Signal: a source that cannot be opened, a header that cannot be true, a recording cut short.
Decode: too little to learn from, a model that is not accepted or does not fit the source.
Session: a step that the present state does not allow, an actuator that is not armed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haihe.packs import (
    Conflict,
    Corrupt,
    Invalid,
    NotFound,
    Refused,
    Unavailable,
    gettext_noop,
)

# --- signal --------------------------------------------------------------------------------------


@dataclass(kw_only=True, eq=False)
class HeaderImplausible(Invalid):
    """What a source says of itself cannot be true."""

    code: ClassVar[str] = "bci_rehab.header_implausible"
    template: ClassVar[str] = gettext_noop(
        "Source {source} says {field} is {value}, which cannot be: {rule}. Correct its settings."
    )

    source: str
    field: str
    value: str
    rule: str


@dataclass(kw_only=True, eq=False)
class ChannelUnknown(Invalid):
    """A channel that the source does not have, or a name that is no place on the head."""

    code: ClassVar[str] = "bci_rehab.channel_unknown"
    template: ClassVar[str] = gettext_noop(
        "{channel} is no channel of this source or no electrode of the 10-10 system. "
        "Correct the channel names."
    )

    channel: str


@dataclass(kw_only=True, eq=False)
class FilterImpossible(Invalid):
    """A filter that the sampling rate does not allow."""

    code: ClassVar[str] = "bci_rehab.filter_impossible"
    template: ClassVar[str] = gettext_noop(
        "A filter of {band} Hz cannot run at {rate_hz} samples a second: {rule}. "
        "Choose another band or rate."
    )

    band: str
    rate_hz: float
    rule: str


@dataclass(kw_only=True, eq=False)
class SourceNotFound(NotFound):
    """No device or stream answers to this name."""

    code: ClassVar[str] = "bci_rehab.source_not_found"
    template: ClassVar[str] = gettext_noop(
        "No source {source} was found within {timeout_s} s. Switch it on, check its cable or "
        "network, and start again."
    )

    source: str
    timeout_s: float


@dataclass(kw_only=True, eq=False)
class SourceAmbiguous(Conflict):
    """Two streams carry one name; taking either could be the wrong patient."""

    code: ClassVar[str] = "bci_rehab.source_ambiguous"
    template: ClassVar[str] = gettext_noop(
        "{count} sources are called {source}: {where}. Stop all but one, or give each its own id."
    )

    source: str
    count: int
    where: str


@dataclass(kw_only=True, eq=False)
class SourceFailed(Unavailable):
    """A source could not be opened, or ended with an error while it ran."""

    code: ClassVar[str] = "bci_rehab.source_failed"
    template: ClassVar[str] = gettext_noop(
        "Source {source} failed: {reason}. Look to the device, then start the acquisition again."
    )

    source: str
    reason: str


@dataclass(kw_only=True, eq=False)
class SourceClosed(Conflict):
    """A source is read before it was opened or after it was closed."""

    code: ClassVar[str] = "bci_rehab.source_closed"
    template: ClassVar[str] = gettext_noop("Source {source} is not open. Open it before reading.")

    source: str


@dataclass(kw_only=True, eq=False)
class RingMissing(NotFound):
    """The shared memory of an acquisition is not there, or is not one of ours."""

    code: ClassVar[str] = "bci_rehab.ring_missing"
    template: ClassVar[str] = gettext_noop(
        "There is no ring buffer {ring} ({reason}). Start the acquisition first."
    )

    ring: str
    reason: str


@dataclass(kw_only=True, eq=False)
class RecordingUnreadable(Corrupt):
    """A file that is no recording, or too damaged to give any sample."""

    code: ClassVar[str] = "bci_rehab.recording_unreadable"
    template: ClassVar[str] = gettext_noop(
        "{path} cannot be read as a recording: {reason}. Give EDF+, BDF, GDF, BrainVision or XDF."
    )

    path: str
    reason: str


# --- decode --------------------------------------------------------------------------------------


@dataclass(kw_only=True, eq=False)
class WindowsUnusable(Invalid):
    """Windows that a decoder cannot take."""

    code: ClassVar[str] = "bci_rehab.windows_unusable"
    template: ClassVar[str] = gettext_noop(
        "The windows cannot be decoded: {reason}. Check the channels, the rate and the filters."
    )

    reason: str


@dataclass(kw_only=True, eq=False)
class TooLittleToLearn(Refused):
    """Calibration data from which nothing can be concluded."""

    code: ClassVar[str] = "bci_rehab.too_little_to_learn"
    template: ClassVar[str] = gettext_noop(
        "There is too little to learn {what} from: found {found}, needed {needed}. Record more "
        "calibration runs."
    )

    what: str
    found: str
    needed: str


@dataclass(kw_only=True, eq=False)
class DecoderMismatch(Conflict):
    """A decoder that was made for another source."""

    code: ClassVar[str] = "bci_rehab.decoder_mismatch"
    template: ClassVar[str] = gettext_noop(
        "Decoder {decoder} was made for {field} {expected}, and the source has {found}. Use the "
        "montage it was calibrated with, or calibrate a new decoder."
    )

    decoder: str
    field: str
    expected: str
    found: str


@dataclass(kw_only=True, eq=False)
class DecoderDamaged(Corrupt):
    """A decoder's file whose content is not what was written."""

    code: ClassVar[str] = "bci_rehab.decoder_damaged"
    template: ClassVar[str] = gettext_noop(
        "The decoder file {path} cannot be used: {reason}. Take it from the registry again."
    )

    path: str
    reason: str


@dataclass(kw_only=True, eq=False)
class CalibrationChanged(Corrupt):
    """A recording that is no longer what a decoder learned from."""

    code: ClassVar[str] = "bci_rehab.calibration_changed"
    template: ClassVar[str] = gettext_noop(
        "The recording {path} is not the one that an accepted decoder learned from. Bring it back, "
        "or reject the decoder, so that its recording is not used again."
    )

    path: str


@dataclass(kw_only=True, eq=False)
class OfflineTaskUnknown(NotFound):
    """No off-line task of this name."""

    code: ClassVar[str] = "bci_rehab.offline_task_unknown"
    template: ClassVar[str] = gettext_noop("There is no off-line task {name}. There are: {names}.")

    name: str
    names: str


@dataclass(kw_only=True, eq=False)
class FolderUnsuitable(Invalid):
    """A folder that lacks the recordings that an off-line task needs."""

    code: ClassVar[str] = "bci_rehab.folder_unsuitable"
    template: ClassVar[str] = gettext_noop(
        "Folder {folder} does not serve the task {task}: {reason}. Give a folder in the layout "
        "that the documentation shows."
    )

    folder: str
    task: str
    reason: str


# --- session -------------------------------------------------------------------------------------


@dataclass(kw_only=True, eq=False)
class LimitsUnsafe(Invalid):
    """A limit of the interlock lies outside of what keeps a stop within 250 ms."""

    code: ClassVar[str] = "bci_rehab.limits_unsafe"
    template: ClassVar[str] = gettext_noop(
        "The limit {name} is {value}; it must lie from {least} to {most}."
    )

    name: str
    value: float
    least: float
    most: float


@dataclass(kw_only=True, eq=False)
class NotArmable(Conflict):
    """Something stands against letting the actuator move."""

    code: ClassVar[str] = "bci_rehab.not_armable"
    template: ClassVar[str] = gettext_noop(
        "The actuator stays off, because: {reasons}. Put these right, then arm again."
    )

    reasons: str


@dataclass(kw_only=True, eq=False)
class ActuatorUnavailable(Unavailable):
    """The actuator's process did not come up, or is gone."""

    code: ClassVar[str] = "bci_rehab.actuator_unavailable"
    template: ClassVar[str] = gettext_noop(
        "The actuator {driver} cannot be used: {reason}. Check its cable and power, and open it "
        "again."
    )

    driver: str
    reason: str


@dataclass(kw_only=True, eq=False)
class NotARecording(Invalid):
    """A file that is not a recording of ours, or of a later version."""

    code: ClassVar[str] = "bci_rehab.not_a_recording"
    template: ClassVar[str] = gettext_noop("{path} is not a recording that can be read: {reason}.")

    path: str
    reason: str


@dataclass(kw_only=True, eq=False)
class RecordingClosed(Conflict):
    """A recording that was finished, or that another process writes, cannot be continued."""

    code: ClassVar[str] = "bci_rehab.recording_closed"
    template: ClassVar[str] = gettext_noop("{path} cannot be continued: {reason}.")

    path: str
    reason: str


@dataclass(kw_only=True, eq=False)
class RecorderFailed(Unavailable):
    """The recording could not be written."""

    code: ClassVar[str] = "bci_rehab.recorder_failed"
    template: ClassVar[str] = gettext_noop(
        "The recording {path} cannot be written: {reason}. The actuator is off. Free some space "
        "and resume the session."
    )

    path: str
    reason: str


@dataclass(kw_only=True, eq=False)
class PlanImpossible(Invalid):
    """A session's plan that cannot be carried out."""

    code: ClassVar[str] = "bci_rehab.plan_impossible"
    template: ClassVar[str] = gettext_noop("{field} is {value}, which cannot be: {rule}.")

    field: str
    value: str
    rule: str


@dataclass(kw_only=True, eq=False)
class StepNotAllowed(Conflict):
    """A step of the session that its present state does not allow."""

    code: ClassVar[str] = "bci_rehab.step_not_allowed"
    template: ClassVar[str] = gettext_noop("A session in state {state} cannot {step}.")

    state: str
    step: str


@dataclass(kw_only=True, eq=False)
class DecoderUnavailable(Unavailable):
    """The decoder's process did not come up."""

    code: ClassVar[str] = "bci_rehab.decoder_unavailable"
    template: ClassVar[str] = gettext_noop(
        "The decoder cannot be used: {reason}. Choose another model or calibrate anew."
    )

    reason: str


@dataclass(kw_only=True, eq=False)
class NothingToExport(Refused):
    """A recording without what an export needs."""

    code: ClassVar[str] = "bci_rehab.nothing_to_export"
    template: ClassVar[str] = gettext_noop("{path} cannot be exported: {reason}.")

    path: str
    reason: str
