"""Error pages: the right status, in both languages, and nothing that a broken part breaks too."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.test import Client

from haihe.policy.errors import NotSignedIn
from tests.portal.conftest import Markup

pytestmark = [pytest.mark.urls("tests.portal.urls")]
HTMX = {"HX-Request": "true", "HX-Current-URL": "http://testserver/jobs?page=2"}


@pytest.fixture
def browser() -> Client:
    """A client that shows the page of a defect and does not raise it."""
    return Client(raise_request_exception=False)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "status", "english", "chinese"),
    [
        ("missing", 404, "There is no Dataset", "没有您可查看的数据集"),
        ("invalid", 422, "limit is 0: give 1 to 500.", "limit 为 0：应为 1 至 500。"),
        ("denied", 403, "You may not cancel a job here", "您无权在此取消作业"),
        ("down", 503, "disk is full", "无法写入sqlite 数据库"),
        ("forbidden", 403, "You may not do this", "没有权限"),
        ("defect", 500, "Something went wrong", "出错了"),
    ],
)
def test_an_error_is_a_page_that_says_what_to_do(
    browser: Client, name: str, status: int, english: str, chinese: str
) -> None:
    for language, sentence in (("en", english), ("zh-hans", chinese)):
        browser.cookies["django_language"] = language
        answer = browser.get(f"/fail/{name}", headers={"X-Request-ID": "req-7"})
        page = Markup(answer.content.decode())
        assert answer.status_code == status
        assert sentence in page.text
        assert page.forbidden == []
        assert f'<html lang="{language}"' in answer.content.decode()
        assert "req-7" in page.text


@pytest.mark.django_db
def test_values_in_an_error_are_escaped(client: Client) -> None:
    source = client.get("/fail/missing").content.decode()
    assert "<b>films" not in source
    assert "&lt;b&gt;films" in source


@pytest.mark.django_db
def test_an_unknown_address_is_a_page(client: Client) -> None:
    answer = client.get("/nowhere")
    assert answer.status_code == HTTPStatus.NOT_FOUND
    assert "There is no page at this address." in Markup(answer.content.decode()).text


@pytest.mark.django_db
def test_who_is_not_signed_in_goes_to_sign_in_and_comes_back(client: Client) -> None:
    answer = client.get("/fail/anonymous?tab=1")
    assert answer.headers["Location"] == "/accounts/login/?next=%2Ffail%2Fanonymous%3Ftab%3D1"
    page = client.get(answer.headers["Location"]).content.decode()
    assert "Sign in to cancel a job." in Markup(page).text
    assert client.post("/fail/anonymous").headers["Location"] == "/accounts/login/"


@pytest.mark.django_db
def test_htmx_is_sent_to_sign_in_as_a_whole_page(client: Client) -> None:
    answer = client.post("/fail/anonymous", headers=HTMX)
    assert answer.headers["HX-Redirect"] == "/accounts/login/?next=%2Fjobs%3Fpage%3D2"


@pytest.mark.django_db
def test_htmx_gets_an_alert_for_the_message_area(client: Client) -> None:
    answer = client.post("/fail/invalid", headers=HTMX)
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert answer.headers["HX-Retarget"] == "#messages"
    assert answer.headers["HX-Reswap"] == "innerHTML"
    assert "<html" not in answer.content.decode()
    assert 'role="alert"' in answer.content.decode()


@pytest.mark.django_db
def test_the_api_maps_its_errors_itself(client: Client) -> None:
    with pytest.raises(NotSignedIn):
        client.get("/api/fail/anonymous")


@pytest.mark.django_db
def test_the_switches_on_the_page_of_a_refused_post_lead_home(client: Client) -> None:
    assert 'name="next" value="/"' in client.post("/fail/invalid").content.decode()
    assert 'name="next" value="/fail/invalid"' in client.get("/fail/invalid").content.decode()


@pytest.mark.parametrize(("name", "status"), [("down", 503), ("defect", 500)])
def test_a_page_about_a_broken_part_asks_no_database(
    browser: Client, name: str, status: int
) -> None:
    # Without the db mark any query raises, and this cookie makes "who is it?" a query.
    browser.cookies["sessionid"] = "of-somebody"
    answer = browser.get(f"/fail/{name}")
    assert answer.status_code == status
    assert "海河" in answer.content.decode()


def test_a_request_that_cannot_be_read_is_a_page(browser: Client) -> None:
    answer = browser.get("/nowhere", headers={"Host": "evil.example"})
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert "This request cannot be read" in answer.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("language", "sentence"), [("en", "The form is out of date"), ("zh-hans", "表单已过期")]
)
def test_a_form_without_its_token_is_a_page(language: str, sentence: str) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.cookies["django_language"] = language
    answer = browser.post("/accounts/login/", {})
    assert answer.status_code == HTTPStatus.FORBIDDEN
    assert sentence in Markup(answer.content.decode()).text
