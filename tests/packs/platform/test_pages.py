"""Pages of packs, evaluations and cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from haihe.compute.models import Job, Offer, Quote
from haihe.packs import services
from haihe.packs.discovery import PackSource
from haihe.packs.domain import Tier
from haihe.packs.models import Evaluation
from haihe.policy.domain import Principal, system_principal
from tests.callers import person_of
from tests.packs.conftest import NAME
from tests.packs.platform.conftest import Lab
from tests.packs.platform.test_services import report
from tests.pages import CHINESE, ENGLISH, asks_to_sign_in, browser, sound

pytestmark = pytest.mark.django_db


def seen_by(principal: Principal, language: str = ENGLISH) -> Client:
    return browser(person_of(principal), language)


@pytest.mark.parametrize("language", [ENGLISH, CHINESE])
def test_all_pages_render_in_both_languages(
    language: str, lab: Lab, evaluation: Evaluation
) -> None:
    client = seen_by(lab.member, language)
    page = f"/evaluations/{evaluation.pk}"
    for address in (
        "/packs", f"/packs/{NAME}", "/evaluations", "/evaluations?state=refused", page,
        f"{page}/cases", f"{page}/cases?decision=abstained", f"{page}/cases/c0003",
    ):  # fmt: skip
        sound(client.get(address))


def test_a_pack_says_what_it_is_and_is_not(lab: Lab, source: PackSource) -> None:
    manifest = source.manifest()
    page = sound(browser().get(f"/packs/{NAME}"))
    for text in (
        manifest.summary.en, manifest.disclaimer.en, manifest.limits[0].en,
        manifest.sources[0].licence, "Sign in to run it", "Not checked here",
        f"haihe packs check {NAME} --record",
    ):  # fmt: skip
        assert text in page.text, text
    services.record_check(system_principal("console"), source, report(Tier.SILVER))
    assert "Silver" in sound(browser().get("/packs")).text
    checked = sound(browser().get(f"/packs/{NAME}"))
    assert "score.calibrated" in checked.text
    assert browser().get("/packs/other").status_code == 404


def test_a_run_is_asked_for_on_the_packs_page(lab: Lab) -> None:
    address = f"/packs/{NAME}"
    fields = {"organisation": "firm", "contract": "", "input_cases": "cases@1"}
    assert asks_to_sign_in(browser().post(address, fields))
    assert seen_by(lab.officer).post(address, fields).status_code == 403
    assert not Quote.objects.exists()
    assert "You are in no organisation" in sound(seen_by(lab.officer).get(address)).text
    wrong = seen_by(lab.stranger).post(address, fields)
    assert wrong.status_code == 422
    assert not Quote.objects.exists()
    done = seen_by(lab.member).post(address, fields)
    assert done["Location"] == f"/quotes/{Quote.objects.get().pk}"


def test_a_refused_quote_keeps_what_was_chosen(lab: Lab) -> None:
    Offer.objects.all().delete()
    fields = {"organisation": "firm", "contract": "", "input_cases": "cases@1"}
    page = sound(seen_by(lab.member).post(f"/packs/{NAME}", fields), 503)
    assert "cases@1" in page.attributes["value"]


def test_an_evaluation_shows_its_score_beside_both_controls(
    lab: Lab, evaluation: Evaluation
) -> None:
    page = sound(seen_by(lab.member).get(f"/evaluations/{evaluation.pk}"))
    assert evaluation.score is not None
    for text in (
        f"{evaluation.score:.3f}", "Baseline: the prior alone", "Control: labels shuffled",
        "Fold 5", "Cases decided (coverage)", "Slope (1 is right)", "cases@1", "Called positive",
        "Propose as a scenario",
    ):  # fmt: skip
        assert text in page.text, text
    assert asks_to_sign_in(browser().get(f"/evaluations/{evaluation.pk}"))
    assert seen_by(lab.stranger).get(f"/evaluations/{evaluation.pk}").status_code == 403


def test_the_public_sees_a_published_score_and_no_case(lab: Lab, evaluation: Evaluation) -> None:
    Evaluation.objects.update(is_public=True)
    page = sound(browser().get(f"/evaluations/{evaluation.pk}"))
    assert "stays with the organisation" in page.text
    assert "Propose as a scenario" not in page.text
    assert f"/evaluations/{evaluation.pk}/cases" not in page.attributes["href"]
    assert asks_to_sign_in(browser().get(f"/evaluations/{evaluation.pk}/cases"))
    officer = seen_by(lab.officer)
    assert officer.get(f"/evaluations/{evaluation.pk}/cases").status_code == 403
    assert officer.get(f"/evaluations/{evaluation.pk}/cases/c0003").status_code == 403


def test_a_refused_run_says_why(lab: Lab, finished: Callable[..., Job]) -> None:
    job = finished(lambda folder: (folder / "predictions.parquet").unlink())
    refused = services.evaluate_job(job.pk)
    assert refused is not None
    page = sound(seen_by(lab.member).get(f"/evaluations/{refused.pk}"))
    assert "The predictions could not be scored" in page.text
    assert "predictions.parquet" in page.text
    assert "Why, case by case" not in page.text


def test_a_case_shows_its_reasons_in_the_language_of_the_page(
    lab: Lab, evaluation: Evaluation
) -> None:
    address = f"/evaluations/{evaluation.pk}/cases/c0003"
    reason = services.find_case(lab.member, evaluation.pk, "c0003").reasons[0]["text"]
    assert reason["en"] in sound(seen_by(lab.member).get(address)).text
    assert reason["zh"] in sound(seen_by(lab.member, CHINESE).get(address)).text
    assert seen_by(lab.member).get(f"{address}x").status_code == 404


@pytest.mark.parametrize(("kind", "begins"), [("csv", b"\xef\xbb\xbf"), ("xlsx", b"PK")])
def test_every_table_is_a_file_too(
    kind: str, begins: bytes, lab: Lab, evaluation: Evaluation
) -> None:
    client = seen_by(lab.member)
    for address in ("/packs", "/evaluations", f"/evaluations/{evaluation.pk}/cases"):
        answer = client.get(f"{address}?format={kind}")
        assert answer.content.startswith(begins)
    denied: Any = seen_by(lab.officer).get(f"/evaluations/{evaluation.pk}/cases?format={kind}")
    assert denied.status_code == 403
    if kind == "csv":
        rows = client.get(f"/evaluations/{evaluation.pk}/cases?format=csv").content.decode()
        assert len(rows.splitlines()) == 241
