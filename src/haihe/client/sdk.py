"""The platform by subject: what a program calls, one short method per route."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote as escape

import httpx

from haihe.client.http import Conversation, Record

URL_VARIABLE, TOKEN_VARIABLE = "HAIHE_URL", "HAIHE_TOKEN"
DEFAULT_URL = "http://127.0.0.1:8321"
Progress = Callable[[str, int, int], object]
FINAL_STATES = frozenset({"succeeded", "failed", "cancelled"})


class JobTimeout(Exception):
    """A job had not ended when the caller's patience had; it goes on."""


class Haihe:
    """One installation, as one token's person.

    ``url`` and ``token`` default to the environment's ``HAIHE_URL`` and ``HAIHE_TOKEN``. Records
    are plain dictionaries, as the API's reference shows them; amounts are integers of micro-units.
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
        self.accounts = Accounts(self.http)
        self.evidence = Evidence(self.http)
        self.datasets = Datasets(self.http)
        self.agreements = Agreements(self.http)
        self.centres = Centres(self.http)
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
        return _record(self.http.get("/me"))

    def overview(self) -> Record:
        """How much of each step of the chain there is."""
        return _record(self.http.get("/overview"))


class _Subject:
    """Routes of one subject."""

    def __init__(self, http: Conversation) -> None:
        self.http = http


class Organisations(_Subject):
    """The directory, members and invitations."""

    def list(self, *, text: str = "", kind: str = "") -> Iterator[Record]:
        """The directory, optionally narrowed."""
        return self.http.pages("/organisations", text=text, kind=kind)

    def get(self, slug: str) -> Record:
        """An organisation's public card."""
        return _record(self.http.get(f"/organisations/{_part(slug)}"))

    def create(self, *, slug: str, name: str, kind: str, credit_code: str, **more: str) -> Record:
        """Register an organisation; the token's person becomes its first owner."""
        body = {"slug": slug, "name": name, "kind": kind, "credit_code": credit_code, **more}
        return _record(self.http.post("/organisations", body))

    def members(self, slug: str) -> Sequence[Record]:
        """Who belongs to an organisation."""
        return list(self.http.get(f"/organisations/{_part(slug)}/members"))

    def invite(self, slug: str, *, role: str, email: str = "") -> Record:
        """Make an invitation; its secret is in the answer only."""
        path = f"/organisations/{_part(slug)}/invitations"
        return _record(self.http.post(path, {"role": role, "email": email}))


class Accounts(_Subject):
    """Balances and statements."""

    def list(self, *, owner: str | None = None) -> Iterator[Record]:
        """An organisation's accounts, or all that the caller may read."""
        return self.http.pages("/accounts", owner=owner)

    def statement(self, account_id: str, *, as_of: str | None = None) -> Record:
        """The newest page of an account's statement."""
        return _record(self.http.get(f"/accounts/{_part(account_id)}/statement", as_of=as_of))

    def audit(self) -> Record:
        """Check all books."""
        return _record(self.http.get("/ledger/audit"))


class Evidence(_Subject):
    """The log, its heads and proofs."""

    def head(self) -> Record | None:
        """The newest signed checkpoint."""
        head: Record | None = self.http.get("/evidence/head")
        return head

    def list(self, *, kind: str | None = None, subject: str | None = None) -> Iterator[Record]:
        """The entries that the caller may read."""
        return self.http.pages("/evidence/entries", kind=kind, subject=subject)

    def get(self, entry_id: str) -> Record:
        """One entry."""
        return _record(self.http.get(f"/evidence/entries/{_part(entry_id)}"))

    def proof(self, entry_id: str) -> Record:
        """The proof that an entry is in the log; save it and check it off line."""
        return _record(self.http.get(f"/evidence/entries/{_part(entry_id)}/proof"))


