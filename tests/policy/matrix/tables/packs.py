"""Packs, evaluations, single cases."""

from __future__ import annotations

from tests.policy.matrix.rows import get, post

_SEE = "pack.read on anything"
_LIST = "evaluation.read on public"
_READ = "evaluation.read on evaluation"
_CASES = (_READ, "job.read_log on evaluation-job")

API = [
    get("api:list_packs", _SEE),
    get("api:read_pack", _SEE, name="pack"),
    post(
        "api:quote_pack",
        _SEE,
        "organisation.read on own",
        "pack.run on own",
        "quote.create on own",
        "dataset.read on dataset",
        name="pack",
        body={"organisation": "{own}", "inputs": {"cases": "{dataset}@1"}},
        then=201,
    ),
    get("api:list_evaluations", _LIST, shows="evaluation"),
    get("api:read_evaluation", _READ, evaluation_id="evaluation"),
    get("api:list_explanations", *_CASES, evaluation_id="evaluation", shows="case"),
]

PAGES = [
    get("packs:packs", _SEE),
    get("packs:pack", _SEE, name="pack", shows="evaluation-of-pack"),
    post(
        "packs:pack",
        _SEE,
        "pack.run on mine",
        "pack.run on own, offered",
        name="pack",
        body={"organisation": "{own}", "input_cases": "{dataset}@1"},
    ),
    get("packs:evaluations", _LIST, shows="evaluation"),
    get("packs:evaluation", _READ, evaluation_id="evaluation"),
    get("packs:cases", *_CASES, evaluation_id="evaluation", shows="case"),
    get("packs:case", *_CASES, evaluation_id="evaluation", case_id="case", shows="case"),
]
