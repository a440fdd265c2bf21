"""Packs, evaluations, plans, vouchers and scenarios over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from haihe.client.http import Record
from haihe.client.subjects import Subject, part, record


class Packs(Subject):
    """Installed packs."""

    def list(self) -> Sequence[Record]:
        """The packs installed there."""
        return list(self.http.get("/packs"))

    def get(self, name: str) -> Record:
        """What a pack says of itself."""
        return record(self.http.get(f"/packs/{part(name)}"))

    def quote(
        self, name: str, *, organisation: str, inputs: Mapping[str, str], contract: str = ""
    ) -> Record:
        """Price a run on dataset versions, given as ``slug@version`` per input."""
        body = {"organisation": organisation, "inputs": dict(inputs), "contract": contract}
        return record(self.http.post(f"/packs/{part(name)}/quotes", body))


class Evaluations(Subject):
    """What the platform computed from raw predictions."""

    def list(self, *, pack: str | None = None, state: str | None = None) -> Iterator[Record]:
        """Evaluations that the caller may see, optionally narrowed."""
        return self.http.pages("/evaluations", pack=pack, state=state)

    def get(self, evaluation_id: str) -> Record:
        """An evaluation with all its figures."""
        return record(self.http.get(f"/evaluations/{part(evaluation_id)}"))

    def cases(self, evaluation_id: str, *, decision: str | None = None) -> Iterator[Record]:
        """Case by case, what was decided and why."""
        path = f"/evaluations/{part(evaluation_id)}/explanations"
        return self.http.pages(path, decision=decision)


class Plans(Subject):
    """Plans, targets and indicators."""

    def list(self) -> Iterator[Record]:
        """The current version of each plan."""
        return self.http.pages("/plans")

    def get(self, slug: str, *, version: int | None = None) -> Record:
        """A plan; the current version if none is given."""
        return record(self.http.get(f"/plans/{part(slug)}", version=version))

    def import_file(self, toml: str) -> Record:
        """Bring in a plan, or a higher version of one, by the content of its file."""
        return record(self.http.post("/plans", {"toml": toml}))

    def versions(self, slug: str) -> Sequence[Record]:
        """Every version that was brought in."""
        return [*self.http.get(f"/plans/{part(slug)}/versions")]

    def changes(self, slug: str, *, old: int, new: int) -> Sequence[Record]:
        """What differs between two versions."""
        return [*self.http.get(f"/plans/{part(slug)}/changes", old=old, new=new)]

    def target(self, slug: str, code: str) -> Record:
        """A target with its statistical definition and its responsible units."""
        return record(self.http.get(f"/plans/{part(slug)}/targets/{part(code)}"))

    def indicators(self, *, as_of: str | None = None) -> Record:
        """All targets of the current plans with their values at one instant."""
        return record(self.http.get("/indicators", as_of=as_of))

    def indicator(self, slug: str, code: str, *, as_of: str | None = None) -> Record:
        """A target's value at an instant, with the evidence that makes it up."""
        path = f"/plans/{part(slug)}/indicators/{part(code)}"
        return record(self.http.get(path, as_of=as_of))


class Schemes(Subject):
    """Voucher schemes."""

    def list(self) -> Iterator[Record]:
        """All schemes."""
        return self.http.pages("/schemes")

    def get(self, slug: str) -> Record:
        """A scheme with its rules and balances."""
        return record(self.http.get(f"/schemes/{part(slug)}"))

    def open(self, **scheme: Any) -> Record:
        """Open a scheme under a rule set."""
        return record(self.http.post("/schemes", scheme))

    def fund(
        self, slug: str, *, amount_micro: int, reference: str, key: str | None = None
    ) -> Record:
        """Put vouchers into its pool; once for each ``key``."""
        body = {"amount_micro": amount_micro, "reference": reference}
        return record(self.http.post(f"/schemes/{part(slug)}/fund", body, key=key))

    def claims(self, slug: str) -> Sequence[Record]:
        """Providers that wait for payment."""
        return [*self.http.get(f"/schemes/{part(slug)}/claims")]

    def check(self, slug: str, **application: Any) -> Any:
        """How an application would come out now, without applying."""
        return self.http.post(f"/schemes/{part(slug)}/check", application)

    def pay(self, slug: str, *, provider: str) -> Record:
        """Pay a provider for the vouchers it redeemed."""
        return record(self.http.post(f"/schemes/{part(slug)}/payments", {"provider": provider}))


class Vouchers(Subject):
    """Applications, decisions and balances."""

    def list(self, *, scheme: str | None = None, state: str | None = None) -> Iterator[Record]:
        """Vouchers that the caller may see, optionally narrowed."""
        return self.http.pages("/vouchers", scheme=scheme, state=state)

    def get(self, number: str) -> Record:
        """A voucher with its verdicts and balance."""
        return record(self.http.get(f"/vouchers/{part(number)}"))

    def apply(self, **application: Any) -> Record:
        """Apply for a voucher on a signed contract."""
        return record(self.http.post("/vouchers", application))

    def approve(self, number: str, *, note: str = "") -> Record:
        """Grant it, as somebody else than who applied."""
        return record(self.http.post(f"/vouchers/{part(number)}/approve", {"note": note}))

    def refuse(self, number: str, *, note: str) -> Record:
        """Refuse it, with the reason."""
        return record(self.http.post(f"/vouchers/{part(number)}/refuse", {"note": note}))

    def withdraw(self, number: str) -> Record:
        """Take an application back that was not decided yet."""
        return record(self.http.post(f"/vouchers/{part(number)}/withdraw"))

    def close(self, number: str) -> Record:
        """End it after its contract's term: what is left goes back to the pool."""
        return record(self.http.post(f"/vouchers/{part(number)}/close"))


class Scenarios(Subject):
    """Applications that the programme recognises."""

    def list(self, *, state: str | None = None, measure: str | None = None) -> Iterator[Record]:
        """Scenarios that the caller may see, optionally narrowed."""
        return self.http.pages("/scenarios", state=state, measure=measure)

    def get(self, scenario_id: str) -> Record:
        """A scenario with the score that it was proposed on."""
        return record(self.http.get(f"/scenarios/{part(scenario_id)}"))

    def propose(self, **proposal: Any) -> Record:
        """Propose an evaluation as a scenario."""
        return record(self.http.post("/scenarios", proposal))

    def accept(self, scenario_id: str, *, note: str = "") -> Record:
        """Recognise it: the indicator moves."""
        return record(self.http.post(f"/scenarios/{part(scenario_id)}/accept", {"note": note}))

    def decline(self, scenario_id: str, *, note: str) -> Record:
        """Decline it, with the reason."""
        return record(self.http.post(f"/scenarios/{part(scenario_id)}/decline", {"note": note}))

    def revoke(self, scenario_id: str, *, note: str) -> Record:
        """Take an acceptance back, with the reason: the indicator moves back."""
        return record(self.http.post(f"/scenarios/{part(scenario_id)}/revoke", {"note": note}))