class Datasets(_Subject):
    """The catalogue, versions and their content."""

    def list(self) -> Iterator[Record]:
        """The catalogue."""
        return self.http.pages("/datasets")

    def get(self, slug: str) -> Record:
        """A dataset's card."""
        return _record(self.http.get(f"/datasets/{_part(slug)}"))

    def create(self, **card: Any) -> Record:
        """Register a dataset, so far without content."""
        return _record(self.http.post("/datasets", card))

    def publish(self, slug: str) -> Record:
        """List it in the public catalogue."""
        return _record(self.http.post(f"/datasets/{_part(slug)}/publish"))

    def versions(self, slug: str) -> Iterator[Record]:
        """A dataset's versions, the newest first."""
        return self.http.pages(f"/datasets/{_part(slug)}/versions")

    def add_version(self, slug: str, file: Path, *, source: str = "") -> Record:
        """Register a CSV or Parquet file as the next version."""
        path = f"/datasets/{_part(slug)}/versions"
        return _record(self.http.upload(path, file, source=source))

    def download(self, slug: str, number: int, target: Path) -> Path:
        """Fetch a version's content, where the terms admit it; the read is logged."""
        return self.http.download(f"/datasets/{_part(slug)}/versions/{number}/content", target)

    def propose(self, slug: str, *, consumer: str, purpose: str, days: int) -> Record:
        """Offer terms of use to an organisation."""
        body = {"consumer": consumer, "purpose": purpose, "days": days}
        return _record(self.http.post(f"/datasets/{_part(slug)}/agreements", body))


class Agreements(_Subject):
    """Agreements on the use of datasets."""

    def list(self) -> Iterator[Record]:
        """Agreements of the caller's organisations."""
        return self.http.pages("/agreements")

    def get(self, agreement_id: str) -> Record:
        """An agreement."""
        return _record(self.http.get(f"/agreements/{_part(agreement_id)}"))

    def accept(self, agreement_id: str) -> Record:
        """Accept the terms, for the consumer."""
        return _record(self.http.post(f"/agreements/{_part(agreement_id)}/accept"))

    def end(self, agreement_id: str) -> Record:
        """End it, for either side."""
        return _record(self.http.post(f"/agreements/{_part(agreement_id)}/end"))


class Centres(_Subject):
    """Centres with their pools and prices."""

    def list(self) -> Iterator[Record]:
        """All centres."""
        return self.http.pages("/centres")

    def get(self, slug: str) -> Record:
        """A centre."""
        return _record(self.http.get(f"/centres/{_part(slug)}"))

    def network(self) -> Record:
        """Every centre and pool as it is now: state, use, queue, price, power, age."""
        return _record(self.http.get("/network"))

    def history(self, pool: str, *, hours: int = 168) -> Mapping[str, Sequence[Record]]:
        """What was measured of ``centre/pool``, by metric, the oldest first."""
        centre, _, slug = pool.partition("/")
        path = f"/centres/{_part(centre)}/pools/{_part(slug)}/history"
        return _record(self.http.get(path, hours=hours))


class Contracts(_Subject):
    """Compute contracts."""

    def list(self, *, number: str | None = None) -> Iterator[Record]:
        """Contracts of the caller's organisations."""
        return self.http.pages("/contracts", number=number)

    def create(self, **terms: Any) -> Record:
        """Draw up a contract for its buyer."""
        return _record(self.http.post("/contracts", terms))

    def sign(self, contract_id: str) -> Record:
        """Sign it, for its provider."""
        return _record(self.http.post(f"/contracts/{_part(contract_id)}/sign"))


