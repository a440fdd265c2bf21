"""Choosing a centre: filters that a pool must pass, then a score under the user's objective.

Everything the choice depends on is in :class:`Wish` and :class:`PoolFacts`; the choice is a pure
function of them. So the answer to "why here" and "why is it waiting" is kept as facts and result,
and the result can be computed again from the facts.

A score adds terms that each lie between 0 and 1, with weights that the objective gives. Price,
energy and carbon count against the least among the pools that could have the job at another hour
(nothing but :data:`PASSING` filters keeps it from them), so that a score does not change with who
has room just now; waiting and moving data against the length of the job itself, for an hour's wait
matters less to a job of a week; reliability as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from haihe.compute.domain.accelerators import accepts
from haihe.compute.domain.prices import Capacity
from haihe.compute.domain.spec import Objective
from haihe.kernel.money import format_micro

WEIGHTS: Mapping[str, Mapping[str, float]] = {
    Objective.CHEAPEST: {
        "price": 0.80, "start": 0.08, "transfer": 0.03, "energy": 0.01, "carbon": 0.02,
        "reliability": 0.06,
    },
    Objective.SOONEST: {
        "price": 0.08, "start": 0.70, "transfer": 0.12, "energy": 0.01, "carbon": 0.01,
        "reliability": 0.08,
    },
    Objective.GREENEST: {
        "price": 0.08, "start": 0.06, "transfer": 0.03, "energy": 0.27, "carbon": 0.50,
        "reliability": 0.06,
    },
    Objective.BALANCED: {
        "price": 0.35, "start": 0.30, "transfer": 0.10, "energy": 0.04, "carbon": 0.06,
        "reliability": 0.15,
    },
}  # fmt: skip
MOVE_MARGIN = 0.10  # a waiting job moves for a score that is better by so much
PATIENCE_S = 60.0  # waiting so long counts as little even for the shortest job
PATIENCE_SHARE = 0.1
MICRO_CNY = "micro-CNY"  # the unit of prices
LEAST = ("payable_micro", "energy_wh", "carbon_g")  # what counts against the least there is
FULL = frozenset({"room", "pieces", "reserved"})  # filters that say that others are there
PASSING = FULL | {"deadline"}  # filters that say when, not whether, a pool would do
DIGITS = 6  # scores are compared rounded, so that noise of the last bit decides nothing


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What of a job matters to where it goes. Amounts are on each of ``nodes`` nodes."""

    objective: str
    cpu_milli: int
    memory_bytes: int
    gpu_milli: int
    nodes: int
    wall_s: int
    accelerator: str = ""
    software: Sequence[str] = ()
    centres: Sequence[str] = ()
    deadline_in_s: float | None = None

    @property
    def each(self) -> Capacity:
        """What it asks of one node."""
        return Capacity(self.cpu_milli, self.memory_bytes, self.gpu_milli)

    @property
    def need(self) -> Capacity:
        """What it asks of all nodes together."""
        return self.each.times(self.nodes)


