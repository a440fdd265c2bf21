"""What the forms of the programme's pages take in; the services decide."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from haihe.compute.forms import AmountField
from haihe.kernel.clock import now
from haihe.kernel.forms import Refusable, offer
from haihe.kernel.ids import new_id
from haihe.kernel.texts import spoken
from haihe.programme.domain.vouchers import Clause
from haihe.programme.models import Scenario, Voucher
from haihe.programme.services.plans import FILE_LIMIT_BYTES

Choices = Iterable[tuple[str, str]]
NOTE_LENGTH = 2_000


def _day(**kwargs: Any) -> forms.DateField:
    return forms.DateField(widget=forms.DateInput({"type": "date"}), **kwargs)


class TomlField(forms.FileField):
    """A TOML file, taken in as its content."""

    def clean(self, data: Any, initial: Any = None) -> bytes | None:
        """The bytes of the file, if it is not beyond the limit."""
        file = super().clean(data, initial)
        if not file:
            return None
        if file.size > FILE_LIMIT_BYTES:
            raise forms.ValidationError(_("The file is too large for a plan or a rule set."))
        content: bytes = file.read()
        return content


class DeclarationsField(forms.MultipleChoiceField):
    """What is declared. All of it is needed; which part is missing, the service says."""

    widget = forms.CheckboxSelectMultiple

    def validate(self, value: list[str]) -> None:
        """Refuse what was not offered."""
        if value:
            super().validate(value)


class AsOfForm(forms.Form):
    """Of which day figures are shown."""

    as_of = _day(label=_("As of the end of"), required=False)

    def instant(self) -> datetime | None:
        """The end of the day in the portal's zone, or now if that is later; None if no day is
        named."""
        day = self.cleaned_data.get("as_of") if self.is_valid() else None
        if day is None:
            return None
        return min(timezone.make_aware(datetime.combine(day, time.max)), now())


class PlanForm(Refusable):
    """A plan to bring in."""

    file = TomlField(
        label=_("Plan file"), help_text=_("TOML; a higher version supersedes the one before.")
    )


class SchemeForm(Refusable):
    """A new voucher scheme."""

    slug = forms.SlugField(
        label=_("Short name"),
        max_length=40,
        help_text=_("Lower-case letters, digits and hyphens; voucher numbers begin with it."),
    )
    title = forms.CharField(label=_("Title"), max_length=200)
    title_en = forms.CharField(label=_("Title in English"), max_length=200, required=False)
    office = forms.ChoiceField(label=_("Programme office that pays"))
    rules = TomlField(
        label=_("Rule set"),
        help_text=_("TOML: conditions and declarations, each with its source; see schemes/."),
    )
    opens_on = _day(label=_("Opens on"))
    closes_on = _day(label=_("Closes on"))

    def __init__(self, *args: Any, offices: Choices, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "office", offices)


class SumField(AmountField):
    """An amount in CNY above zero, as money that moves must be."""

    def clean(self, value: Any) -> Any:
        """The amount in micro-units."""
        amount_micro = super().clean(value)
        if not amount_micro:
            raise forms.ValidationError(_("Give an amount above zero."))
        return amount_micro


class FundForm(Refusable):
    """Vouchers for a pool. The id makes a form that is sent twice harmless."""

    amount_micro = SumField(label=_("Amount in CNY"))
    reference = forms.CharField(
        label=_("Budget document"), max_length=200, help_text=_("By which the budget was given.")
    )
    transfer_id = forms.UUIDField(widget=forms.HiddenInput, initial=new_id)


class ApplicationForm(Refusable):
    """An application for a voucher."""

    contract = forms.ChoiceField(label=_("Signed compute contract"))
    amount_micro = SumField(label=_("Amount in CNY"))
    declared = DeclarationsField(label=_("We declare, and answer for it"))

    def __init__(
        self, *args: Any, contracts: Choices, declarations: Iterable[Clause], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "contract", contracts)
        offered = [(clause.code, spoken(clause)) for clause in declarations]
        self.fields["declared"].choices = offered  # type: ignore[attr-defined]


class DecisionForm(Refusable):
    """A decision, with the words that go with it. The buttons name the decision."""

    decision = forms.CharField(widget=forms.HiddenInput, max_length=10)
    note = forms.CharField(
        label=_("Note"),
        required=False,
        max_length=NOTE_LENGTH,
        widget=forms.Textarea({"rows": 3}),
        help_text=_("A refusal needs its reason. Those concerned will read it."),
    )


class PaymentForm(Refusable):
    """Whom to pay."""

    provider = forms.SlugField(widget=forms.HiddenInput)


class ProposalForm(Refusable):
    """A scenario to propose."""

    measure = forms.ChoiceField(label=_("Measure of the plan"))
    title = forms.CharField(label=_("Title"), max_length=200)
    title_en = forms.CharField(label=_("Title in English"), max_length=200, required=False)

    def __init__(self, *args: Any, measures: Choices, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "measure", measures)


class VoucherFilter(forms.Form):
    """Narrows the list of vouchers."""

    scheme = forms.ChoiceField(label=_("Scheme"), required=False)
    state = forms.ChoiceField(
        label=_("State"), required=False, choices=[("", _("All")), *Voucher.State.choices]
    )

    def __init__(self, *args: Any, schemes: Choices, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "scheme", [("", _("All")), *schemes])


class ScenarioFilter(forms.Form):
    """Narrows the list of scenarios."""

    state = forms.ChoiceField(
        label=_("State"), required=False, choices=[("", _("All")), *Scenario.State.choices]
    )
    measure = forms.CharField(label=_("Measure"), required=False, max_length=10)
