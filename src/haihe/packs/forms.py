"""What the forms of the pages of packs take in; the services decide."""

from __future__ import annotations

from collections.abc import Iterable

from django import forms
from django.utils.translation import gettext_lazy as _

from haihe.kernel.forms import Refusable, offer
from haihe.kernel.texts import spoken
from haihe.packs import labels
from haihe.packs.domain import Manifest
from haihe.packs.models import Evaluation
from haihe.packs.services import DECISIONS

INPUT_PREFIX = "input_"
Choices = Iterable[tuple[str, str]]


class RunForm(Refusable):
    """For whom, under which contract, and on which data a pack is to run."""

    organisation = forms.ChoiceField(label=_("Organisation that runs and pays"))
    contract = forms.ChoiceField(
        label=_("Compute contract"),
        required=False,
        help_text=_("Its voucher, if it has one, pays its share."),
    )

    def __init__(
        self,
        *args: object,
        manifest: Manifest,
        organisations: Choices,
        contracts: Choices,
        versions: Choices,
        **kwargs: object,
    ) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        offer(self, "organisation", organisations)
        offer(
            self, "contract", [("", _("Without a contract: the organisation pays all")), *contracts]
        )
        offered = list(versions)
        for declared in manifest.inputs:
            self.fields[INPUT_PREFIX + declared.name] = forms.ChoiceField(
                label=_("Data for the input %(name)s") % {"name": declared.name},
                help_text=spoken(declared.description),
                choices=offered,
            )

    def inputs(self) -> dict[str, str]:
        """The dataset version chosen for each input."""
        return {
            name.removeprefix(INPUT_PREFIX): value
            for name, value in self.cleaned_data.items()
            if name.startswith(INPUT_PREFIX)
        }


class EvaluationFilter(forms.Form):
    """Narrows the list of evaluations."""

    pack = forms.ChoiceField(label=_("Pack"), required=False)
    state = forms.ChoiceField(
        label=_("State"), required=False, choices=[("", _("All")), *Evaluation.State.choices]
    )

    def __init__(self, *args: object, packs: Iterable[str], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        offer(self, "pack", [("", _("All")), *((name, name) for name in packs)])


class CaseFilter(forms.Form):
    """Narrows the list of cases."""

    decision = forms.ChoiceField(
        label=_("Decision"),
        required=False,
        choices=[("", _("All")), *((name, labels.DECISIONS[name]) for name in DECISIONS)],
    )