@dataclass(frozen=True, kw_only=True)
class PoolFacts:
    """What is known of a pool for one job, at one instant.

    ``largest`` is the largest node for such a job: one that is up and could hold a part of it if it
    were empty, or, if there is none, the one that lacks least for it; ``fitting_nodes`` is how many
    could. ``amount_micro`` is what the job may cost at most there, and
    ``payable_micro`` the part that no voucher pays; None where the pool has no price. Each text in
    ``blocked_inputs`` and in a ``…_reason`` is empty where nothing stands against the pool;
    ``backend_reason`` says what its kind of back-end cannot start, whatever the size of its nodes.
    ``held_micro`` is what is held for a job that is submitted, and no more may it cost.
    ``has_room``, ``is_in_pieces`` (no node has the room that the pool has in all) and ``kept_for``
    (the job that what is free is reserved for) are asked only when a job is to start: a quote
    leaves them as they are.
    """

    pool: str
    is_open: bool = True
    silent_s: float | None = 0.0
    fault: str = ""
    whole: Capacity
    free: Capacity
    largest: Capacity
    fitting_nodes: int
    backend_reason: str = ""
    gpu_model: str = ""
    software: Sequence[str] = ()
    maintenance_in_s: float | None = None
    has_account: bool = True
    is_in_contract: bool = True
    blocked_inputs: Sequence[str] = ()
    allocation_reason: str = ""
    amount_micro: int | None
    payable_micro: int | None
    funds_reason: str = ""
    start_s: float = 0.0
    start_p90_s: float = 0.0
    bytes_to_move: int = 0
    link_bytes_per_s: int | None = None
    energy_wh: float | None = None
    carbon_g: float | None = None
    reliability: float = 1.0
    held_micro: int | None = None
    has_room: bool = True
    is_in_pieces: bool = False
    kept_for: str = ""

    @property
    def transfer_s(self) -> float:
        """How long the inputs take to get there."""
        if not self.bytes_to_move or not self.link_bytes_per_s:
            return 0.0
        return self.bytes_to_move / self.link_bytes_per_s

    def end_s(self, wish: Wish) -> float:
        """In how long the job would have ended there at the latest."""
        return self.start_s + (float(wish.wall_s) + self.transfer_s)


@dataclass(frozen=True)
class Check:
    """One filter: whether the pool passes it, and if not, what was asked and what is there."""

    name: str
    passed: bool
    asked: str = ""
    there: str = ""


@dataclass(frozen=True)
class Term:
    """One part of a score: the value it is from, what it scores (0 to 1), and its weight."""

    name: str
    value: float | None
    unit: str
    score: float
    weight: float


