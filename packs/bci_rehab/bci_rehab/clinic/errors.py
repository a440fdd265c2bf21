"""What the clinic can refuse: consent, intake, prescriptions, sessions and decoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haihe.packs import (
    Conflict,
    Corrupt,
    Invalid,
    Refused,
    Unavailable,
    gettext_noop,
)


@dataclass(kw_only=True, eq=False)
class IntakeIncomplete(Invalid):
    """A question of the checklist was left out."""

    code: ClassVar[str] = "bci_rehab.intake_incomplete"
    template: ClassVar[str] = gettext_noop(
        "The intake is not complete: {missing} was not answered. Ask, and answer yes or no."
    )

    missing: str


@dataclass(kw_only=True, eq=False)
class ScoreImpossible(Invalid):
    """A score that its scale does not have."""

    code: ClassVar[str] = "bci_rehab.score_impossible"
    template: ClassVar[str] = gettext_noop("{value} is no score of {scale}: {rule}.")

    scale: str
    value: float
    rule: str


@dataclass(kw_only=True, eq=False)
class ConsentMissing(Refused):
    """Nothing is prescribed, trained or recorded without consent in force."""

    code: ClassVar[str] = "bci_rehab.consent_missing"
    template: ClassVar[str] = gettext_noop(
        "Patient {patient} has not consented to {purpose}, or has taken it back. Record the "
        "consent first."
    )

    patient: str
    purpose: str


@dataclass(kw_only=True, eq=False)
class IntakeMissing(Refused):
    """Nothing is prescribed before contraindications were asked about."""

    code: ClassVar[str] = "bci_rehab.intake_missing"
    template: ClassVar[str] = gettext_noop(
        "Patient {patient} has no intake. Fill in the checklist of contraindications first."
    )

    patient: str


@dataclass(kw_only=True, eq=False)
class Contraindicated(Refused):
    """An answer of the intake keeps the patient from this kind of training."""

    code: ClassVar[str] = "bci_rehab.contraindicated"
    template: ClassVar[str] = gettext_noop(
        "Patient {patient} may not be trained with {modality}: the intake says {answers}. Choose "
        "another kind of training, or ask a physician and fill in a new intake."
    )

    patient: str
    modality: str
    answers: str


@dataclass(kw_only=True, eq=False)
class PrescriptionActive(Conflict):
    """A patient has one prescription in force."""

    code: ClassVar[str] = "bci_rehab.prescription_active"
    template: ClassVar[str] = gettext_noop(
        "Patient {patient} has an active prescription. End it before prescribing another."
    )

    patient: str


@dataclass(kw_only=True, eq=False)
class PatientClosed(Refused):
    """A record that was closed takes nothing more."""

    code: ClassVar[str] = "bci_rehab.patient_closed"
    template: ClassVar[str] = gettext_noop(
        "The record of patient {patient} is closed. Open it again to go on."
    )

    patient: str


@dataclass(kw_only=True, eq=False)
class IdentitySealed(Corrupt):
    """The seal of a patient's identity does not open with the installation's key."""

    code: ClassVar[str] = "bci_rehab.identity_sealed"
    template: ClassVar[str] = gettext_noop(
        "The identity of patient {patient} does not open: the key in keys/bci_rehab_identity is "
        "gone or another one, or the row was changed. Restore the key from the backup."
    )

    patient: str


@dataclass(kw_only=True, eq=False)
class ModalityNotLive(Refused):
    """A kind of training that sessions do not have yet."""

    code: ClassVar[str] = "bci_rehab.modality_not_live"
    template: ClassVar[str] = gettext_noop(
        "Training with {modality} cannot be had in a session yet. Prescribe motor imagery or "
        "attempted movement."
    )

    modality: str


@dataclass(kw_only=True, eq=False)
class RateOutOfReach(Refused):
    """No calibration of the prescribed length holds enough rest to bound so low a rate."""

    code: ClassVar[str] = "bci_rehab.rate_out_of_reach"
    template: ClassVar[str] = gettext_noop(
        "Sessions of {minutes} minutes hold too little rest to be sure of {rate} false triggers a "
        "minute at most. Prescribe {lowest} or more."
    )

    rate: str
    minutes: int
    lowest: str


@dataclass(kw_only=True, eq=False)
class NothingPrescribed(Refused):
    """A session needs a prescription in force with sessions left."""

    code: ClassVar[str] = "bci_rehab.nothing_prescribed"
    template: ClassVar[str] = gettext_noop(
        "Patient {patient} has no prescription in force with sessions left. Prescribe training "
        "first."
    )

    patient: str


@dataclass(kw_only=True, eq=False)
class SessionOpen(Conflict):
    """A prescription has one session at a time."""

    code: ClassVar[str] = "bci_rehab.session_open"
    template: ClassVar[str] = gettext_noop(
        "Patient {patient} has a session that is planned or running. Finish or cancel it first."
    )

    patient: str


@dataclass(kw_only=True, eq=False)
class DecoderNotAccepted(Refused):
    """Only a decoder that a therapist accepted may drive anything."""

    code: ClassVar[str] = "bci_rehab.decoder_not_accepted"
    template: ClassVar[str] = gettext_noop(
        "Patient {patient} has no decoder that is accepted and not rejected. Plan the session with "
        "calibration, or accept one."
    )

    patient: str


@dataclass(kw_only=True, eq=False)
class DecoderAtChance(Refused):
    """A decoder whose accuracy guessing could explain is not accepted."""

    code: ClassVar[str] = "bci_rehab.decoder_at_chance"
    template: ClassVar[str] = gettext_noop(
        "Decoder {decoder} is right in {accuracy} of the trials; guessing reaches {bound}. Check "
        "the electrodes and the instruction, and record more calibration runs."
    )

    decoder: str
    accuracy: str
    bound: str


@dataclass(kw_only=True, eq=False)
class FitGone(Conflict):
    """The decoder that was looked at is not the one that the station has now."""

    code: ClassVar[str] = "bci_rehab.fit_gone"
    template: ClassVar[str] = gettext_noop(
        "The station has no finished decoder with this content; it may have been fitted again. "
        "Look at the newest one, then decide."
    )


@dataclass(kw_only=True, eq=False)
class StationHolds(Conflict):
    """A session that the station still holds is closed there, and not cancelled here."""

    code: ClassVar[str] = "bci_rehab.station_holds"
    template: ClassVar[str] = gettext_noop(
        "The station still holds session {session}. End and close it, so that its record is whole."
    )

    session: str


@dataclass(kw_only=True, eq=False)
class SessionNotReady(Conflict):
    """A session is in a state that does not allow the step."""

    code: ClassVar[str] = "bci_rehab.session_not_ready"
    template: ClassVar[str] = gettext_noop(
        "Session {session} is {state}; this step needs it to be {needed}."
    )

    session: str
    state: str
    needed: str


@dataclass(kw_only=True, eq=False)
class HaltUnconfirmed(Unavailable):
    """A session must not go on, and the station did not say that it has ended."""

    code: ClassVar[str] = "bci_rehab.halt_unconfirmed"
    template: ClassVar[str] = gettext_noop(
        "What you entered is recorded, but the station did not confirm that session {session} has "
        "ended. Press the stop on its page now, then close the session."
    )

    session: str
