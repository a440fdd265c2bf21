"""Where on the nodes of a packed pool attempts sit: cards are not given twice."""

from __future__ import annotations

import random
import re

import pytest

from haihe.compute.backends import nvml
from haihe.compute.domain import AttemptState, EndReason
from haihe.compute.domain.choice import Wish
from haihe.compute.domain.terms import PoolTerms
from haihe.compute.errors import BadJobSpec
from haihe.compute.models import Attempt, Job, Node, Pool
from haihe.compute.services import centres
from haihe.compute.services.dispatch import plan_round
from haihe.compute.services.jobs import read_log
from haihe.compute.services.network import pool_history
from haihe.compute.services.seats import find_seats, free_pieces
from haihe.compute.services.settlement import AttemptEnd, end_attempt
from haihe.compute.tasks import Dispatcher
from haihe.kernel.clock import now
from haihe.kernel.work import unit_of_work
from tests.compute.factories import GIB, make_job, run_job
from tests.sides import Side

pytestmark = pytest.mark.django_db
CARDS = "north/cards"


@pytest.fixture
def cards(operator: Side) -> Pool:
    """A pool of two machines with two cards each."""
    boss = operator.manager
    pool = centres.create_pool(
        boss, "north", slug="cards", cpu_milli=16_000, memory_bytes=32 * GIB, gpu_milli=4_000,
        gpu_model="A100-40GB",
    )  # fmt: skip
    centres.set_offer(boss, CARDS, cpu_hour_micro=1, gpu_hour_micro=1)
    for name in ("n1", "n2"):
        Node.objects.create(
            pool=pool, name=name, condition="up", cpu_milli=8_000, memory_bytes=16 * GIB, gpus=2,
            gpu_model="A100-40GB", reported_at=now(),
        )  # fmt: skip
    return pool


def submit(firm: Side, gpu_milli: int, **fields: int) -> Job:
    return make_job(firm.member, gpu_milli=gpu_milli, cpu_milli=100, **fields)


def seats_of(job: Job) -> list[tuple[str, tuple[int, ...], int]]:
    return [
        (seat["node"], tuple(seat["gpus"]), seat["gpu_milli_each"])
        for attempt in Attempt.objects.filter(job=job)
        for seat in attempt.seats
    ]


def test_shares_sit_together_and_no_card_is_given_twice(cards: Pool, firm: Side) -> None:
    shares = [submit(firm, 500) for _ in range(4)]
    whole = submit(firm, 2_000)
    plan_round()
    taken = [seat for job in shares for seat in seats_of(job)]
    assert len(taken) == 4
    assert len({(node, gpus) for node, gpus, _ in taken}) == 2, "two to a card"
    assert len({node for node, _, _ in taken}) == 1, "and on one machine"
    [(node, gpus, each)] = seats_of(whole)
    assert (sorted(gpus), each) == ([0, 1], 1_000)
    assert node not in {node for node, _, _ in taken}


def test_a_job_waits_while_no_node_has_the_cards_though_the_pool_has(
    cards: Pool, firm: Side
) -> None:
    spread = [submit(firm, 1_000) for _ in range(4)]
    plan_round()
    ends = {seats_of(job)[0][0]: job for job in spread}
    for job in ends.values():
        with unit_of_work():
            end = AttemptEnd(state=AttemptState.SUCCEEDED, reason=EndReason.EXITED, exit_code=0)
            end_attempt(job.attempts.get().pk, end)
    waiting = submit(firm, 2_000)
    plan_round()
    assert seats_of(waiting) == [], "one card is free on each, and it needs two of one"
    alone = submit(firm, 1_000)
    plan_round()
    assert len(seats_of(alone)) == 1


def test_a_gang_sits_on_as_many_nodes_as_it_asks_for(cards: Pool, firm: Side) -> None:
    gang = submit(firm, 2_000, nodes=2)
    plan_round()
    assert {node for node, _, _ in seats_of(gang)} == {"n1", "n2"}


def test_a_draining_node_is_given_nothing(cards: Pool, firm: Side) -> None:
    Node.objects.filter(name="n1").update(condition="draining")
    jobs = [submit(firm, 1_000) for _ in range(3)]
    plan_round()
    assert {node for job in jobs for node, _, _ in seats_of(job)} == {"n2"}


def test_a_scheduler_chooses_its_own_nodes(cards: Pool, firm: Side, operator: Side) -> None:
    centres.update_pool(operator.manager, CARDS, PoolTerms(backend="slurm"))
    job = submit(firm, 1_000)
    plan_round()
    assert job.attempts.get().seats == []


def test_one_and_a_half_cards_cannot_be_asked_for(firm: Side) -> None:
    with pytest.raises(BadJobSpec, match="whole cards"):
        make_job(firm.member, gpu_milli=1_500)


@pytest.mark.parametrize(("gpu_milli", "printed"), [(1_000, r"[01]"), (2_000, "0,1|1,0"), (0, "")])
def test_a_job_sees_its_own_cards_and_no_other(
    cards: Pool, firm: Side, gpu_milli: int, printed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine that runs it is said to have two cards, as a driver would say it."""
    card = nvml.Card(
        model="A100-40GB", memory_bytes=40 * GIB, used_memory_bytes=0, busy=0.0, watts=50.0
    )
    monkeypatch.setattr(nvml, "cards", lambda: [card, card])
    Pool.objects.exclude(pk=cards.pk).update(is_open=False)
    Node.objects.all().delete()
    with Dispatcher() as dispatcher:
        for _ in range(3):
            dispatcher.tick()
    job = run_job(firm.member, "sh", "-c", "echo -n $CUDA_VISIBLE_DEVICES", gpu_milli=gpu_milli)
    assert job.state == "succeeded", job.message
    assert re.fullmatch(printed, read_log(firm.member, job.pk).text)
    assert [node.gpus for node in Node.objects.filter(pool=cards)] == [2]
    assert pool_history(firm.member, CARDS)["watts"][0].mean == 100.0


def test_room_in_pieces_is_what_packing_finds(cards: Pool, firm: Side) -> None:
    """The quick look that planning takes and the packing itself say the same of any job."""
    rng = random.Random(1)
    Node.objects.create(
        pool=cards, name="n3", condition="draining", cpu_milli=8_000, memory_bytes=16 * GIB,
        gpus=4, reported_at=now(),
    )  # fmt: skip
    found = set()
    for gpu_milli in (700, 400, 1_000):
        submit(firm, gpu_milli)
        plan_round()
        pieces = free_pieces([cards])[cards.pk]
        for _ in range(40):
            wish = Wish(
                objective="balanced",
                cpu_milli=rng.choice([100, 4_000, 7_900, 9_000]),
                memory_bytes=rng.choice([1, 15, 17]) * GIB,
                gpu_milli=rng.choice([0, 300, 500, 700, 1_000, 2_000]),
                nodes=rng.choice([1, 1, 2]),
                wall_s=60,
            )
            has_room = pieces.have_room(wish)
            assert has_room == (find_seats(cards, wish) is not None), wish
            found.add(has_room)
    assert found == {True, False}
