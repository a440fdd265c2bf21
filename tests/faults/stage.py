"""Parties and what they have before an accident of input, and books to look at before and after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from django.core.files.uploadedfile import SimpleUploadedFile

from haihe.compute.models import Job, Quote
from haihe.data.models import DatasetVersion
from haihe.evidence.models import EvidenceLog
from haihe.kernel.models import IdempotencyRecord, OutboxEvent
from haihe.ledger.models import Account, Transfer
from haihe.parties.models import Organisation
from haihe.parties.services import principal_of
from haihe.programme.models import Voucher
from tests.callers import Caller
from tests.compute.factories import spec_data
from tests.data.factories import make_dataset
from tests.factories import make_person
from tests.programme.factories import DECLARED, World, make_contract, make_scheme, make_world

Act = Callable[[], Any]


class Stage:
    """The parties and what they have before an accident, and somebody who calls for each."""

    def __init__(self) -> None:
        self.world: World = make_world()
        self.scheme = make_scheme(self.world)
        self.member = Caller(self.world.member)
        self.manager = Caller(self.world.manager)
        self.seller = Caller(self.world.seller)
        self.officer = Caller(self.world.officer)
        self.operator = Caller(principal_of(make_person(roles=("operator",))))
        self.stranger = Caller(self.world.stranger)

    def contract(self, **fields: Any) -> str:
        """The number of a signed contract."""
        return str(make_contract(self.world, **fields).number)

    def application(self, contract: str, amount_micro: Any) -> dict[str, Any]:
        """An application that is right but for what the accident makes wrong."""
        return {
            "scheme": "spring",
            "contract": contract,
            "amount_micro": amount_micro,
            "declared": list(DECLARED),
        }

    def quote(self, contract: str = "", **spec: Any) -> Any:
        """An answer to a request for a quote."""
        body = {"organisation": "firm", "contract": contract, "spec": spec_data("true", **spec)}
        return self.member.post("/quotes", body)

    def dataset(self) -> str:
        """The slug of a dataset that the firm holds."""
        return make_dataset(self.world.firm, self.world.manager, content=None).slug

    def upload(self, slug: str, name: str, content: bytes) -> Any:
        """An answer to a file."""
        file = SimpleUploadedFile(name, content)
        return self.manager.upload(f"/datasets/{slug}/versions", file=file)

    def cash(self) -> str:
        """The id of the firm's account."""
        return str(Account.objects.get(owner_id=self.world.firm.pk, code="cash").pk)


def books() -> dict[str, Any]:
    """All that an accident must not move: balances, transfers, evidence, events, what is owed."""
    log = EvidenceLog.objects.first()
    return {
        "accounts": sorted(
            Account.objects.values_list("id", "posted_micro", "held_micro", "incoming_micro")
        ),
        "transfers": Transfer.objects.count(),
        "evidence": log.size if log else 0,
        "events": OutboxEvent.objects.count(),
        "answers": IdempotencyRecord.objects.count(),
        "organisations": Organisation.objects.count(),
        "jobs": Job.objects.count(),
        "quotes": Quote.objects.count(),
        "vouchers": sorted(Voucher.objects.values_list("number", "state", "amount_micro")),
        "versions": DatasetVersion.objects.count(),
    }


def raw(caller: Caller, path: str, body: str | bytes) -> Any:
    """Send a body as it is."""
    return caller.client.post(
        f"/api/v1{path}",
        body,
        content_type="application/json",
        headers={"idempotency-key": uuid4().hex},
    )