class Quotes(_Subject):
    """Priced, explained answers for jobs."""

    def request(
        self,
        *,
        organisation: str,
        spec: Mapping[str, Any],
        contract: str = "",
        files: Mapping[str, Path] | None = None,
        on_progress: Progress | None = None,
    ) -> Record:
        """Price a job at its limits on every pool. Nothing is held yet.

        ``files`` are sent first: the job finds each where it works, under the path that it has
        here. ``on_progress(path, sent, all)`` is told of their bytes.
        """
        sent = [
            {"path": path, "sha256": self._send(path, file, organisation, on_progress)}
            for path, file in (files or {}).items()
        ]
        wanted = {**spec, "files": [*spec.get("files", ()), *sent]}
        body = {"organisation": organisation, "spec": wanted, "contract": contract}
        return _record(self.http.post("/quotes", body))

    def _send(self, path: str, file: Path, organisation: str, on_progress: Progress | None) -> str:
        told = partial(on_progress, path) if on_progress else None
        kept = self.http.upload("/files", file, on_bytes=told, organisation=organisation)
        return str(kept["sha256"])

    def get(self, quote_id: str) -> Record:
        """A quote."""
        return _record(self.http.get(f"/quotes/{_part(quote_id)}"))


class Jobs(_Subject):
    """Work that an organisation pays for."""

    def submit(self, quote_id: str, *, priority: int = 0, key: str | None = None) -> Record:
        """Accept a quote: hold its funds and queue the job."""
        return _record(
            self.http.post("/jobs", {"quote_id": quote_id, "priority": priority}, key=key)
        )

    def list(self, *, quote: str | None = None) -> Iterator[Record]:
        """The newest jobs first; of one quote, the jobs of an array."""
        return self.http.pages("/jobs", quote=quote)

    def get(self, job_id: str) -> Record:
        """A job with its attempts, usage and bill."""
        return _record(self.http.get(f"/jobs/{_part(job_id)}"))

    def explain(self, job_id: str) -> Record:
        """Why it is where it is, or why it waits: every centre with every term."""
        return _record(self.http.get(f"/jobs/{_part(job_id)}/explanation"))

    def cancel(self, job_id: str) -> Record:
        """Ask for its end."""
        return _record(self.http.post(f"/jobs/{_part(job_id)}/cancel"))

    def cancel_array(self, job_id: str) -> int:
        """Ask for the end of all jobs of its array; how many that were."""
        return int(self.http.post(f"/jobs/{_part(job_id)}/cancel-array")["cancelled"])

    def log(self, job_id: str, *, offset: int = 0) -> Record:
        """What it printed, from a byte on: ``text`` and ``next_offset``."""
        return _record(self.http.get(f"/jobs/{_part(job_id)}/log", offset=offset))

    def wait(
        self,
        job_id: str,
        *,
        on_log: Callable[[str], object] | None = None,
        pause_s: float = 1.0,
        timeout_s: float = 86_400.0,
    ) -> Record:
        """Wait until a job has ended, handing on what it prints.

        Raises
        ------
        JobTimeout
            If it has not ended after ``timeout_s``; the job itself goes on.
        """
        deadline, offset = time.monotonic() + timeout_s, 0
        while True:
            job = self.get(job_id)
            if on_log is not None:
                offset = self._hand_on(job_id, offset, on_log)
            if job["state"] in FINAL_STATES:
                return job
            if time.monotonic() > deadline:
                raise JobTimeout(f"job {job_id} is still {job['state']} after {timeout_s} s")
            time.sleep(pause_s)

    def files(self, job_id: str) -> Sequence[Record]:
        """The files that the newest attempt wrote."""
        return list(self.http.get(f"/jobs/{_part(job_id)}/files"))

    def download(
        self, job_id: str, path: str, target: Path, *, on_progress: Progress | None = None
    ) -> Path:
        """Fetch one of its files; ``on_progress(path, received, all)`` is told of its bytes."""
        told = partial(on_progress, path) if on_progress else None
        address = f"/jobs/{_part(job_id)}/files/{escape(path)}"
        return self.http.download(address, target, on_bytes=told)

    def _hand_on(self, job_id: str, offset: int, on_log: Callable[[str], object]) -> int:
        while True:
            piece = self.log(job_id, offset=offset)
            if piece["next_offset"] == offset:
                return offset
            on_log(piece["text"])
            offset = int(piece["next_offset"])


