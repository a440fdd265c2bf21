"""Forms of sessions and decoders. Nothing moves unless somebody chooses so, each time anew."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from bci_rehab.clinic.sessions import Setting
from haihe.packs.pages import Refusable, offer

ACTUATORS = {
    "simulated": _("Simulated hand (for practice)"),
    "lsl": _("Lab Streaming Layer"),
    "osc": _("OSC over the network"),
    "udp": _("UDP over the network"),
    "serial": _("Serial port"),
}
Offers = Mapping[str, Sequence[Mapping[str, Any]]]
NONE = json.dumps(["none", "", {}])
SOURCES = {
    "synthetic": pgettext_lazy("source", "Synthetic patient"),
    "lsl": pgettext_lazy("source", "Lab Streaming Layer"),
    "brainflow": pgettext_lazy("source", "Amplifier"),
    "replay": pgettext_lazy("source", "Recording played back"),
}


class PlanForm(Refusable):
    """Whether the next session calibrates."""

    calibrate = forms.ChoiceField(
        label=_("Decoder"), widget=forms.RadioSelect, help_text=_("Calibration takes two runs.")
    )

    def __init__(self, *args: Any, accepted: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("yes", gettext("Calibrate: record trials and fit a new decoder"))]
        if accepted is not None:
            use = gettext("Use the accepted decoder %(decoder)s") % {"decoder": accepted}
            choices.insert(0, ("no", use))
        field = self.fields["calibrate"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices
        field.initial = choices[0][0]

    @property
    def calibrates(self) -> bool:
        """Whether a new decoder is to be fitted."""
        return bool(self.cleaned_data["calibrate"] == "yes")


class OpenForm(Refusable):
    """Source and actuator of a session; the actuator's output is off until it is turned on."""

    source = forms.ChoiceField(label=_("Source of the signal"), widget=forms.RadioSelect)
    actuator = forms.ChoiceField(label=_("Actuator"), initial=NONE)
    output = forms.BooleanField(
        label=_("Turn the actuator's output on for this session"),
        required=False,
        help_text=_(
            "Off unless chosen here. Even then nothing moves before somebody arms it on the live "
            "page, and it stops within 250 ms of any doubt."
        ),
    )

    def __init__(self, *args: Any, offers: Offers, may_run: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offered = {key_of(one): one for one in offers["sources"]}
        sources = [(key, described(one)) for key, one in self._offered.items()]
        offer(self, "source", sources)
        if len(sources) == 1:
            self.fields["source"].initial = sources[0][0]
        actuators = {key_of(one): one for one in offers["actuators"] if one["kind"] in ACTUATORS}
        self._offered |= actuators
        named = [(key, actuator_words(one)) for key, one in actuators.items()]
        offer(self, "actuator", [(NONE, _("None: feedback on the screen only")), *named])
        if not may_run:
            del self.fields["actuator"], self.fields["output"]

    def clean(self) -> dict[str, Any]:
        """The choices, if they fit together."""
        given = super().clean() or self.cleaned_data
        if given.get("output") and given.get("actuator") == NONE:
            self.add_error("actuator", gettext("Choose the actuator whose output is turned on."))
        return given

    def setting(self) -> Setting:
        """What the session is to be opened with."""
        given = self.cleaned_data
        source = self._offered[given["source"]]
        actuator = self._offered.get(given.get("actuator", NONE), {"kind": "none", "given": {}})
        return Setting(
            source={name: source[name] for name in ("kind", "name", "given")},
            actuator=actuator["kind"],
            given=actuator["given"],
            output=given.get("output", False),
        )


class RejectForm(Refusable):
    """Why a decoder is rejected."""

    reason = forms.CharField(label=_("Why it must not be used"), max_length=300)


def key_of(one: Mapping[str, Any]) -> str:
    """What tells one offer of the station from another in a form."""
    return json.dumps([one["kind"], one["name"], one["given"]], sort_keys=True)


def source_words(source: Mapping[str, Any]) -> str:
    """A source's kind and name."""
    kind = str(SOURCES.get(source["kind"], source["kind"]))
    return kind if source["kind"] == "synthetic" else f"{kind}: {source['name']}"


def described(source: Mapping[str, Any]) -> str:
    """A source in words; what is known only once it is open is left out."""
    if not source["channels"]:
        return source_words(source)
    size = gettext("%(channels)s channels, %(rate)s Hz") % {
        "channels": source["channels"],
        "rate": f"{source['rate_hz']:g}",
    }
    return f"{source_words(source)} ({size})"


def actuator_words(actuator: Mapping[str, Any]) -> str:
    """An actuator in words: its kind, and what the technician calls it."""
    kind = str(ACTUATORS.get(actuator["kind"], actuator["kind"]))
    name = actuator["given"].get("name", "")
    return kind if actuator["kind"] in ("simulated", "lsl") or not name else f"{kind}: {name}"
