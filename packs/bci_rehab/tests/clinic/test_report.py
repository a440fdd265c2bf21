"""The report of a session: what it says, what it says is missing, and that it names nobody."""

from __future__ import annotations

import hashlib
import io
from datetime import date, timedelta
from typing import Any

import pytest
from bci_rehab.clinic import decoders, services, sessions
from bci_rehab.clinic.models import Patient, TrainingSession
from bci_rehab.clinic.report import report_of, run_counts
from bci_rehab.clinic.report_pdf import pdf_of
from bci_rehab.clinic.report_plot import HEIGHT, WIDTH, plot_of
from bci_rehab.clinic.report_tree import Band, Chart, Facts, Point, Report, Section, Table, Text
from bci_rehab.clinic.reporting import find_report, make_pdf
from clinic_people import IDENTITY, Clinic, make_clinic
from django.utils.translation import override
from fake_station import FIT, HAND, SUMMARY, SYNTHETIC, FakeStation
from pypdf import PdfReader
from test_pages import DISCLAIMER, seen_by
from tests.pages import CHINESE, ENGLISH, asks_to_sign_in, browser, sound

from haihe.evidence.models import EvidenceEntry
from haihe.kernel.clock import now
from haihe.policy.errors import NotAllowed

pytestmark = pytest.mark.django_db
LANGUAGES = pytest.mark.parametrize("language", [ENGLISH, CHINESE])
TRIALS = [
    {"run": 2, "outcome": outcome, "skipped": False}
    for outcome in ("hit", "hit", "miss", "quiet", "false_trigger", "wrong")
] + [{"run": 2, "outcome": None, "skipped": True}]


@pytest.fixture
def closed(clinic: Clinic, running: TrainingSession, station: FakeStation) -> TrainingSession:
    """A session with a decoder, stops and a note, and two scores of the patient."""
    station.summary = {**SUMMARY, "trial_list": TRIALS, "versions": {"numpy": "2.3.1"}}
    decoders.fit(clinic.therapist, running.pk)
    decoders.accept_fit(clinic.therapist, running.pk, FIT["sha256"])
    for day, value in ((5, 20), (25, 26)):
        score(clinic, running.patient, date(2026, 1, day), value)
    return sessions.close_session(clinic.therapist, running.pk)


def score(clinic: Clinic, patient: Patient, on: date, value: float) -> None:
    services.add_outcome(clinic.therapist, patient.pk, scale="FMA-UE", value=value, measured_on=on)


def another(clinic: Clinic, patient: Patient, station: FakeStation, **summary: Any) -> Any:
    """The prescription's next session, had and closed."""
    planned = sessions.plan_session(clinic.therapist, patient.pk, calibrate=True)
    chosen = sessions.Setting(
        source=SYNTHETIC, actuator="simulated", given=HAND["given"], output=True
    )
    sessions.open_session(clinic.therapist, planned.pk, chosen)
    station.summary = {**SUMMARY, **summary}
    return sessions.close_session(clinic.therapist, planned.pk)


def facts(section: Section) -> dict[str, str | None]:
    found = [block for block in section.blocks if isinstance(block, Facts)]
    return {fact.label: fact.value for block in found for fact in block.facts}


def table(section: Section) -> Table:
    return next(block for block in section.blocks if isinstance(block, Table))


def warnings(section: Section) -> str:
    return " ".join(b.text for b in section.blocks if isinstance(b, Text) and b.is_warning)


def english(clinic: Clinic, session: TrainingSession) -> Report:
    with override(ENGLISH):
        return find_report(clinic.therapist, session.pk)[1]


def text_of(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)


# --- what it says --------------------------------------------------------------------------------


