"""The words that live pages need, in the reader's language: codes of the stream to plain words.

Pages get them as one block of JSON. What the stream says in English with numbers in it (a finding
of the watchdog, a refused order) is matched against the English template, and the numbers are put
into the translated one.
"""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from bci_rehab.clinic import phrases
from bci_rehab.session.interlock import StopReason


def therapist_words() -> dict[str, Any]:
    """Words of the therapist's page."""
    return {
        "stops": {reason.value: _(reason.words) for reason in StopReason},
        "templates": _templates(),
        "kinds": _kinds(),
        "sides": _sides(),
        "outcomes": _outcomes(),
        "quality": {
            "good": pgettext("electrode", "good"),
            "fair": pgettext("electrode", "fair"),
            "bad": pgettext("electrode", "bad"),
        },
        "impedance": _impedance(),
        "connection": _connection(),
        "states": _states(),
        "actuator": _actuator(),
        "recorder": {
            "good": _("Writing"),
            "behind": _("Behind by {seconds} s"),
            "failed": _("Failed: {reason}"),
        },
        "orders": _orders(),
        "fit": _fit(),
        "page": {
            "open": _("Open and drawn"),
            "closed": _("Not open: nothing can move"),
        },
        "labels": _labels(),
    }


def patient_words() -> dict[str, Any]:
    """Words of the patient's screen: few, short, and large."""
    return {
        "kinds": {
            "waiting": _("One moment, we begin soon"),
            "check": _("Sit comfortably. We check the signal."),
            "rest": _("Rest with your eyes open"),
            "break": _("Break"),
            "fixation": _("Look at the cross"),
            "pause": _("Relax"),
            "paused": _("Pause"),
            "summary": _("Done. Thank you!"),
            "finished": _("Done. Thank you!"),
            "aborted": _("The session is over."),
        },
        "cues": {
            "left": _("Left hand"),
            "right": _("Right hand"),
            "feet": _("Both feet"),
            "rest": _("Rest"),
        },
        "imagery": {
            "left": _("Imagine closing your left hand"),
            "right": _("Imagine closing your right hand"),
            "feet": _("Imagine moving your feet"),
            "rest": _("Rest, think of nothing"),
        },
        "attempt": {
            "left": _("Try to close your left hand"),
            "right": _("Try to close your right hand"),
            "feet": _("Try to move your feet"),
            "rest": _("Rest, think of nothing"),
        },
        "outcomes": {
            "hit": _("Well done!"),
            "quiet": _("Well rested!"),
            "miss": _("Next time"),
            "wrong": _("Next time"),
            "false_trigger": _("Stay relaxed"),
        },
        "labels": {
            "seconds": _("{seconds} s"),
            "count": _("{right} of {trials} right"),
            "lost": _("No connection. Nothing moves. Please call the therapist."),
            "connecting": _("Connecting…"),
            "hidden": _("This page was hidden, and everything stopped. Please call the therapist."),
            "emergency": _("Stopped. Nothing moves."),
            "replaced": _(
                "Another screen has taken the place of this one. Please call the therapist."
            ),
            "ended": _("The session is over."),
            "idle": _("No session is running."),
        },
    }


def _templates() -> list[dict[str, str]]:
    return [{"english": text, "words": _(text)} for text in phrases.templates()]


def _kinds() -> dict[str, str]:
    return {
        "waiting": pgettext("session", "Waiting to begin"),
        "check": pgettext("session", "Check of the signal"),
        "rest": pgettext("session", "Rest"),
        "calibration": pgettext("session", "Calibration"),
        "feedback": pgettext("session", "Feedback"),
        "break": pgettext("session", "Break"),
        "summary": pgettext("session", "Summary"),
        "fixation": pgettext("trial", "Fixation"),
        "cue": pgettext("trial", "Cue"),
        "active": pgettext("trial", "Active"),
        "pause": pgettext("trial", "Pause"),
        "paused": pgettext("session", "Paused"),
        "finished": pgettext("session", "Finished"),
        "aborted": pgettext("session", "Aborted"),
    }


