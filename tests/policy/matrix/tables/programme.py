"""Plans and indicators, schemes, vouchers, scenarios."""

from __future__ import annotations

from collections.abc import Callable

from haihe.kernel.money import MICRO
from tests.policy.matrix.rows import Row, Upload, get, post
from tests.programme.factories import DECLARED, PLAN_FILE, RULES

_PLAN = "plan.read on anything"
_FIGURE = "indicator.read on anything"
_TARGET = {"slug": "plan", "code": "target"}
_CHAIN = "recognised-job recognised-voucher"
_SCHEME = "scheme.read on anything"
_MANAGE = (_SCHEME, "scheme.manage on scheme")
_PAY = (_SCHEME, "voucher.pay on scheme")
_NEW_SCHEME = {"slug": "new-scheme", "title": "券", "office": "{office}"}
_DAYS = {"opens_on": "{day}", "closes_on": "2099-12-31"}
_APPLICATION = {"contract": "{fresh}", "declared": list(DECLARED)}
_APPLY = (_SCHEME, "contract.read on fresh", "voucher.apply on own")
_REVIEW = ("voucher.read on voucher", "voucher.review on voucher")
_WITHDRAW = ("voucher.read on voucher", "voucher.withdraw on voucher")
_CLOSE = ("voucher.read on granted-voucher", "scheme.manage on scheme")
_PROPOSE = ("evaluation.read on evaluation", "scenario.propose on own")
_DECIDE = ("scenario.read on scenario", "scenario.accept on scenario")
_REVOKE = ("scenario.read on recognised", "scenario.accept on recognised")
_NOTE = {"note": "because"}
_SCENARIOS = "scenario.read on public"


def _decision(route: str, **args: str) -> Callable[..., Row]:
    """A page that is posted to with a decision."""

    def decide(decision: str, needs: tuple[str, ...]) -> Row:
        return post(route, *needs, body={"decision": decision, **_NOTE}, **args)

    return decide


API = [
    get("api:read_overview", _FIGURE),
    get("api:list_plans", _PLAN),
    post("api:import_plan", "plan.import on anything", body={"toml": "{plan-file}"}, then=201),
    get("api:read_plan", _PLAN, slug="plan"),
    get("api:list_plan_versions", _PLAN, slug="plan"),
    get("api:compare_plan_versions", _PLAN, slug="plan", query="old=1&new=1"),
    get("api:read_target", _PLAN, **_TARGET),
    get("api:list_indicators", _FIGURE),
    get("api:read_indicator", _FIGURE, shows=_CHAIN, **_TARGET),
    get("api:list_schemes", _SCHEME),
    post(
        "api:open_scheme",
        "organisation.read on office",
        "scheme.manage on office",
        body={**_NEW_SCHEME, **_DAYS, "rules_toml": "{rules-file}"},
        then=201,
    ),
    get("api:read_scheme", _SCHEME, slug="scheme"),
    post(
        "api:fund_scheme",
        *_MANAGE,
        slug="scheme",
        body={"amount_micro": 5, "reference": "budget"},
    ),
    post(
        "api:check_application",
        *_APPLY,
        slug="scheme",
        body={**_APPLICATION, "amount_micro": MICRO},
    ),
    get("api:list_claims", *_PAY, slug="scheme"),
    post(
        "api:pay_provider",
        _SCHEME,
        "organisation.read on party",
        "voucher.pay on scheme",
        slug="scheme",
        body={"provider": "{party}"},
        then=201,
    ),
    get("api:list_vouchers", "voucher.read on list", shows="voucher"),
    post(
        "api:apply_for_voucher",
        *_APPLY,
        body={**_APPLICATION, "scheme": "{scheme}", "amount_micro": MICRO},
        then=201,
    ),
    get("api:read_voucher", "voucher.read on voucher", number="voucher"),
    post("api:approve_voucher", *_REVIEW, number="voucher", body=_NOTE),
    post("api:refuse_voucher", *_REVIEW, number="voucher", body=_NOTE),
    post("api:withdraw_application", *_WITHDRAW, number="voucher"),
    post("api:close_voucher", *_CLOSE, number="granted-voucher"),
    get("api:list_scenarios", _SCENARIOS, shows="scenario"),
    post(
        "api:propose_scenario",
        *_PROPOSE,
        _PLAN,
        body={
            "evaluation": "{evaluation}",
            "plan": "{plan}",
            "measure": "6",
            "title": "分诊",
        },
        then=201,
    ),
    get("api:read_scenario", "scenario.read on scenario", scenario_id="scenario"),
    post("api:accept_scenario", *_DECIDE, scenario_id="scenario", body=_NOTE),
    post("api:decline_scenario", *_DECIDE, scenario_id="scenario", body=_NOTE),
    post("api:revoke_scenario", *_REVOKE, scenario_id="recognised", body=_NOTE),
]

