"""Forms of the network, contracts and jobs: they read what was typed; services decide."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from haihe.compute.comparison import OBJECTIVES
from haihe.compute.domain import GIB, MILLI, FileRef, InputRef, Objective, parse_input
from haihe.compute.domain.terms import (
    REASON_LENGTH,
    REGION_LENGTH,
    WORD_LENGTH,
    CentreTerms,
    PoolTerms,
)
from haihe.compute.errors import BadJobSpec
from haihe.compute.labels import POOL_STATES
from haihe.compute.models import Centre, Pool
from haihe.kernel.errors import InvalidField
from haihe.kernel.forms import Refusable, offer
from haihe.kernel.ids import SLUG_LENGTH
from haihe.kernel.money import parse_amount_micro
from haihe.kernel.phrases import localized
from haihe.kernel.texts import called
from haihe.parties.models import Organisation

MIB = 1024**2
MB = 1_000_000
WORDS_LENGTH = 4_000


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


class WordsField(forms.CharField):
    """Several words, one a line or with commas between them."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.Textarea({"rows": 2, "spellcheck": "false"})
        super().__init__(required=False, max_length=WORDS_LENGTH, widget=widget, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Words that are there already, one a line."""
        return value if value is None or isinstance(value, str) else "\n".join(value)

    def clean(self, value: Any) -> Any:
        """The words."""
        lines = super().clean(value).replace("，", ",").replace(",", "\n").splitlines()
        return [line.strip() for line in lines if line.strip()]


class InstantField(forms.DateTimeField):
    """A day and time in the portal's zone."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
        super().__init__(widget=widget, **kwargs)


class FilesInput(forms.ClearableFileInput):
    """A choice of several files."""

    allow_multiple_selected = True


class FilesField(forms.FileField):
    """Any number of files; no file is none."""

    widget = FilesInput

    def clean(self, data: Any, initial: Any = None) -> Any:
        """The files."""
        return [super(FilesField, self).clean(file, initial) for file in data or ()]


class DayField(forms.DateField):
    """A day."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"), **kwargs)


class NetworkFilter(forms.Form):
    """Which centres and pools of the network to show."""

    region = forms.ChoiceField(label=_("Region"), required=False)
    state = forms.ChoiceField(
        label=_("State"), required=False, choices=[("", _("All states")), *POOL_STATES.items()]
    )

    def __init__(self, *args: Any, regions: Iterable[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        named = sorted(filter(None, regions))
        offer(self, "region", [("", _("All regions")), *((name, name) for name in named)])


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


class CentreTermsForm(Refusable):
    """What an operator says of a centre."""

    region = forms.CharField(label=_("Region"), max_length=REGION_LENGTH, required=False)
    carbon_g_per_kwh = forms.IntegerField(
        label=_("Carbon of its power (g CO₂ per kWh)"),
        min_value=0,
        required=False,
        help_text=_("Empty, if it is not known."),
    )
    link_mb_per_s = forms.DecimalField(
        label=_("Link to the platform's data (MB/s)"),
        min_value=Decimal("0.000001"),
        max_digits=18,
        decimal_places=6,
        required=False,
        help_text=_("Empty, where the centre shares a disk with the platform."),
    )

    @staticmethod
    def initial_of(centre: Centre) -> dict[str, Any]:
        """What holds now, as the form shows it."""
        link = centre.link_bytes_per_s
        return {
            "region": centre.region,
            "carbon_g_per_kwh": centre.carbon_g_per_kwh,
            "link_mb_per_s": None if link is None else (Decimal(link) / MB).normalize(),
        }

    def terms(self) -> CentreTerms:
        """The terms as services take them."""
        data = self.cleaned_data
        link = data["link_mb_per_s"]
        return CentreTerms(
            region=data["region"],
            carbon_g_per_kwh=data["carbon_g_per_kwh"],
            link_bytes_per_s=None if link is None else int(link * MB),
        )


class PoolTermsForm(Refusable):
    """What an operator says of a pool beside its size and price. Its fields are the terms'."""

    backend = forms.ChoiceField(
        label=_("Back-end"), choices=Pool.Backend.choices, initial=Pool.Backend.LOCAL
    )
    partition = forms.CharField(
        label=_("Partition or queue in the scheduler"), max_length=WORD_LENGTH, required=False
    )
    software = WordsField(
        label=_("Software"), help_text=_("Names that a job may ask for, one a line.")
    )
    watts_idle = forms.IntegerField(
        label=_("Power of the whole pool when idle (W)"), min_value=0, required=False
    )
    watts_busy = forms.IntegerField(
        label=_("Power of the whole pool when busy (W)"), min_value=0, required=False
    )
    pending_limit = forms.IntegerField(
        label=_("Jobs that may wait in the scheduler's own queue"),
        min_value=0,
        initial=0,
        help_text=_("0: a job goes there only when there is room."),
    )
    needs_allocation = forms.BooleanField(
        label=_("Only for organisations with an allocation"), required=False
    )
    needs_account = forms.BooleanField(
        label=_("Only for people with an account at the centre"), required=False
    )

    @staticmethod
    def initial_of(pool: Pool) -> dict[str, Any]:
        """What holds now."""
        return {name: getattr(pool, name) for name in PoolTermsForm.base_fields}

    def terms(self) -> PoolTerms:
        """The terms as services take them."""
        return PoolTerms(**{name: self.cleaned_data[name] for name in PoolTermsForm.base_fields})


class PoolForm(PoolTermsForm):
    """A new pool of a centre."""

    slug = forms.SlugField(label=_("Short name"), max_length=SLUG_LENGTH)
    cpus = MilliField(label=_("CPUs"))
    memory_gib = forms.IntegerField(label=_("Memory (GiB)"), min_value=1)
    gpus = MilliField(label=_("GPUs"), required=False)
    gpu_model = forms.CharField(
        label=_("GPU model"), max_length=80, required=False, help_text=_("As in A100-80GB, 910B.")
    )
    card_tflops = forms.IntegerField(
        label=_("Peak of one card (TFLOPS)"),
        required=False,
        min_value=1,
        help_text=_("Dense half precision; for a model that the table of cards does not have."),
    )
    card_watts = forms.IntegerField(
        label=_("Board power of one card (W)"), required=False, min_value=1
    )
    field_order = (
        "slug", "cpus", "memory_gib", "gpus", "gpu_model", "card_tflops", "card_watts",
    )  # fmt: skip

    def capacity(self) -> dict[str, Any]:
        """The capacity as services take it."""
        data = self.cleaned_data
        return {
            "cpu_milli": data["cpus"],
            "memory_bytes": data["memory_gib"] * GIB,
            "gpu_milli": data["gpus"],
            "gpu_model": data["gpu_model"],
            "card_tflops": data["card_tflops"],
            "card_watts": data["card_watts"],
        }


class MaintenanceForm(Refusable):
    """A time in which a pool takes no job."""

    begins_at = InstantField(label=_("From"))
    ends_at = InstantField(label=_("Until"))
    reason = forms.CharField(label=_("Reason"), max_length=REASON_LENGTH)


class AllocationForm(Refusable):
    """How much of a pool an organisation may use in a period."""

    organisation = forms.CharField(
        label=_("Organisation"),
        max_length=SLUG_LENGTH,
        help_text=_("Its short name, as in the directory."),
    )
    begins_on = DayField(label=_("First day"))
    ends_on = DayField(label=_("Last day"))
    cpu_hours = forms.IntegerField(label=_("CPU-hours"), min_value=0)
    gpu_hours = forms.IntegerField(label=_("GPU-hours"), min_value=0, initial=0)


class AccountForm(Refusable):
    """Who a person is at a centre."""

    email = forms.EmailField(label=_("E-mail address of the person"))
    user = forms.CharField(
        label=_("User name at the centre"),
        max_length=64,
        help_text=_("Their jobs run there under this name."),
    )
    account = forms.CharField(label=_("Account in the scheduler"), max_length=64, required=False)
    qos = forms.CharField(label=_("Quality of service (QoS)"), max_length=64, required=False)


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
    begins_on = DayField(label=_("First day"))
    ends_on = DayField(label=_("Last day"))

    def __init__(self, *args: Any, buyers: Iterable[Organisation], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "buyer", [(o.slug, called(o)) for o in buyers])


class JobForm(Refusable):
    """A command job: what it runs, what it may use at most, and where it should go.

    Every job says :data:`WHAT` and :data:`AMOUNTS`; the other fields few jobs need.
    """

    WHAT = ("organisation", "contract", "name", "command", "kept", "uploads", "inputs")
    AMOUNTS = ("cpus", "memory_mib", "gpus", "wall_minutes")

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
    kept = forms.MultipleChoiceField(
        label=_("Files that are here already"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    uploads = FilesField(
        label=_("Files"),
        required=False,
        allow_empty_file=True,
        help_text=_("The job finds each in its working folder, under the name that it has here."),
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
    objective = forms.ChoiceField(
        label=_("What matters most in the choice of a centre"),
        choices=list(OBJECTIVES.items()),
        initial=Objective.BALANCED,
    )
    output_mib = forms.IntegerField(label=_("Output at most (MiB)"), min_value=0, initial=1_024)
    accelerator = forms.CharField(
        label=_("Accelerator"),
        max_length=64,
        required=False,
        help_text=_("A model, a maker or a class: A100, ascend, dcu. Empty for any."),
    )
    nodes = forms.IntegerField(
        label=_("Nodes that start together"),
        min_value=1,
        initial=1,
        required=False,
        help_text=_("CPUs, memory and GPUs are on each of them."),
    )
    array = forms.IntegerField(
        label=_("Like jobs (array)"),
        min_value=1,
        initial=1,
        required=False,
        help_text=_("Each finds its number in $HAIHE_ARRAY_INDEX, and is paid for itself."),
    )
    software = WordsField(
        label=_("Software that the pool must have"), help_text=_("One name a line.")
    )
    centres = forms.MultipleChoiceField(
        label=_("Only in these centres"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None chosen: any centre."),
    )
    deadline = InstantField(
        label=_("Must have ended by"),
        required=False,
        help_text=_("Where it cannot be done by then it is refused, or ended unpaid."),
    )
    environment = forms.CharField(
        label=_("Environment variables"),
        required=False,
        max_length=WORDS_LENGTH,
        widget=forms.Textarea({"rows": 2, "spellcheck": "false"}),
        help_text=_("One a line: NAME=value."),
    )

    def __init__(
        self,
        *args: Any,
        organisations: Iterable[Organisation],
        contracts: Iterable[str],
        centres: Iterable[Centre],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "centres", [(centre.slug, called(centre)) for centre in centres])
        offer(self, "organisation", [(o.slug, called(o)) for o in organisations])
        offer(self, "contract", [("", _("None")), *((number, number) for number in contracts)])
        self._offer_kept(self.data.getlist("kept") if isinstance(self.data, QueryDict) else [])

    def keep(self, refs: Iterable[FileRef]) -> None:
        """Name uploads that are kept by now: shown again, the form does not ask for them twice."""
        chosen = dict(self._kept_refs())
        chosen.update((ref.path, ref.sha256) for ref in refs)
        values = [f"{path}={sha256}" for path, sha256 in chosen.items()]
        self._offer_kept(values)
        data = QueryDict(mutable=True)
        data.update(self.data)
        data.setlist("kept", values)
        self.data = data

    def _offer_kept(self, values: Iterable[str]) -> None:
        offer(self, "kept", [(value, value.rpartition("=")[0]) for value in values])

    def _kept_refs(self) -> Iterable[tuple[str, str]]:
        chosen = self.data.getlist("kept") if isinstance(self.data, QueryDict) else []
        for value in chosen:
            path, _equals, sha256 = value.rpartition("=")
            yield path, sha256

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

    def clean_environment(self) -> dict[str, str]:
        """The value of each variable."""
        lines = [line for line in self.cleaned_data["environment"].splitlines() if line.strip()]
        pairs = [line.strip().partition("=") for line in lines]
        if any(not name or not equals for name, equals, _value in pairs):
            raise forms.ValidationError(_("Write NAME=value on each line."))
        return {name: value for name, _equals, value in pairs}

    def what(self) -> list[forms.BoundField]:
        """What runs, and who pays."""
        return [self[name] for name in self.WHAT if name != "kept" or self["kept"].subwidgets]

    def amounts(self) -> list[forms.BoundField]:
        """What it may use at most."""
        return [self[name] for name in self.AMOUNTS]

    def further(self) -> list[forms.BoundField]:
        """The fields that few jobs need."""
        plain = {*self.WHAT, *self.AMOUNTS, "objective"}
        return [field for field in self.visible_fields() if field.name not in plain]

    def is_open(self) -> bool:
        """Whether the further fields are shown at once: one of them is wrong."""
        return any(field.errors for field in self.further())

    def spec_data(self) -> dict[str, Any]:
        """The spec as ``spec_from`` reads it."""
        data = self.cleaned_data
        deadline: datetime | None = data["deadline"]
        return {
            "name": data["name"],
            "command": data["command"],
            "files": [{"path": path, "sha256": sha256} for path, sha256 in self._kept_refs()],
            "inputs": data["inputs"],
            "cpu_milli": data["cpus"],
            "memory_bytes": data["memory_mib"] * MIB,
            "gpu_milli": data["gpus"],
            "wall_s": data["wall_minutes"] * 60,
            "output_bytes": data["output_mib"] * MIB,
            "nodes": data["nodes"] or 1,
            "array": data["array"] or 1,
            "accelerator": data["accelerator"],
            "software": data["software"],
            "centres": data["centres"],
            "objective": data["objective"],
            "deadline": deadline.isoformat() if deadline else "",
            "environment": data["environment"],
        }