@dataclass(frozen=True)
class Verdict:
    """What was found of one pool: terms and a score too, if it would do now or at another hour."""

    pool: str
    checks: Sequence[Check]
    terms: Sequence[Term] = ()
    score: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the job may go there."""
        return all(check.passed for check in self.checks)

    @property
    def fits(self) -> bool:
        """Whether nothing but a lack of room keeps the job from there."""
        return all(check.passed for check in self.checks if check.name not in FULL)

    @property
    def is_scored(self) -> bool:
        """Whether the pool would do for the job at another hour, if not now."""
        return all(check.passed for check in self.checks if check.name not in PASSING)

    @property
    def failed(self) -> list[Check]:
        """The filters that keep the job from there."""
        return [check for check in self.checks if not check.passed]


@dataclass(frozen=True)
class Choice:
    """The answer: every pool with every term, and the one that was chosen."""

    objective: str
    verdicts: Sequence[Verdict]
    chosen: str | None
    weights: Mapping[str, float] = field(default_factory=dict)

    def verdict_on(self, pool: str) -> Verdict | None:
        """What was found of one pool."""
        return next((verdict for verdict in self.verdicts if verdict.pool == pool), None)

    def as_dict(self) -> dict[str, Any]:
        """The choice as JSON."""
        return asdict(self)


def choose(wish: Wish, pools: Sequence[PoolFacts]) -> Choice:
    """The best pool for a job, and why. Equal scores go to the pool whose name comes first."""
    found = [Verdict(facts.pool, _checks(wish, facts)) for facts in pools]
    scored = [facts for facts, verdict in zip(pools, found, strict=True) if verdict.is_scored]
    least = {name: _least(name, scored) for name in LEAST}
    weights = WEIGHTS[wish.objective]
    verdicts = []
    for facts, verdict in sorted(zip(pools, found, strict=True), key=lambda pair: pair[0].pool):
        if not verdict.is_scored:
            verdicts.append(verdict)
            continue
        terms = _terms(wish, facts, weights, least)
        score = round(sum(term.score * term.weight for term in terms), DIGITS)
        verdicts.append(Verdict(facts.pool, verdict.checks, terms, score))
    able = [verdict for verdict in verdicts if verdict.passed]
    best = max(able, key=lambda verdict: verdict.score or 0.0, default=None)
    return Choice(wish.objective, verdicts, best.pool if best else None, dict(weights))


def should_move(choice: Choice, present: str, *, margin: float = MOVE_MARGIN) -> bool:
    """Whether a job that waits at ``present`` is better off where the choice says.

    It moves for a score better by the margin, or if ``present`` may not have it any more.
    """
    if choice.chosen is None or choice.chosen == present:
        return False
    here, there = choice.verdict_on(present), choice.verdict_on(choice.chosen)
    assert there is not None
    assert there.score is not None
    if here is None or not here.passed:
        return True
    assert here.score is not None, "a pool that passes has a score"
    return there.score >= here.score + margin


def facts_as_dict(wish: Wish, pools: Sequence[PoolFacts]) -> dict[str, Any]:
    """The facts of a choice as JSON."""
    return {"wish": asdict(wish), "pools": [asdict(facts) for facts in pools]}


def facts_from(kept: Mapping[str, Any]) -> PoolFacts:
    """The facts of one pool, read from JSON; what is no fact any more is left out."""
    known = {name: value for name, value in kept.items() if name in _NAMES}
    return PoolFacts(**{**known, **{name: Capacity(**kept[name]) for name in _CAPACITIES}})


def replay(facts: Mapping[str, Any]) -> Choice:
    """The choice that follows from kept facts."""
    return choose(Wish(**facts["wish"]), [facts_from(kept) for kept in facts["pools"]])


def choice_from(kept: Mapping[str, Any]) -> Choice:
    """A choice, read from JSON."""
    verdicts = [
        Verdict(
            one["pool"],
            [Check(**check) for check in one["checks"]],
            [Term(**term) for term in one["terms"]],
            one["score"],
        )
        for one in kept["verdicts"]
    ]
    return Choice(kept["objective"], verdicts, kept["chosen"], kept["weights"])


def reason_of(pool: str, check: Check) -> str:
    """In one sentence why a pool may not have a job."""
    sentences = {
        "wished": f"{pool}: is not among the centres that were asked for",
        "open": f"{pool}: takes no jobs now",
        "heard": f"{pool}: its centre is not heard of",
        "resources": _resources_reason(pool, check),
        "nodes": f"{pool}: {check.there} of its nodes fit, {check.asked} are needed",
        "backend": f"{pool}: {check.there}",
        "accelerator": f"{pool}: has {check.there or 'no accelerator'}, not {check.asked}",
        "software": f"{pool}: lacks {check.asked}",
        "inputs": f"{pool}: {check.there} may not go there",
        "account": f"{pool}: the person has no account there",
        "contract": f"{pool}: is not of the contract's provider",
        "price": f"{pool}: no offer now",
        "allocation": f"{pool}: {check.there}",
        "held": f"{pool}: {check.asked} needed, {check.there} held",
        "funds": f"{pool}: {check.there}",
        "maintenance": f"{pool}: its maintenance begins before the job could end",
        "deadline": f"{pool}: the job would end after its deadline",
        "room": f"{pool}: no room now",
        "pieces": f"{pool}: its free room is in pieces too small for the job",
        "reserved": f"{pool}: its free room is kept for job {check.there}, which comes first",
    }
    return sentences[check.name]


def _resources_reason(pool: str, check: Check) -> str:
    if check.name != "resources":
        return ""
    needed, resource = check.asked.split()
    return f"{pool}: needs {needed} {resource}, has {check.there.split()[0]}"


_NAMES = frozenset(field.name for field in fields(PoolFacts))
_CAPACITIES = ("whole", "free", "largest")


# --- filters -------------------------------------------------------------------------------------


def _checks(wish: Wish, facts: PoolFacts) -> list[Check]:
    """Every filter, in the order in which people would ask."""
    centre = facts.pool.split("/", maxsplit=1)[0]
    missing = sorted(set(wish.software) - set(facts.software))
    end_s = facts.end_s(wish)
    return [
        Check(
            "wished", not wish.centres or centre in wish.centres, ", ".join(wish.centres), centre
        ),
        Check("open", facts.is_open),
        Check("heard", facts.silent_s is not None and not facts.fault, "", facts.fault),
        Check("backend", not facts.backend_reason, "", facts.backend_reason),
        *_resource_checks(wish, facts),
        Check(
            "accelerator",
            not wish.gpu_milli or accepts(wish.accelerator, facts.gpu_model),
            wish.accelerator,
            facts.gpu_model,
        ),
        Check("software", not missing, ", ".join(missing)),
        Check("inputs", not facts.blocked_inputs, "", "; ".join(facts.blocked_inputs)),
        Check("account", facts.has_account),
        Check("contract", facts.is_in_contract),
        Check("price", facts.amount_micro is not None),
        Check("allocation", not facts.allocation_reason, "", facts.allocation_reason),
        _held_check(facts),
        Check("funds", not facts.funds_reason, "", facts.funds_reason),
        Check(
            "maintenance",
            facts.maintenance_in_s is None or end_s <= facts.maintenance_in_s,
            f"{end_s:.0f} s",
            "" if facts.maintenance_in_s is None else f"{facts.maintenance_in_s:.0f} s",
        ),
        Check(
            "deadline",
            wish.deadline_in_s is None or end_s <= wish.deadline_in_s,
            "" if wish.deadline_in_s is None else f"{wish.deadline_in_s:.0f} s",
            f"{end_s:.0f} s",
        ),
        Check("room", facts.has_room),
        Check("pieces", not facts.is_in_pieces),
        Check("reserved", not facts.kept_for, "", facts.kept_for),
    ]


def _held_check(facts: PoolFacts) -> Check:
    """Whether a submitted job may cost no more there than is held for it."""
    amount, held = facts.amount_micro, facts.held_micro
    if held is None or amount is None or amount <= held:
        return Check("held", True)
    return Check("held", False, format_micro(amount), format_micro(held))


def _resource_checks(wish: Wish, facts: PoolFacts) -> list[Check]:
    """Whether the empty pool could ever run the job, on one node and on all it needs."""
    whole, one = facts.whole.shortfall(wish.need), facts.largest.shortfall(wish.each)
    asked, there = "", ""
    for name, needed, has in [*whole, *one][:1]:
        asked, there = f"{needed} {name}", f"{has} {name}"
    return [
        Check("resources", not whole and not one, asked, there),
        Check(
            "nodes", facts.fitting_nodes >= wish.nodes, str(wish.nodes), str(facts.fitting_nodes)
        ),
    ]


# --- terms ---------------------------------------------------------------------------------------


def _terms(
    wish: Wish,
    facts: PoolFacts,
    weights: Mapping[str, float],
    least: Mapping[str, float],
) -> list[Term]:
    patience_s = max(PATIENCE_S, PATIENCE_SHARE * wish.wall_s)
    scores: dict[str, tuple[float | None, str, float]] = {
        "price": (
            facts.payable_micro, MICRO_CNY, _against(least["payable_micro"], facts.payable_micro),
        ),
        "start": (facts.start_s, "s", patience_s / (patience_s + facts.start_s)),
        "transfer": (facts.transfer_s, "s", patience_s / (patience_s + facts.transfer_s)),
        # What is not known is taken as middling: neither a reason to go there nor against it.
        "energy": (facts.energy_wh, "Wh", _against(least["energy_wh"], facts.energy_wh)),
        "carbon": (facts.carbon_g, "g", _against(least["carbon_g"], facts.carbon_g)),
        "reliability": (facts.reliability, "", facts.reliability),
    }  # fmt: skip
    return [
        Term(name, value, unit, round(score, DIGITS), weights[name])
        for name, (value, unit, score) in scores.items()
    ]


def _least(name: str, pools: Sequence[PoolFacts]) -> float:
    known = [getattr(facts, name) for facts in pools]
    return min((value for value in known if value is not None), default=0.0)


def _against(least: float, value: float | None) -> float:
    if value is None:
        return 0.5
    return 1.0 if value <= 0 else min(1.0, max(least, 0.0) / value)
