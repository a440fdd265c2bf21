"""What was written stays written, whoever holds the database's handle."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from haihe.kernel.ids import new_id
from haihe.ledger.models import Account, Transfer
from haihe.ledger.services import transfer
from tests.ledger.factories import pending, posted

pytestmark = pytest.mark.django_db


@pytest.fixture
def written(payer: Account, payee: Account) -> Transfer:
    order = posted(payer.pk, payee.pk, 400)
    transfer([order, pending(payer.pk, payee.pk, 100)])
    return Transfer.objects.get(transfer_id=order.transfer_id)


@pytest.mark.parametrize(
    "change",
    [
        {"amount_micro": 1},
        {"reference": "another job"},
        {"created_at": None},
        {"reason": "test"},
    ],
    ids=str,
)
def test_a_transfer_is_never_changed(written: Transfer, change: dict[str, object]) -> None:
    with pytest.raises(IntegrityError, match="ledger"), transaction.atomic():
        Transfer.objects.filter(pk=written.pk).update(**change)


def test_a_transfer_is_never_deleted(written: Transfer) -> None:
    with pytest.raises(IntegrityError, match="ledger"), transaction.atomic():
        Transfer.objects.filter(pk=written.pk).delete()
    with pytest.raises(IntegrityError), transaction.atomic():
        written.delete()


def test_an_account_is_never_deleted(written: Transfer, payer: Account) -> None:
    unused = Account.objects.create(code="unused", asset="CNY", name="Unused")
    with pytest.raises(IntegrityError, match="ledger"), transaction.atomic():
        unused.delete()


@pytest.mark.parametrize("field", ["id", "owner_id", "code", "asset"])
def test_an_account_keeps_its_identity(payer: Account, field: str) -> None:
    values = {"id": new_id(), "owner_id": None, "code": "other", "asset": "USD"}
    with pytest.raises(IntegrityError, match="ledger"), transaction.atomic():
        Account.objects.filter(pk=payer.pk).update(**{field: values[field]})
    platform = Account.objects.get(code="external")
    with pytest.raises(IntegrityError, match="ledger"), transaction.atomic():
        Account.objects.filter(pk=platform.pk).update(owner_id=new_id())


def test_what_an_account_is_called_may_change(payer: Account) -> None:
    payer.name = "Payer, renamed"
    payer.save()
    assert Account.objects.get(pk=payer.pk).name == "Payer, renamed"