def test_it_says_what_was_prescribed_done_and_achieved(
    clinic: Clinic, closed: TrainingSession
) -> None:
    report = english(clinic, closed)
    assert report.disclaimer == DISCLAIMER[ENGLISH]
    assert (report.pseudonym, report.session) == ("P-0001", "Session 1 of 2")
    about = report.section("The session")
    assert facts(about)["Minutes"] == "30"
    assert facts(about)["Source of the signal"] == "Synthetic patient"
    assert "It says nothing of a person" in warnings(about)
    assert facts(report.section("Prescription"))["Kind of training"] == "Motor imagery"
    decoder = facts(report.section("Decoder"))
    assert decoder["Accuracy in calibration"] == "85.0 ± 5.0 %"
    assert decoder["Guessing stays below"] == "63.0 % (better than guessing)"
    assert decoder["Accepted by"] == sessions.person_name(clinic.therapist)
    assert "82.5 ± 6.0 %" in facts(report.section("Result")).values()
    signal = facts(report.section("Signal and times"))
    assert signal["Electrodes that were poor, and how long"] == "C3 2 %"
    assert signal["To the decision, p50 / p99"] == "12.1 / 31 ms"
    files = facts(report.section("Files and versions"))
    assert (files["SHA-256"], files["Whole"]) == ("b" * 64, "intact")
    assert files["Software"] == "numpy 2.3.1"
    [note] = table(report.section("Notes of the session")).rows
    assert note == ["60 s", "gel at C3"]


def test_each_run_is_counted_and_a_calibration_has_no_outcome(
    clinic: Clinic, closed: TrainingSession
) -> None:
    rows = table(english(clinic, closed).section("Result")).rows
    assert rows[0] == ["1", "calibration", "20", None, None, None, None, None, None]
    assert rows[1] == ["2", "feedback", "20", "2", "1", "1", "1", "1", "85.0 %"]
    assert rows[2] == ["All", "feedback", "40", "15", "4", "0", "18", "3", "82.5 %"]
    assert run_counts(None) == {}


def test_every_stop_has_its_reason_and_its_latency(clinic: Clinic, closed: TrainingSession) -> None:
    section = english(clinic, closed).section("Actuator and stops")
    assert table(section).rows == [
        ["90.2 s", "The therapist stopped it. (Ann)", "moving", "41.5 ms"],
        ["200 s", "No fresh samples come from the amplifier. (160 ms)", "still", "0 ms"],
    ]
    assert facts(section) == {
        "Actuator": "None: feedback on the screen only", "Output": "off",
        "Movements": "15", "Moving in all": "30 s",
    }  # fmt: skip


def test_the_course_is_that_of_the_prescription(
    clinic: Clinic, closed: TrainingSession, station: FakeStation
) -> None:
    second = another(clinic, closed.patient, station, accuracy=0.9, standard_error=0.05)
    section = english(clinic, second).section("Course over the sessions of this prescription")
    chart, rows = section.blocks[0], table(section).rows
    assert isinstance(chart, Chart)
    assert [(p.value, p.is_marked) for p in chart.points] == [(82.5, False), (90.0, True)]
    assert [row[0] for row in rows] == ["1", "2 ●"]
    assert [row[4] for row in rows] == ["82.5 ± 6.0 %", "90.0 ± 5.0 %"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((20,), "not known: there is one score only"),
        ((20, 25), "+5: less than what matters"),
        ((20, 26), "+6: a change that matters"),
        ((20, 18), "-2: less than what matters"),
    ],
)
def test_a_change_is_held_against_what_matters(
    clinic: Clinic, running: TrainingSession, values: tuple[float, ...], said: str
) -> None:
    for day, value in enumerate(values):
        score(clinic, running.patient, date(2026, 1, 5) + timedelta(days=day), value)
    section = english(clinic, running).section("Outcome: FMA-UE")
    assert facts(section)["Change from the first score to the last"] == said
    assert facts(section)["Minimal clinically important difference"] == "5.25"
    assert "Page, Fulk, Boyne" in str(facts(section)["Source of that difference"])
    assert [row[1] for row in table(section).rows] == [f"{value:g}" for value in values]
    charts = [block for block in section.blocks if isinstance(block, Chart)]
    assert len(charts) == (len(values) > 1)
    assert all(c.band and (c.band.low, c.band.high) == (20, 25.25) for c in charts)