class Packs(_Subject):
    """Installed packs."""

    def list(self) -> Sequence[Record]:
        """The packs installed there."""
        return list(self.http.get("/packs"))

    def get(self, name: str) -> Record:
        """What a pack says of itself."""
        return _record(self.http.get(f"/packs/{_part(name)}"))

    def quote(
        self, name: str, *, organisation: str, inputs: Mapping[str, str], contract: str = ""
    ) -> Record:
        """Price a run on dataset versions, given as ``slug@version`` per input."""
        body = {"organisation": organisation, "inputs": dict(inputs), "contract": contract}
        return _record(self.http.post(f"/packs/{_part(name)}/quotes", body))


class Evaluations(_Subject):
    """What the platform computed from raw predictions."""

    def list(self) -> Iterator[Record]:
        """Evaluations that the caller may see."""
        return self.http.pages("/evaluations")

    def get(self, evaluation_id: str) -> Record:
        """An evaluation with all its figures."""
        return _record(self.http.get(f"/evaluations/{_part(evaluation_id)}"))


class Plans(_Subject):
    """Plans, targets and indicators."""

    def list(self) -> Iterator[Record]:
        """The current version of each plan."""
        return self.http.pages("/plans")

    def get(self, slug: str) -> Record:
        """A plan."""
        return _record(self.http.get(f"/plans/{_part(slug)}"))

    def indicator(self, slug: str, code: str, *, as_of: str | None = None) -> Record:
        """A target's value at an instant, with the evidence that makes it up."""
        path = f"/plans/{_part(slug)}/indicators/{_part(code)}"
        return _record(self.http.get(path, as_of=as_of))


class Schemes(_Subject):
    """Voucher schemes."""

    def list(self) -> Iterator[Record]:
        """All schemes."""
        return self.http.pages("/schemes")

    def get(self, slug: str) -> Record:
        """A scheme with its rules and balances."""
        return _record(self.http.get(f"/schemes/{_part(slug)}"))

    def check(self, slug: str, **application: Any) -> Any:
        """How an application would come out now, without applying."""
        return self.http.post(f"/schemes/{_part(slug)}/check", application)

    def pay(self, slug: str, *, provider: str) -> Record:
        """Pay a provider for the vouchers it redeemed."""
        return _record(self.http.post(f"/schemes/{_part(slug)}/payments", {"provider": provider}))


class Vouchers(_Subject):
    """Applications, decisions and balances."""

    def list(self) -> Iterator[Record]:
        """Vouchers that the caller may see."""
        return self.http.pages("/vouchers")

    def get(self, number: str) -> Record:
        """A voucher with its verdicts and balance."""
        return _record(self.http.get(f"/vouchers/{_part(number)}"))

    def apply(self, **application: Any) -> Record:
        """Apply for a voucher on a signed contract."""
        return _record(self.http.post("/vouchers", application))

    def approve(self, number: str, *, note: str = "") -> Record:
        """Grant it, as somebody else than who applied."""
        return _record(self.http.post(f"/vouchers/{_part(number)}/approve", {"note": note}))

    def refuse(self, number: str, *, note: str) -> Record:
        """Refuse it, with the reason."""
        return _record(self.http.post(f"/vouchers/{_part(number)}/refuse", {"note": note}))


class Scenarios(_Subject):
    """Applications that the programme recognises."""

    def list(self) -> Iterator[Record]:
        """Scenarios that the caller may see."""
        return self.http.pages("/scenarios")

    def propose(self, **proposal: Any) -> Record:
        """Propose an evaluation as a scenario."""
        return _record(self.http.post("/scenarios", proposal))

    def accept(self, scenario_id: str, *, note: str = "") -> Record:
        """Recognise it: the indicator moves."""
        return _record(self.http.post(f"/scenarios/{_part(scenario_id)}/accept", {"note": note}))


def _part(text: str) -> str:
    """One part of a path, however it is written."""
    return escape(str(text), safe="")


def _record(value: Any) -> Record:
    assert isinstance(value, dict), f"expected one record, got {type(value).__name__}"
    return value