_voucher = _decision("programme:voucher", number="voucher")
_granted = _decision("programme:voucher", number="granted-voucher")
_scenario = _decision("programme:scenario", scenario_id="scenario")
_recognised = _decision("programme:scenario", scenario_id="recognised")

PAGES = [
    get("programme:plans", _PLAN),
    get("programme:plan_import", "plan.import on anything"),
    post(
        "programme:plan_import",
        "plan.import on anything",
        body={"file": Upload("plan.toml", PLAN_FILE.read_bytes())},
    ),
    get("programme:plan", _PLAN, _FIGURE, slug="plan"),
    get("programme:plan_by_id", _PLAN, plan_id="plan-id", then=302),
    get("programme:changes", _PLAN, slug="plan"),
    get("programme:target", _FIGURE, shows=_CHAIN, **_TARGET),
    get("programme:indicators", _FIGURE),
    get("programme:schemes", _SCHEME),
    get("programme:scheme_open", "scheme.manage on anything"),
    post(
        "programme:scheme_open",
        "scheme.manage on anything",
        body={**_NEW_SCHEME, **_DAYS, "rules": Upload("rules.toml", RULES.read_bytes())},
    ),
    get("programme:scheme", _SCHEME, slug="scheme"),
    get("programme:scheme_by_id", _SCHEME, scheme_id="scheme-id", then=302),
    get("programme:fund", *_MANAGE, slug="scheme"),
    post(
        "programme:fund",
        *_MANAGE,
        slug="scheme",
        body={"amount_micro": "5", "reference": "budget", "transfer_id": "{new-id}"},
    ),
    get("programme:payments", *_PAY, slug="scheme"),
    post("programme:payments", *_PAY, slug="scheme", body={"provider": "{party}"}),
    get("programme:apply", _SCHEME, "voucher.apply on mine", slug="scheme"),
    post(
        "programme:apply",
        _SCHEME,
        "voucher.apply on mine",
        "voucher.apply on own, offered",
        slug="scheme",
        body={**_APPLICATION, "amount_micro": "1"},
    ),
    get("programme:vouchers", "voucher.read on list", shows="voucher"),
    get("programme:voucher", "voucher.read on voucher", number="voucher"),
    _voucher("approve", _REVIEW),
    _voucher("refuse", _REVIEW),
    _voucher("withdraw", _WITHDRAW),
    _granted("close", _CLOSE),
    get("programme:scenarios", _SCENARIOS, shows="scenario"),
    get("programme:propose", *_PROPOSE, query="evaluation={evaluation}"),
    post(
        "programme:propose",
        *_PROPOSE,
        query="evaluation={evaluation}",
        body={"measure": "{plan}/6", "title": "分诊"},
    ),
    get("programme:scenario", "scenario.read on scenario", scenario_id="scenario"),
    get(
        "programme:scenario",
        "scenario.read on recognised",
        scenario_id="recognised",
        shows=_CHAIN,
    ),
    _scenario("accept", _DECIDE),
    _scenario("decline", _DECIDE),
    _recognised("revoke", _REVOKE),
]