@pytest.mark.parametrize(
    ("source", "said", "warned"),
    [
        (SYNTHETIC, "Synthetic patient", "synthetic"),
        (
            {"kind": "brainflow", "name": "BrainFlow synthetic board"},
            "Amplifier: BrainFlow synthetic board (synthetic)",
            "synthetic",
        ),
        ({"kind": "replay", "name": "day 3"}, "Recording played back: day 3", "played back"),
        ({"kind": "brainflow", "name": "Cyton"}, "Amplifier: Cyton", ""),
        ({}, None, ""),
    ],
)
def test_a_signal_of_no_person_present_is_called_so(
    clinic: Clinic, closed: TrainingSession, source: dict[str, Any], said: str, warned: str
) -> None:
    TrainingSession.objects.filter(pk=closed.pk).update(source=source)
    about = english(clinic, closed).section("The session")
    assert facts(about)["Source of the signal"] == said
    assert warned in warnings(about)
    assert bool(warnings(about)) == bool(warned)


# --- what is missing -----------------------------------------------------------------------------


def test_what_is_missing_is_said_and_never_zero(clinic: Clinic, closed: TrainingSession) -> None:
    TrainingSession.objects.filter(pk=closed.pk).update(
        summary={"lasted_s": 60.0, "trials": 0, "accuracy": None}
    )
    report = english(clinic, closed)
    assert facts(report.section("Result")) == {
        "Right in feedback trials, ± standard error": "no feedback trial was had",
        "Feedback trials": "0", "Calibration trials": None,
    }  # fmt: skip
    assert set(facts(report.section("Signal and times")).values()) == {None}
    assert set(facts(report.section("Files and versions")).values()) == {None}
    actuator = report.section("Actuator and stops")
    assert facts(actuator)["Movements"] is None
    assert "was not recorded" in str(actuator.blocks[1])
    assert text_of(pdf_of(report)).count("not recorded") > 10


def test_a_session_without_results_decoder_or_scores_is_reported_as_such(
    clinic: Clinic, running: TrainingSession
) -> None:
    report = english(clinic, running)
    assert "not over" in warnings(report.section("The session"))
    assert facts(report.section("The session"))["Ended"] is None
    assert report.section("Decoder").blocks == [Text("No decoder drove this session.")]
    assert report.section("Result").blocks == [Text("No results were recorded.")]
    assert "not known" in str(report.section("Outcome").blocks)
    assert text_of(pdf_of(report))


def test_a_damaged_file_and_a_rejected_decoder_are_not_passed_over(
    clinic: Clinic, closed: TrainingSession
) -> None:
    recording = {**SUMMARY["recording"], "intact": False, "damage": "cut off"}
    TrainingSession.objects.filter(pk=closed.pk).update(summary={**SUMMARY, "recording": recording})
    assert closed.decoder is not None
    decoders.reject(clinic.therapist, closed.decoder.pk, "wrong montage")
    report = english(clinic, closed)
    assert facts(report.section("Files and versions"))["Whole"] == "damaged: cut off"
    assert "wrong montage" in warnings(report.section("Decoder"))


# --- page and PDF --------------------------------------------------------------------------------


@LANGUAGES
def test_page_and_pdf_say_the_same_under_the_pseudonym(
    language: str, clinic: Clinic, closed: TrainingSession
) -> None:
    client, base = seen_by(clinic.therapist, language), f"/bci-rehab/sessions/{closed.pk}"
    page = client.get(f"{base}/report")
    sound(page)
    answer = client.get(f"{base}/report.pdf")
    assert answer["Content-Type"] == "application/pdf"
    assert answer["Content-Disposition"] == 'attachment; filename="P-0001-1.pdf"'
    read = PdfReader(io.BytesIO(answer.content))
    total = len(read.pages)
    for number, sheet in enumerate(read.pages, start=1):
        text = sheet.extract_text()
        assert f"{number}/{total}" in text
        assert squeezed(DISCLAIMER[language]) in squeezed(text)
    whole, shown = squeezed(text_of(answer.content)), squeezed(page.content.decode())
    words = {ENGLISH: "The therapist stopped it.", CHINESE: "治疗师"}[language]
    for said in (words, "P-0001", "82.5 ± 6.0 %", "b" * 64, "gel at C3", "41.5 ms", "5.25"):
        assert squeezed(said) in whole, said
        assert squeezed(said) in shown, said
    for secret in (IDENTITY.name, IDENTITY.document, IDENTITY.telephone):
        assert secret not in whole
        assert secret not in shown
    assert f"{base}/report" in client.get(base).content.decode()


