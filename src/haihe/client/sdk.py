"""The platform by subject: what a program calls, one short method per route of the API."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

import httpx

from haihe.client.centres import Centres, Pools
from haihe.client.data import Agreements, Datasets
from haihe.client.http import Conversation, Record
from haihe.client.jobs import Contracts, Jobs, Quotes
from haihe.client.parties import Accounts, Evidence, Organisations, Tokens
from haihe.client.programme import Evaluations, Packs, Plans, Scenarios, Schemes, Vouchers
from haihe.client.subjects import record

URL_VARIABLE, TOKEN_VARIABLE = "HAIHE_URL", "HAIHE_TOKEN"
DEFAULT_URL = "http://127.0.0.1:8321"


class Haihe:
    """One installation, as one token's person.

    ``url`` and ``token`` default to the environment's ``HAIHE_URL`` and ``HAIHE_TOKEN``. Records
    are dictionaries, as the API's reference shows them, with the ``etag`` that they were read
    under; amounts are integers of micro-units.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        timeout_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.http = Conversation(
            url or os.environ.get(URL_VARIABLE, DEFAULT_URL),
            token or os.environ.get(TOKEN_VARIABLE),
            timeout_s=timeout_s,
            transport=transport,
        )
        self.organisations = Organisations(self.http)
        self.tokens = Tokens(self.http)
        self.accounts = Accounts(self.http)
        self.evidence = Evidence(self.http)
        self.datasets = Datasets(self.http)
        self.agreements = Agreements(self.http)
        self.centres = Centres(self.http)
        self.pools = Pools(self.http)
        self.contracts = Contracts(self.http)
        self.quotes = Quotes(self.http)
        self.jobs = Jobs(self.http)
        self.packs = Packs(self.http)
        self.evaluations = Evaluations(self.http)
        self.plans = Plans(self.http)
        self.schemes = Schemes(self.http)
        self.vouchers = Vouchers(self.http)
        self.scenarios = Scenarios(self.http)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the conversation."""
        self.http.close()

    def me(self) -> Record:
        """Who the token's person is, and which roles they have."""
        return record(self.http.get("/me"))

    def overview(self) -> Record:
        """How much of each step of the chain there is."""
        return record(self.http.get("/overview"))
