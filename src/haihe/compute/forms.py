"""Forms of centres, contracts and jobs: they read what was typed; services decide."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from haihe.compute.domain import GIB, MILLI, InputRef, parse_input
from haihe.compute.errors import BadJobSpec
from haihe.kernel.errors import InvalidField
from haihe.kernel.forms import Refusable, offer
from haihe.kernel.ids import SLUG_LENGTH
from haihe.kernel.money import parse_amount_micro
from haihe.kernel.phrases import localized
from haihe.kernel.texts import called
from haihe.parties.models import Organisation

MIB = 1024**2


class AmountField(forms.CharField):
    """An amount in CNY as decimal text, read into micro-units; nothing typed is 0."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=40, **kwargs)
        self.widget.attrs["inputmode"] = "decimal"

    def clean(self, value: Any) -> Any:
        """The amount in micro-units."""
        text = super().clean(value)
        if not text or text.strip("0.") == "":
            return 0
        try:
            return parse_amount_micro(text)
        except InvalidField as error:
            raise forms.ValidationError(localized(error)) from None


class MilliField(forms.DecimalField):
    """A number of CPUs or GPUs, read into thousandths."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=0, max_digits=12, decimal_places=3, **kwargs)

    def clean(self, value: Any) -> Any:
        """The number in thousandths."""
        number = super().clean(value)
        return 0 if number is None else int(number * MILLI)


class CentreForm(Refusable):
    """A new centre."""

    operator = forms.ChoiceField(label=_("Operator"))
    slug = forms.SlugField(
        label=_("Short name"),
        max_length=SLUG_LENGTH,
        help_text=_("Lower-case letters, digits and hyphens; stands in addresses and commands."),
    )
    name = forms.CharField(label=_("Name"), max_length=200)
    name_en = forms.CharField(label=_("Name in English"), max_length=200, required=False)

    def __init__(self, *args: Any, operators: Iterable[Organisation], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "operator", [(o.slug, called(o)) for o in operators])


class PoolForm(Refusable):
    """A new pool of a centre."""

    slug = forms.SlugField(label=_("Short name"), max_length=SLUG_LENGTH)
    cpus = MilliField(label=_("CPUs"))
    memory_gib = forms.IntegerField(label=_("Memory (GiB)"), min_value=1)
    gpus = MilliField(label=_("GPUs"), required=False)
    gpu_model = forms.CharField(label=_("GPU model"), max_length=80, required=False)

    def capacity(self) -> dict[str, Any]:
        """The capacity as services take it."""
        data = self.cleaned_data
        return {
            "cpu_milli": data["cpus"],
            "memory_bytes": data["memory_gib"] * GIB,
            "gpu_milli": data["gpus"],
            "gpu_model": data["gpu_model"],
        }


class OfferForm(Refusable):
    """A pool's new prices."""

    cpu_hour_micro = AmountField(label=_("CNY per CPU-hour"))
    gpu_hour_micro = AmountField(label=_("CNY per GPU-hour"), required=False)
    minimum_micro = AmountField(label=_("Minimum charge per job, in CNY"), required=False)


class ContractForm(Refusable):
    """A new compute contract."""

    number = forms.CharField(
        label=_("Contract number"), max_length=80, help_text=_("As on the signed paper.")
    )
    buyer = forms.ChoiceField(label=_("Buyer"))
    provider = forms.CharField(
        label=_("Provider"),
        max_length=SLUG_LENGTH,
        help_text=_("Short name of the operator, as in the directory."),
    )
    amount_micro = AmountField(label=_("Amount in CNY"))
    eligible_micro = AmountField(
        label=_("Of it for computing alone, in CNY"),
        help_text=_("Without storage, network or security: what voucher schemes subsidise."),
    )
    begins_on = forms.DateField(label=_("First day"), widget=forms.DateInput({"type": "date"}))
    ends_on = forms.DateField(label=_("Last day"), widget=forms.DateInput({"type": "date"}))

    def __init__(self, *args: Any, buyers: Iterable[Organisation], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "buyer", [(o.slug, called(o)) for o in buyers])


class JobForm(Refusable):
    """A command job: what it runs, and what it may use at most."""

    organisation = forms.ChoiceField(label=_("Organisation that pays"))
    contract = forms.ChoiceField(
        label=_("Contract"),
        required=False,
        help_text=_(
            "With a contract its provider runs the job, and a voucher on it pays its part."
        ),
    )
    name = forms.RegexField(
        r"^[a-z0-9][a-z0-9_.-]{0,63}$",
        label=_("Name"),
        help_text=_("Lower-case letters, digits, '.', '_' or '-'."),
        error_messages={
            "invalid": _("Begin with a letter or digit; at most 64 characters, no spaces.")
        },
    )
    command = forms.CharField(
        label=_("Command"),
        max_length=8_192,
        widget=forms.TextInput({"spellcheck": "false", "autocapitalize": "off"}),
        help_text=_(
            "One program and its arguments, quoted as in a shell; no shell runs it. It finds its "
            "inputs in $HAIHE_INPUTS and writes to $HAIHE_OUTPUTS."
        ),
    )
    inputs = forms.CharField(
        label=_("Inputs"),
        required=False,
        max_length=4_000,
        widget=forms.Textarea({"rows": 2, "spellcheck": "false"}),
        help_text=_("One a line: name=dataset@version, as in cases=wdbc@1."),
    )
    cpus = MilliField(label=_("CPUs"), initial=1)
    memory_mib = forms.IntegerField(label=_("Memory (MiB)"), min_value=16, initial=1_024)
    gpus = MilliField(label=_("GPUs"), required=False)
    wall_minutes = forms.IntegerField(label=_("Minutes at most"), min_value=1, initial=60)
    output_mib = forms.IntegerField(label=_("Output at most (MiB)"), min_value=0, initial=1_024)

    def __init__(
        self,
        *args: Any,
        organisations: Iterable[Organisation],
        contracts: Iterable[str],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "organisation", [(o.slug, called(o)) for o in organisations])
        offer(self, "contract", [("", _("None")), *((number, number) for number in contracts)])

    def clean_command(self) -> list[str]:
        """The command's words."""
        try:
            return shlex.split(self.cleaned_data["command"])
        except ValueError:
            raise forms.ValidationError(
                _("This cannot be split into words: a quotation mark or a backslash is left open.")
            ) from None

    def clean_inputs(self) -> list[InputRef]:
        """Name, dataset and version of each input."""
        lines = self.cleaned_data["inputs"].splitlines()
        try:
            return [parse_input(line) for line in lines if line.strip()]
        except BadJobSpec as error:
            raise forms.ValidationError(localized(error)) from None

    def spec_data(self) -> dict[str, Any]:
        """The spec as ``spec_from`` reads it."""
        data = self.cleaned_data
        return {
            "name": data["name"],
            "command": data["command"],
            "inputs": data["inputs"],
            "cpu_milli": data["cpus"],
            "memory_bytes": data["memory_mib"] * MIB,
            "gpu_milli": data["gpus"],
            "wall_s": data["wall_minutes"] * 60,
            "output_bytes": data["output_mib"] * MIB,
        }
