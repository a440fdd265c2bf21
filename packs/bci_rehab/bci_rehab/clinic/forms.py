"""Forms of the clinic: they read what was typed; the services hold the rules."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from django import forms
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from bci_rehab.clinic.domain import QUESTIONS, SCALES, USUAL_FALSE_PER_MIN, USUAL_MINUTES
from bci_rehab.clinic.identity import Identity
from bci_rehab.clinic.models import MODALITIES, SIDES, Consent
from haihe.packs.pages import Organisation, Refusable, called, offer

NAME_LENGTH = 80
NOTE_LENGTH = 4_000
OLDEST_BIRTH_YEAR = 1900
ANSWERS = [("yes", pgettext_lazy("answer", "Yes")), ("no", pgettext_lazy("answer", "No"))]


class DayField(forms.DateField):
    """A day, chosen from a calendar."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"), **kwargs)


class PastDayField(DayField):
    """A day that is not to come."""

    def clean(self, value: Any) -> Any:
        """The day."""
        day = super().clean(value)
        if day is not None and day > date.today():
            raise forms.ValidationError(gettext("This day is yet to come."))
        return day


class PatientSearch(forms.Form):
    """Which patients to show."""

    text = forms.CharField(label=_("Pseudonym"), required=False, max_length=20)
    closed = forms.BooleanField(label=_("Closed records too"), required=False)


class EnrolForm(Refusable):
    """A new patient: who they are, which is sealed, and what training needs to know."""

    organisation = forms.ChoiceField(label=_("Clinic"))
    name = forms.CharField(
        label=_("Name"),
        max_length=NAME_LENGTH,
        help_text=_("Kept apart from the record, encrypted; pages show the pseudonym."),
    )
    document = forms.CharField(label=_("File number"), max_length=40, required=False)
    telephone = forms.CharField(label=_("Telephone"), max_length=40, required=False)
    affected_side = forms.ChoiceField(label=_("Affected side"), choices=SIDES)
    birth_year = forms.IntegerField(
        label=_("Year of birth"), min_value=OLDEST_BIRTH_YEAR, max_value=2_100, required=False
    )
    onset_on = PastDayField(label=_("Onset"), required=False)
    diagnosis = forms.CharField(label=_("Diagnosis"), max_length=300, required=False)

    def __init__(self, *args: Any, clinics: Iterable[Organisation], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "organisation", [(clinic.slug, called(clinic)) for clinic in clinics])

    def identity(self) -> Identity:
        """Who the patient is."""
        names = ("name", "document", "telephone")
        return Identity(**{name: self.cleaned_data[name] for name in names})


class ConsentForm(Refusable):
    """What a patient signed."""

    purpose = forms.ChoiceField(label=_("Purpose"), choices=Consent.Purpose.choices)
    text_version = forms.CharField(
        label=_("Version of the text"), max_length=40, help_text=_("As printed on the signed form.")
    )
    given_on = PastDayField(label=_("Signed on"))


class IntakeForm(Refusable):
    """The checklist: each question is answered, none is taken for answered."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for question in QUESTIONS:
            self.fields[question.code] = forms.ChoiceField(
                label=gettext(question.text), choices=ANSWERS, widget=forms.RadioSelect
            )

    def answers(self) -> dict[str, bool]:
        """Yes or no to each question."""
        return {code: given == "yes" for code, given in self.cleaned_data.items()}


class PrescriptionForm(Refusable):
    """What is to be trained, how often, and how rarely the hand may move by mistake."""

    modality = forms.ChoiceField(label=_("Kind of training"), choices=MODALITIES)
    side = forms.ChoiceField(label=_("Hand"), choices=SIDES)
    sessions = forms.IntegerField(
        label=_("Number of sessions"), min_value=1, max_value=200, initial=12
    )
    minutes = forms.IntegerField(
        label=_("Minutes a session"), min_value=5, max_value=120, initial=USUAL_MINUTES
    )
    false_triggers_per_min = forms.FloatField(
        label=_("False triggers a minute at most"),
        min_value=0.01,
        max_value=10,
        initial=USUAL_FALSE_PER_MIN,
        help_text=_("Calibration sets the decoder's threshold so that rest moves nothing oftener."),
    )


class OutcomeForm(Refusable):
    """A score on a day."""

    scale = forms.ChoiceField(label=_("Scale"), choices=[(code, code) for code in SCALES])
    value = forms.FloatField(label=_("Score"))
    measured_on = PastDayField(label=_("Measured on"))
    rater = forms.CharField(label=_("Rater"), max_length=80, required=False)


class StrikeForm(Refusable):
    """Why a score is struck out."""

    reason = forms.CharField(label=_("Why it is wrong"), max_length=300)


class NoteForm(Refusable):
    """A note."""

    text = forms.CharField(
        label=_("Note"), max_length=NOTE_LENGTH, widget=forms.Textarea({"rows": 4})
    )
