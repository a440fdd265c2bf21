"""``haihe demo --pack bci_rehab``: a synthetic patient from intake to report, in real time.

The patient is the generator of :mod:`bci_rehab.signal.brain`, whose intention is known and whose
rhythms answer more strongly from session to session; all else is the system as a clinic runs it:
records, consent, the station's processes, calibration, a decoder that a therapist accepts, the
interlock, recordings, the report. Scores and improvement are the generator's, nobody's.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from django.utils import translation

from bci_rehab.clinic import decoders, reporting, services, sessions, station
from bci_rehab.clinic.domain import QUESTIONS, Modality, Side
from bci_rehab.clinic.identity import Identity
from bci_rehab.clinic.models import Consent, Patient, TrainingSession
from bci_rehab.clinic.sessions import Setting
from bci_rehab.session.live import DECODER_NEEDED
from bci_rehab.session.plan import SessionPlan, Timings
from bci_rehab.station.stand_in import StandIn
from haihe.packs import Unavailable
from haihe.packs.pages import Demonstration, Principal, now, pack_home, unit_of_work

SESSIONS = 3
FALSE_PER_MIN = 3.0
SCALE, BEFORE, AFTER = "FMA-UE", 28, 34
# A session's parts, shortened: the chain is shown, not trained.
TIMINGS = Timings(
    check_s=2.0, rest_s=45.0, fixation_s=0.8, cue_s=0.5, active_s=3.5, feedback_s=1.0,
    pause_least_s=0.5, pause_most_s=0.8, break_s=1.0,
)  # fmt: skip
TRIALS_PER_SIDE = 8
# How strongly the synthetic patient's rhythms answer at first, and how much that grows.
FIRST, GROWTH = 0.35, 1.4
SEGMENT_S = 400.0


def run(demonstration: Demonstration) -> dict[str, Any]:
    """Carry it out; the facts."""
    return _Demo(demonstration).run()


@dataclass
class _Demo:
    given: Demonstration
    accuracies: list[float | None] = field(default_factory=list)

    @property
    def _therapist(self) -> Principal:
        return self.given.staff["therapist"]

    def run(self) -> dict[str, Any]:
        patient = self._enrol()
        self._score(patient, BEFORE, "before")
        held = [self._train(patient, number) for number in range(1, SESSIONS + 1)]
        self._score(patient, AFTER, "after")
        folder = self.given.folder / patient.pseudonym
        bids = self._export(patient, held, folder)
        report = self._report(held[-1], folder)
        first, last = self.accuracies[0], self.accuracies[-1]
        return {
            "patient": str(patient.pk),
            "pseudonym": patient.pseudonym,
            "synthetic": True,
            "sessions": [str(session.pk) for session in held],
            "accuracy": self.accuracies,
            "improved": first is not None and last is not None and last > first,
            "report": [str(path) for path in report],
            "bids": str(bids),
        }

    def _enrol(self) -> Patient:
        """Taken in, asked, and prescribed three sessions for the right hand."""
        therapist, today = self._therapist, now().date()
        patient = services.enrol(
            therapist,
            organisation=self.given.organisation,
            identity=Identity(name="Synthetic patient"),
            affected_side=Side.RIGHT,
            birth_year=1960,
            diagnosis="synthetic",
        )
        for purpose in (Consent.Purpose.TRAINING, Consent.Purpose.RESEARCH):
            services.give_consent(
                therapist, patient.pk, purpose=purpose, text_version="demo", given_on=today
            )
        services.fill_intake(therapist, patient.pk, {q.code: False for q in QUESTIONS})
        services.prescribe(
            therapist,
            patient.pk,
            modality=Modality.MOTOR_IMAGERY,
            side=Side.RIGHT,
            sessions=SESSIONS,
            minutes=30,
            false_triggers_per_min=FALSE_PER_MIN,
        )
        self.given.say("patient", f"{patient.pseudonym} (synthetic) enrolled; {SESSIONS} sessions")
        return patient

    def _score(self, patient: Patient, value: int, when: str) -> None:
        services.add_outcome(
            self._therapist,
            patient.pk,
            scale=SCALE,
            value=value,
            measured_on=now().date(),
            rater="synthetic",
        )
        self.given.say("outcome", f"{SCALE} {when} training: {value} (made up)")

    def _train(self, patient: Patient, number: int) -> TrainingSession:
        """One session, from its plan to its result in the record."""
        calibrates = number == 1
        session = sessions.plan_session(self._therapist, patient.pk, calibrate=calibrates)
        _shorten(session)
        profile = {
            "channels": 16, "seed": 5, "session": number, "hand": "",
            "desynchronisation": FIRST, "learning": GROWTH,
        }  # fmt: skip
        setting = Setting(
            source={"kind": "synthetic", "name": "Synthetic patient", "given": profile},
            actuator="simulated",
            output=True,
        )
        session = sessions.open_session(self._therapist, session.pk, setting)
        pages = StandIn(pack_home("bci_rehab"), str(session.pk))
        try:
            self._hold(pages, session, calibrates=calibrates)
        finally:
            pages.close()
            session = sessions.close_session(self._therapist, session.pk)
        summary = session.summary
        self.accuracies.append(summary["accuracy"])
        self.given.say(
            "session",
            f"{number} of {SESSIONS}: {summary['hits']} hits, {summary['quiet']} quiet of "
            f"{summary['trials']} trials; accuracy {summary['accuracy']}, "
            f"{summary['false_triggers']} false triggers, {summary['movements']['count']} "
            f"movements, decision p99 {summary['decision_ms']['p99']} ms",
        )
        return session

    def _hold(self, pages: StandIn, session: TrainingSession, *, calibrates: bool) -> None:
        """Begin, calibrate where that is planned, arm, and wait for the end."""
        _need(pages.until(lambda said: True, within_s=20.0))
        pages.order("begin")
        if calibrates:
            _need(pages.until(_wants_decoder, within_s=SEGMENT_S))
            self._accept(session)
        restarts, deadline = 0, time.monotonic() + SEGMENT_S
        while not pages.until(_over, within_s=0.5):
            _need(time.monotonic() < deadline)
            trial, armed = pages.last["trial"], pages.last["actuator"]["armed"]
            feedback = trial["segment"] == "feedback"
            # A stop of the interlock is answered as a therapist would: look, arm, go on.
            if feedback and not armed:
                pages.order("arm")
            if trial["paused"] and pages.last["has_decoder"]:
                pages.order("resume")
                restarts += 1
                _need(restarts < 200)

    def _accept(self, session: TrainingSession) -> None:
        """Have a decoder fitted, look at it, accept it."""
        decoders.fit(self._therapist, session.pk)
        deadline = time.monotonic() + SEGMENT_S
        while (fitted := station.state()["fit"] or {}).get("state") != "done":
            if fitted.get("state") == "failed":
                raise Unavailable
            _need(time.monotonic() < deadline)
            time.sleep(0.2)
        decoder = decoders.accept_fit(self._therapist, session.pk, fitted["sha256"])
        accuracy = decoder.accuracy
        self.given.say(
            "decoder",
            f"version {decoder.version}: accuracy {accuracy['value']:.3f} over "
            f"{accuracy['trials']} trials, chance stays below {accuracy['chance_bound']:.3f}; "
            "accepted",
        )

    def _export(self, patient: Patient, held: list[TrainingSession], folder: Path) -> Path:
        """All sessions as one BIDS folder."""
        to = pack_home("bci_rehab") / "exports" / patient.pseudonym
        for session in held:
            station.export(session.folder, to, patient.pseudonym, f"{session.number:02d}")
        bids = folder / "bids"
        shutil.rmtree(bids, ignore_errors=True)
        shutil.copytree(to, bids)
        self.given.say("export", f"BIDS-EEG of {len(held)} sessions: {bids}")
        return bids

    def _report(self, session: TrainingSession, folder: Path) -> list[Path]:
        """The last session's report, in both languages."""
        made = []
        for language in ("zh-hans", "en"):
            path = folder / f"report-{language}.pdf"
            with translation.override(language):
                path.write_bytes(reporting.make_pdf(self._therapist, session.pk)[1])
            made.append(path)
        self.given.say("report", ", ".join(map(str, made)))
        return made


def _shorten(session: TrainingSession) -> None:
    plan = replace(
        SessionPlan.from_json(session.plan),
        timings=TIMINGS,
        feedback_runs=1,
        trials_per_side=TRIALS_PER_SIDE,
    )
    session.plan = plan.to_json()
    with unit_of_work():
        session.save(update_fields=["plan"])


def _wants_decoder(said: Any) -> bool:
    return bool(said["trial"]["why_paused"] == DECODER_NEEDED)


def _over(said: Any) -> bool:
    return bool(said["trial"]["ended"])


def _need(held: bool) -> None:
    """Give up where a part did not do what it had to in time."""
    if not held:
        raise Unavailable
