"""The portal's side: questions, refusals in the reader's words, and tickets."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core import signing
from django.utils import translation

from haihe.kernel.clock import now
from haihe.kernel.http import status_of
from haihe.kernel.work import unit_of_work
from haihe.packs import channels, frames
from haihe.packs.channels import ping_service, verified
from haihe.packs.errors import ServiceUnknown
from haihe.packs.pages import (
    ServiceRefused,
    ServiceUnavailable,
    ask_service,
    service_address,
    service_ticket,
)
from tests.packs.serving.conftest import PACK, SERVICE, Installed, running


@pytest.fixture
def served(installed: Installed) -> Iterator[Installed]:
    """The service, in a thread of this process."""
    ready, stop = threading.Event(), threading.Event()

    async def body() -> None:
        async with running(installed.context):
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(body(),))
    thread.start()
    try:
        assert ready.wait(30)
        yield installed
    finally:
        stop.set()
        thread.join()


def test_a_question_is_answered(served: Installed) -> None:
    assert ask_service(PACK, SERVICE, {"what": "state"})["heard"] == {"what": "state"}
    assert now() - ping_service(PACK, SERVICE, timeout_s=5.0) < timedelta(minutes=1)


def test_a_refusal_comes_with_its_code_and_in_the_readers_words(
    served: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ServiceRefused) as caught:
        ask_service(PACK, SERVICE, {"what": "refuse"})
    error = caught.value
    assert (error.refusal, status_of(error)) == ("talking.occupied", 409)
    assert error.text == "2 chairs are taken by 'ann'."
    assert "2 chairs" in str(error)


def test_a_defect_of_the_service_is_no_answer_and_no_end(served: Installed) -> None:
    with pytest.raises(ServiceUnavailable, match="its log says why") as caught:
        ask_service(PACK, SERVICE, {"what": "fail"})
    assert status_of(caught.value) == 503
    assert ask_service(PACK, SERVICE, {})["heard"] == {}


def test_a_question_does_not_wait_for_ever(served: Installed) -> None:
    with pytest.raises(ServiceUnavailable, match=r"did not answer in 0\.2 s"):
        ask_service(PACK, SERVICE, {"what": "wait"}, timeout_s=0.2)


def test_a_service_that_does_not_run_is_named(installed: Installed) -> None:
    with pytest.raises(ServiceUnavailable, match="not running"):
        ask_service(PACK, SERVICE, {})
    translation.activate("zh-hans")
    assert ask_fails().startswith("\u573a\u666f\u5305"), "said in Chinese, reason and all"


def ask_fails() -> str:
    from haihe.kernel.phrases import localized

    with pytest.raises(ServiceUnavailable) as caught:
        ask_service(PACK, SERVICE, {})
    text = localized(caught.value)
    assert "not running" not in text
    return text


@pytest.mark.parametrize("answer", [b"", b"\0\0", frames.LENGTH.pack(1 << 30), b"\0\0\0\x02[]"])
def test_whoever_answers_nonsense_is_not_believed(installed: Installed, answer: bytes) -> None:
    path = installed.context.socket
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as server:
        with frames.reachable(path) as address:
            server.bind(address)
        server.listen()

        def reply() -> None:
            link, _ = server.accept()
            with link:
                link.recv(1_000)
                link.sendall(answer)

        thread = threading.Thread(target=reply)
        thread.start()
        with pytest.raises(ServiceUnavailable):
            ask_service(PACK, SERVICE, {}, timeout_s=2.0)
        thread.join()


@pytest.mark.django_db
def test_no_service_is_asked_within_a_unit_of_work(served: Installed) -> None:
    with pytest.raises(AssertionError), unit_of_work():
        ask_service(PACK, SERVICE, {})


def test_a_ticket_vouches_for_its_claims_and_its_service(installed: Installed) -> None:
    ticket = verified(service_ticket(PACK, SERVICE, {"role": "patient"}))
    assert ticket is not None
    assert (ticket.pack, ticket.service, ticket.claims) == (PACK, SERVICE, {"role": "patient"})
    assert service_address(PACK, SERVICE) == f"/services/{PACK}/{SERVICE}"


def test_a_ticket_is_signed_for_this_use_and_for_a_minute(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"pack": PACK, "service": SERVICE, "claims": {}}
    good = service_ticket(PACK, SERVICE, {})
    for bad in ("", "x", good[:-1], good[1:], good + "x", signing.dumps(told, salt="another")):
        assert verified(bad) is None, bad
    assert verified(signing.dumps(told, key="another", salt=channels.SALT)) is None
    real = signing.time.time
    for age_s, is_good in ((59, True), (61, False)):
        monkeypatch.setattr(signing.time, "time", lambda age_s=age_s: real() - age_s)
        old = service_ticket(PACK, SERVICE, {})
        monkeypatch.setattr(signing.time, "time", real)
        assert (verified(old) is not None) is is_good


def test_no_ticket_is_written_for_a_service_that_is_not_there(installed: Installed) -> None:
    with pytest.raises(ServiceUnknown, match="haihe packs show"):
        service_ticket(PACK, "other", {})