def squeezed(text: str) -> str:
    """A text without the spaces and line ends that a layout puts into it."""
    return "".join(text.split())


def test_equal_reports_make_equal_files(clinic: Clinic, closed: TrainingSession) -> None:
    as_of, outcomes = now(), services.courses_of(closed.patient)
    first, again = (pdf_of(report_of(closed, outcomes, [closed], as_of=as_of)) for _ in "12")
    assert first == again
    later = pdf_of(report_of(closed, outcomes, [closed], as_of=as_of + timedelta(days=1)))
    assert later != first


def test_notes_are_text_and_nothing_else(clinic: Clinic, closed: TrainingSession) -> None:
    text = '<b>fatigue</b> & "pain" <img src="x"/> \x0c 手 😀'
    TrainingSession.objects.filter(pk=closed.pk).update(
        summary={**SUMMARY, "notes": [{"at_s": 1.0, "text": text}]}
    )
    made = text_of(pdf_of(english(clinic, closed)))
    assert '<b>fatigue</b> & "pain" <img src="x"/>' in made
    page = seen_by(clinic.therapist).get(f"/bci-rehab/sessions/{closed.pk}/report")
    assert "<b>fatigue" not in page.content.decode()


def test_long_reports_break_over_pages(clinic: Clinic, closed: TrainingSession) -> None:
    stops = [{**SUMMARY["stops"][0], "at_s": float(at)} for at in range(500)]
    notes = [{"at_s": 1.0, "text": "很长的记录。" * 1_000}]
    TrainingSession.objects.filter(pk=closed.pk).update(
        summary={**SUMMARY, "stops": stops, "notes": notes}
    )
    report = english(clinic, closed)
    assert len(table(report.section("Actuator and stops")).rows) == 500
    assert len(PdfReader(io.BytesIO(pdf_of(report))).pages) > 10


def test_that_a_pdf_was_made_is_in_the_evidence(clinic: Clinic, closed: TrainingSession) -> None:
    with override(ENGLISH):
        _session, made = make_pdf(clinic.technician, closed.pk)
    [entry] = EvidenceEntry.objects.filter(kind="bci_rehab.report_made")
    assert entry.subject == f"bci_rehab_session:{closed.pk}"
    assert entry.data["sha256"] == hashlib.sha256(made).hexdigest()
    assert entry.data["language"] == ENGLISH


def test_strangers_get_neither(clinic: Clinic, closed: TrainingSession) -> None:
    base = f"/bci-rehab/sessions/{closed.pk}"
    other = make_clinic("other")
    for address in (f"{base}/report", f"{base}/report.pdf"):
        assert asks_to_sign_in(browser().get(address))
        for principal in (other.therapist, clinic.owner, clinic.researcher):
            assert seen_by(principal).get(address).status_code == 403
    with pytest.raises(NotAllowed):
        make_pdf(other.therapist, closed.pk)
    assert not EvidenceEntry.objects.filter(kind="bci_rehab.report_made").exists()


# --- charts --------------------------------------------------------------------------------------


def test_a_chart_lies_within_its_drawing() -> None:
    points = [Point(0, "1", -5, 3), Point(1, "2", 120, 3), Point(9, "10", 50)]
    plot = plot_of(Chart("", "", 0, 100, points, Band(20, 30, "")))
    assert plot is not None
    heights = [y for dot in plot.dots for y in (dot.y, dot.up, dot.down) if y is not None]
    assert all(0 <= y <= HEIGHT for y in heights)
    assert [dot.x for dot in plot.dots] == sorted(dot.x for dot in plot.dots)
    assert all(0 <= dot.x <= WIDTH for dot in plot.dots)
    assert plot.dots[2].up is None
    assert plot.band is not None
    assert plot.band.height > 0


def test_one_point_is_no_course() -> None:
    assert plot_of(Chart("", "", 0, 100, [Point(0, "1", 50)])) is None
