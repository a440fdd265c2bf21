"""The report of a session: what was prescribed, what was done, and what it came to.

A function of the record alone: it asks nothing of the database, the clock or the station, and
speaks the language in force. The patient stands in it by pseudonym; nothing here can unseal who
that is. Numbers that the recording does not hold are said to be missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils.translation import get_language, pgettext
from django.utils.translation import gettext as _

from bci_rehab.clinic import report_words as words
from bci_rehab.clinic.models import DecoderVersion, TrainingSession
from bci_rehab.clinic.report_tree import (
    Band,
    Block,
    Chart,
    Column,
    Fact,
    Facts,
    Point,
    Report,
    Section,
    Table,
    Text,
)
from bci_rehab.clinic.results import Results, results_of
from bci_rehab.clinic.services import Course
from bci_rehab.session.events import Outcome as Ended
from haihe.packs.pages import called

# As many as the station's summary holds.
STOPS = 500
HASH_SHOWN = 12


def report_of(
    session: TrainingSession,
    outcomes: Sequence[Course],
    trainings: Sequence[TrainingSession],
    *,
    as_of: datetime,
) -> Report:
    """The report of ``session``.

    ``outcomes`` are the courses of the patient's scores, ``trainings`` the ended sessions of the
    prescription in their order, and ``as_of`` is when both were read.
    """
    results = results_of(session.summary, stops_shown=STOPS)
    return Report(
        title=_("Report of a training session"),
        pseudonym=session.patient.pseudonym,
        session=_session_words(session),
        made=_("As of %(time)s") % {"time": words.instant(as_of)},
        disclaimer=_("For research and training; not a medical device."),
        missing=_("not recorded"),
        legend=_("A dash in a table stands for what was not recorded; it is not zero."),
        language=get_language() or "zh-hans",
        sections=[
            _about(session, results),
            _prescription(session),
            _decoder(session),
            _result(session, results),
            _over_sessions(session, trainings),
            *(_outcome(course) for course in outcomes or ()),
            *([] if outcomes else [_no_outcome()]),
            _actuator(session, results),
            _signal(results),
            _notes(results),
            _files(session, results),
        ],
    )


def _session_words(session: TrainingSession) -> str:
    of = {"number": session.number, "of": session.prescription.sessions}
    return _("Session %(number)s of %(of)s") % of


def _about(session: TrainingSession, results: Results | None) -> Section:
    facts = Facts(
        [
            Fact(_("Patient"), session.patient.pseudonym),
            Fact(_("Clinic"), called(session.patient.organisation)),
            Fact(pgettext("number", "Session"), _session_words(session)),
            Fact(_("State"), str(session.get_state_display())),
            Fact(_("Begun"), words.instant(session.started_at)),
            Fact(pgettext("time", "Ended"), words.instant(session.ended_at)),
            Fact(_("Minutes"), words.number(results.minutes) if results else None),
            Fact(_("Source of the signal"), words.source_words(session.source)),
            Fact(_("Opened by"), words.named(session.opened_by)),
        ]
    )
    return Section(_("The session"), [*_warnings(session), facts])


def _warnings(session: TrainingSession) -> list[Block]:
    """What must be known before any number is read."""
    found = []
    if words.is_synthetic(session.source):
        found.append(_("The signal is synthetic: a program made it. It says nothing of a person."))
    if session.source.get("kind") == "replay":
        found.append(_("The signal is a recording played back, not that of a person present."))
    if session.is_open:
        found.append(_("The session is not over. What it comes to is not known yet."))
    if session.state == TrainingSession.State.ABORTED:
        found.append(_("The session was broken off. Its number can be had again."))
    return [Text(text, is_warning=True) for text in found]


def _prescription(session: TrainingSession) -> Section:
    given = session.prescription
    facts = [
        Fact(_("Kind of training"), str(given.get_modality_display())),
        Fact(_("Hand"), str(given.get_side_display())),
        Fact(pgettext("prescription", "Sessions"), str(given.sessions)),
        Fact(_("Minutes a session"), str(given.minutes)),
        Fact(_("False triggers a minute at most"), words.number(given.false_triggers_per_min)),
        Fact(_("Prescribed by"), str(given.prescribed_by)),
    ]
    return Section(_("Prescription"), [Facts(facts)])


def _decoder(session: TrainingSession) -> Section:
    decoder = session.decoder
    drove = Fact(_("Decoders that drove, in order"), _drove(session.summary))
    if decoder is None and not session.summary.get("decoders"):
        said = _("No decoder drove this session.")
        return Section(_("Decoder"), [Text(said)])
    if decoder is None:
        return Section(_("Decoder"), [Facts([drove])])
    blocks: list[Block] = [Facts([*_decoder_facts(decoder), drove])]
    if decoder.rejected_at is not None:
        who = {"who": decoder.rejected_by, "why": decoder.rejected_reason}
        said = _("Rejected since by %(who)s: %(why)s") % who
        blocks.insert(0, Text(said, is_warning=True))
    return Section(_("Decoder"), blocks)


def _drove(summary: Mapping[str, Any]) -> str | None:
    """The hashes of the decoders that the recording names, shortened."""
    if summary.get("decoders") is None:
        return None
    return ", ".join(one[:HASH_SHOWN] for one in summary["decoders"]) or _("none")


def _decoder_facts(decoder: DecoderVersion) -> list[Fact]:
    accuracy = decoder.accuracy
    above = _("better than guessing") if decoder.is_above_chance else _("no better than guessing")
    return [
        Fact(_("Decoder"), f"{decoder}, {decoder.method}"),
        Fact(
            _("Accuracy in calibration"),
            words.percent(accuracy.get("value"), accuracy.get("standard_error")),
        ),
        Fact(
            _("Guessing stays below"),
            f"{words.percent(accuracy['chance_bound'])} ({above})",
        ),
        Fact(_("Trials"), words.count(accuracy.get("trials"))),
        Fact(_("Guessers that do worse"), words.percent(accuracy.get("confidence"))),
        Fact(_("Movements that trigger"), words.percent(decoder.hits)),
        Fact(_("False triggers a minute at most"), words.number(decoder.false_per_min, digits=2)),
        Fact(_("Accepted by"), words.named(decoder.accepted_by)),
        Fact(_("Accepted on"), words.instant(decoder.accepted_at)),
        Fact("SHA-256", decoder.sha256),
    ]


def _result(session: TrainingSession, results: Results | None) -> Section:
    if results is None:
        return Section(_("Result"), [Text(_("No results were recorded."))])
    counts = results.counts
    accuracy = words.percent(results.accuracy, results.standard_error)
    feedback = counts.get("trials")
    if results.accuracy is None and feedback == 0:
        accuracy = _("no feedback trial was had")
    facts = [
        Fact(_("Right in feedback trials, ± standard error"), accuracy),
        Fact(_("Feedback trials"), words.count(feedback)),
        Fact(_("Calibration trials"), words.count(counts.get("calibration_trials"))),
    ]
    return Section(_("Result"), [Facts(facts), _runs(session.summary, results)])


ENDED = (Ended.HIT, Ended.MISS, Ended.WRONG, Ended.QUIET, Ended.FALSE_TRIGGER)
TOTALS = ("hits", "misses", "wrong", "quiet", "false_triggers")


def _runs(summary: Mapping[str, Any], results: Results) -> Table:
    kinds = {"calibration": _("calibration"), "feedback": _("feedback")}
    counted = run_counts(summary.get("trial_list"))
    rows: list[list[str | None]] = []
    for run in results.runs:
        ended = counted.get(run.run) if run.kind == "feedback" else None
        outcomes = [None if ended is None else str(ended[outcome]) for outcome in ENDED]
        kind, right = kinds.get(run.kind, run.kind), words.percent(run.accuracy)
        rows.append([str(run.run), kind, str(run.trials), *outcomes, right])
    total = [words.count(results.counts.get(name)) for name in TOTALS]
    trials = words.count(results.counts.get("trials"))
    if rows:
        right = words.percent(results.accuracy)
        rows.append([_("All"), _("feedback"), trials, *total, right])
    titles = (
        _("Trials"), _("Hits"), _("Missed"), _("Wrong side"), _("Quiet in rest"),
        _("False triggers"), _("Right"),
    )  # fmt: skip
    return Table(
        _("Runs"),
        [
            Column(pgettext("session", "Run")),
            Column(_("Kind"), share=1.5),
            *(Column(t, True) for t in titles),
        ],
        rows,
        _("No run was had"),
    )


def run_counts(trials: Sequence[Mapping[str, Any]] | None) -> Mapping[int, Counter[str]]:
    """How the trials of each run ended; skipped ones are left out."""
    found: dict[int, Counter[str]] = {}
    for trial in trials or ():
        if not trial["skipped"] and trial["outcome"]:
            found.setdefault(trial["run"], Counter())[trial["outcome"]] += 1
    return found


def _over_sessions(session: TrainingSession, trainings: Sequence[TrainingSession]) -> Section:
    title = _("Course over the sessions of this prescription")
    had = [(row, results_of(row.summary)) for row in trainings]
    points = [
        Point(
            float(row.number),
            str(row.number),
            result.accuracy * 100,
            None if result.standard_error is None else result.standard_error * 100,
            row.pk == session.pk,
        )
        for row, result in had
        if result is not None and result.accuracy is not None
    ]
    label = _("Right in feedback trials")
    blocks: list[Block] = []
    if len(points) > 1:
        blocks.append(Chart(label, _("% by session; bars: standard error"), 0, 100, points))
    blocks.append(
        Table(
            title,
            [
                Column(_("Session")), Column(_("Date"), share=1.5),
                Column(_("Source of the signal"), share=3), Column(_("Trials"), True),
                Column(_("Right ± standard error"), True, 1.8), Column(_("Stops"), True),
            ],
            [_training(row, result, row.pk == session.pk) for row, result in had],
            _("No session of this prescription has ended yet."),
        )
    )  # fmt: skip
    return Section(title, blocks)


def _training(row: TrainingSession, result: Results | None, is_this: bool) -> list[str | None]:
    """One session as a row of the course; the one that is reported on has a mark."""
    return [
        f"{row.number} ●" if is_this else str(row.number),
        words.day(row.started_at),
        words.source_words(row.source),
        words.count(result.counts.get("trials")) if result else None,
        words.percent(result.accuracy, result.standard_error) if result else None,
        words.count(len(result.stops)) if result and "stops" in row.summary else None,
    ]


def _no_outcome() -> Section:
    said = _("No score is in the record: whether the training helped is not known.")
    return Section(_("Outcome"), [Text(said)])


def _outcome(course: Course) -> Section:
    scale, first = course.scale, course.outcomes[0]
    sign = 1 if scale.is_higher_better else -1
    facts = [
        Fact(_("Scale"), f"{_(scale.title)}, {scale.lowest:g}–{scale.highest:g}"),
        Fact(_("Change from the first score to the last"), _change(course)),
        Fact(_("Minimal clinically important difference"), f"{scale.mcid:g}"),
        Fact(_("Source of that difference"), scale.mcid_source),
    ]
    blocks: list[Block] = [Facts(facts)]
    if len(course.outcomes) > 1:
        low, high = sorted((first.value, first.value + sign * scale.mcid))
        band = Band(low, high, _("band: less than the change that matters"))
        blocks.append(
            Chart(
                scale.code,
                band.label,
                scale.lowest,
                scale.highest,
                [
                    Point(float(one.measured_on.toordinal()), f"{one.measured_on}", one.value)
                    for one in course.outcomes
                ],
                band,
            )
        )
    blocks.append(
        Table(
            scale.code,
            [
                Column(_("Measured on")), Column(_("Score"), True),
                Column(_("Better by"), True), Column(_("Rater"), share=2),
            ],
            [
                [
                    f"{one.measured_on}",
                    f"{one.value:g}",
                    f"{sign * (one.value - first.value):+g}" if index else None,
                    one.rater or None,
                ]
                for index, one in enumerate(course.outcomes)
            ],
            _("No score yet"),
        )
    )  # fmt: skip
    return Section(_("Outcome: %(scale)s") % {"scale": scale.code}, blocks)


def _change(course: Course) -> str:
    if course.change is None:
        return _("not known: there is one score only")
    change = {"change": f"{course.change:+g}"}
    if course.matters:
        return _("%(change)s: a change that matters") % change
    return _("%(change)s: less than what matters") % change


def _actuator(session: TrainingSession, results: Results | None) -> Section:
    actuator = session.actuator
    output = None
    if "output" in actuator:
        output = pgettext("actuator", "on") if actuator["output"] else pgettext("actuator", "off")
    moved = results.movements if results else {}
    facts = Facts(
        [
            Fact(_("Actuator"), words.actuator_words(actuator)),
            Fact(_("Output"), output),
            Fact(_("Movements"), words.count(moved.get("count"))),
            Fact(_("Moving in all"), words.number(moved.get("seconds"), "s", digits=2)),
        ]
    )
    return Section(_("Actuator and stops"), [facts, *_stops(session.summary, results)])


def _stops(summary: Mapping[str, Any], results: Results | None) -> list[Block]:
    if results is None or "stops" not in summary:
        return [Text(_("Whether anything was stopped was not recorded."))]
    moving, still = _("moving"), _("still")
    rows: list[list[str | None]] = [
        [
            words.number(stop.at_s, "s"),
            " ".join(filter(None, (_(stop.words), f"({stop.detail})" if stop.detail else ""))),
            moving if stop.was_on else still,
            words.number(stop.latency_ms, "ms"),
        ]
        for stop in results.stops
    ]
    columns = [
        Column(pgettext("session", "After"), share=1.2), Column(_("Reason"), share=5),
        Column(_("Actuator then"), share=1.6), Column(_("Off after"), True, 1.4),
    ]  # fmt: skip
    table = Table(_("Stops"), columns, rows, _("The actuator was never stopped."))
    if len(rows) < STOPS:
        return [table]
    return [table, Text(_("There may be more stops; the summary holds the first %d.") % STOPS)]


def _signal(results: Results | None) -> Section:
    title = _("Signal and times")
    if results is None:
        return Section(title, [Text(_("No results were recorded."))])
    signal, decision, frames = results.signal, results.decision, results.frames
    lost = words.number(signal.get("lost_s"), "s", digits=2)
    share = words.percent(results.lost_share, digits=2)
    facts = [
        Fact(_("Stream"), signal.get("source") or None),
        Fact(_("Channels"), words.count(signal.get("channels"))),
        Fact(_("Sampling rate"), words.number(signal.get("rate_hz"), "Hz")),
        Fact(_("Signal recorded"), words.number(signal.get("seconds"), "s")),
        Fact(_("Samples lost"), f"{lost} ({share})" if lost and share else lost),
        Fact(_("Electrodes that were poor, and how long"), _poor(results)),
        Fact(_("To the decision, p50 / p99"), words.pair(decision.get("p50"), decision.get("p99"))),
        Fact(
            _("From frame to frame, p50 / p99"),
            words.pair(frames.get("p50_ms"), frames.get("p99_ms")),
        ),
        Fact(_("Frames drawn"), words.count(frames.get("count"))),
    ]
    return Section(title, [Facts(facts)])


def _poor(results: Results) -> str | None:
    if results.signal.get("bad_share") is None:
        return None
    return ", ".join(f"{name} {share:g} %" for name, share in results.poor_channels) or _("none")


def _notes(results: Results | None) -> Section:
    notes = results.notes if results else ()
    table = Table(
        _("Notes"),
        [Column(pgettext("session", "After"), share=0.8), Column(_("Note"), share=7)],
        [[words.number(note.get("at_s"), "s"), str(note["text"])] for note in notes],
        _("No notes"),
    )
    return Section(_("Notes of the session"), [table])


def _files(session: TrainingSession, results: Results | None) -> Section:
    recording = results.recording if results else {}
    versions: Mapping[str, Any] = session.summary.get("versions") or {}
    size = recording.get("bytes")
    facts = [
        Fact(_("Recording"), recording.get("file") or None),
        Fact(_("Bytes"), None if size is None else f"{size:,}"),
        Fact("SHA-256", recording.get("sha256") or None),
        Fact(_("Whole"), words.recording_words(recording)),
        Fact(_("Interruptions"), words.count(recording.get("interruptions"))),
        Fact(
            _("Software"),
            ", ".join(f"{name} {value}" for name, value in sorted(versions.items())) or None,
        ),
    ]
    return Section(_("Files and versions"), [Facts(facts)])
