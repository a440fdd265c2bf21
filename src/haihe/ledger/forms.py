"""What visitors of the ledger's pages may ask for, and the form of a deposit."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from haihe.kernel.forms import Refusable
from haihe.ledger.domain import REFERENCE_LENGTH

PICKER = "%Y-%m-%dT%H:%M"


class StatementFilter(forms.Form):
    """As of when to read a statement, in the portal's zone."""

    as_of = forms.DateTimeField(
        label=_("As of"),
        required=False,
        input_formats=[PICKER, PICKER + ":%S"],
        widget=forms.DateTimeInput({"type": "datetime-local"}, format=PICKER),
    )


class DepositForm(Refusable):
    """Money that reached an account from outside.

    The id is made with the form, so that a form sent twice deposits once.
    """

    transfer_id = forms.UUIDField(widget=forms.HiddenInput)
    amount = forms.CharField(
        label=_("Amount"), max_length=30, help_text=_("In the account's asset, such as 1200.50.")
    )
    reference = forms.CharField(
        label=_("Reference"),
        max_length=REFERENCE_LENGTH,
        help_text=_("The proof outside: the number of a bank's transaction, a budget document."),
    )