def _sides() -> dict[str, str]:
    return {
        "left": _("Left hand"),
        "right": _("Right hand"),
        "feet": _("Both feet"),
        "rest": pgettext("trial", "Rest"),
    }


def _outcomes() -> dict[str, str]:
    return {
        "hit": pgettext("trial", "hit"),
        "miss": pgettext("trial", "miss"),
        "wrong": pgettext("trial", "wrong side"),
        "quiet": pgettext("trial", "quiet"),
        "false_trigger": pgettext("trial", "false trigger"),
    }


def _impedance() -> dict[str, str]:
    return {
        "none": _("This source cannot measure impedance. Judge the contact by the signal."),
        "good": _("good (under 5 kΩ)"),
        "usable": _("usable (5 to 10 kΩ)"),
        "poor": _("poor (10 to 20 kΩ): add gel"),
        "bad": _("too high (over 20 kΩ): clean the skin, add gel, put it on again"),
        "unknown": _("not measured"),
    }


def _connection() -> dict[str, str]:
    return {
        "connecting": _("Connecting to the station…"),
        "open": _("Connected"),
        "lost": _(
            "Connection lost. The page tries again by itself; what you see is old. To stop, use "
            "the key on the patient's screen."
        ),
        "refused": _("The portal gave no ticket. Load the page again and sign in if asked."),
        "stopped": _("The station is not running. Ask the technician to start it."),
    }


def _states() -> dict[str, str]:
    return {
        "idle": _("The station holds no session."),
        "opening": _("The station opens the amplifier…"),
        "live": _("Live"),
        "ended": _("The session has ended. Close it to take it into the record."),
        "failed": _("The station could not open or go on:"),
        "stalled": _("No message from the station for {seconds} s."),
    }


def _actuator() -> dict[str, str]:
    return {
        "off": pgettext("actuator", "Off"),
        "armed": pgettext("actuator", "Armed, still"),
        "moving": pgettext("actuator", "Moving"),
        "last": _("Last stop: {words} Off after {ms} ms."),
        "last_unknown": _("Last stop: {words} Not yet known when it was off."),
    }


def _orders() -> dict[str, str]:
    return {
        "begin": pgettext("order", "Begin"),
        "arm": pgettext("order", "Arm"),
        "stop": pgettext("order", "Stop"),
        "emergency": pgettext("order", "Emergency stop"),
        "pause": pgettext("order", "Pause"),
        "resume": pgettext("order", "Resume"),
        "skip": pgettext("order", "Skip"),
        "abort": pgettext("order", "End the session"),
        "recover": pgettext("order", "Take over"),
        "note": pgettext("order", "Note"),
        "sent": _("{order}: sent"),
        "done": _("{order}: done"),
        "refused": _("{order}: refused. {why}"),
        "unsent": _("{order}: not sent, there is no connection"),
    }


def _fit() -> dict[str, str]:
    return {
        "running": _("The decoder is being fitted…"),
        "failed": _("The fit failed: {detail}"),
        "above": _(
            "Right in {value} ± {error} of {trials} trials; guessing stays below {bound}. Better "
            "than guessing."
        ),
        "chance": _(
            "Right in {value} ± {error} of {trials} trials; guessing stays below {bound}. No "
            "better than guessing: check electrodes and instruction, and record more trials."
        ),
        "promises": _(
            "{hits} of the movements would have triggered, at a threshold of {threshold}; rest "
            "triggers at most {rate} times a minute. {confidence} of guessers would have done "
            "worse."
        ),
        "none": _("Not fitted yet in this session."),
        "drives": _("A decoder is in use."),
        "none_drives": _("No decoder is in use."),
    }


def _labels() -> dict[str, str]:
    return {
        "run": _("Run {run}"),
        "trial": _("Trial {trial} of {trials}"),
        "seconds_left": _("{seconds} s left"),
        "latency": _("now {now} · p50 {p50} · p99 {p99} ms"),
        "frames": _("p50 {p50} · p99 {p99} ms · {count} frames"),
        "none": "–",
        "nothing_found": _("Nothing stands against the signal."),
        "age": _("Newest sample {ms} ms ago, {lost} lost"),
        "stream": pgettext("finding", "Stream"),
    }
