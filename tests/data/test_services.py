"""Who may do what with data, what is logged of it, and what a job may read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from haihe.data import services
from haihe.data.domain import UsagePolicy, policy_from
from haihe.data.errors import BlobCorrupt, GrantExpired, NoAgreement, SlugTaken, TermRefused
from haihe.data.models import Agreement
from haihe.evidence.models import EvidenceEntry
from haihe.kernel.clock import now, use_clock
from haihe.kernel.errors import InvalidField, MissingRecord, WrongState
from haihe.kernel.work import unit_of_work
from haihe.parties.services import principal_of
from haihe.policy.domain import ANONYMOUS, Principal, system_principal
from haihe.policy.errors import NotAllowed, NotSignedIn, ScopeMissing
from tests.data.factories import CSV, POLICY, make_agreement, make_dataset
from tests.factories import make_person
from tests.sides import Side

pytestmark = pytest.mark.django_db
DISPATCHER = system_principal("dispatcher")


def without_scope(principal: Principal) -> Principal:
    return Principal(
        id=principal.id, memberships=principal.memberships, scopes=frozenset({"ledger"})
    )


# --- catalogue -----------------------------------------------------------------------------------


def test_only_who_works_for_the_holder_registers(holder: Side, stranger: Side) -> None:
    def create(principal: Principal) -> None:
        make_dataset(holder.organisation, principal, slug="cases", content=None, published=False)

    with pytest.raises(NotSignedIn):
        create(ANONYMOUS)
    for principal in (stranger.manager, holder.auditor):
        with pytest.raises(NotAllowed):
            create(principal)
    create(holder.member)
    with pytest.raises(SlugTaken):
        create(holder.member)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", " "),
        ("title", "x" * 201),
        ("title_en", "x" * 201),
        ("licence", "x" * 201),
        ("description", "x" * 10_001),
    ],
)
def test_a_card_has_limits(field: str, value: str, holder: Side) -> None:
    card = {"title": "t", field: value}
    with pytest.raises(InvalidField, match=field):
        services.create_dataset(
            holder.manager, organisation="hospital", slug="cases", policy=POLICY, **card
        )


def test_an_unpublished_dataset_reads_as_missing(holder: Side, stranger: Side) -> None:
    dataset = make_dataset(holder.organisation, holder.manager, published=False)
    for principal in (ANONYMOUS, stranger.manager):
        assert not services.list_datasets(principal).exists()
        with pytest.raises(MissingRecord):
            services.find_dataset(principal, dataset.slug)
        with pytest.raises(MissingRecord):
            services.versions_of(principal, dataset.slug)
    for principal in (holder.auditor, DISPATCHER):
        assert services.find_dataset(principal, dataset.slug) == dataset


def test_a_published_dataset_shows_its_card_to_everybody_and_its_rows_to_nobody(
    holder: Side, stranger: Side
) -> None:
    dataset = make_dataset(holder.organisation, holder.manager)
    assert services.find_dataset(ANONYMOUS, dataset.slug).newest_number == 1
    assert services.find_version(ANONYMOUS, dataset.slug).rows == 2
    for principal, error in ((ANONYMOUS, NotSignedIn), (stranger.manager, NotAllowed)):
        with pytest.raises(error):
            services.preview(principal, dataset.slug, 1)
        with pytest.raises(error):
            services.open_content(principal, dataset.slug, 1)
        assert not services.may_read_content(principal, dataset)


def test_the_platforms_operator_sees_no_unpublished_data(holder: Side) -> None:
    operator = principal_of(make_person(roles=("operator",)))
    dataset = make_dataset(holder.organisation, holder.manager, published=False)
    with pytest.raises(MissingRecord):
        services.find_dataset(operator, dataset.slug)


def test_a_token_without_the_scope_lists_nothing(holder: Side) -> None:
    make_dataset(holder.organisation, holder.manager)
    with pytest.raises(ScopeMissing):
        services.list_datasets(without_scope(holder.manager))
    with pytest.raises(ScopeMissing):
        services.list_agreements(without_scope(holder.manager))


def test_publishing_and_editing_are_the_managers(holder: Side, stranger: Side) -> None:
    dataset = make_dataset(holder.organisation, holder.manager)
    for principal in (holder.member, stranger.manager):
        with pytest.raises(NotAllowed):
            services.publish_dataset(principal, dataset.slug, published=False)
        with pytest.raises(NotAllowed):
            services.update_dataset(principal, dataset.slug, title="x", policy=POLICY)
    services.publish_dataset(holder.manager, dataset.slug, published=False)
    with pytest.raises(MissingRecord):
        services.find_dataset(stranger.manager, dataset.slug)


def test_search_finds_title_slug_and_holder(holder: Side) -> None:
    dataset = make_dataset(holder.organisation, holder.manager, slug="wdbc")
    for text in ("病例", "case", "wdb", "hospi"):
        assert list(services.list_datasets(ANONYMOUS, text=text)) == [dataset]
    assert not services.list_datasets(ANONYMOUS, text="other").exists()


def test_new_terms_leave_agreements_in_force_as_they_were(holder: Side, consumer: Side) -> None:
    dataset = make_dataset(holder.organisation, holder.manager)
    agreement = make_agreement(dataset, holder.manager, consumer.organisation, consumer.manager)
    strict = UsagePolicy(purposes=("evaluation",), days=1)
    services.update_dataset(holder.manager, dataset.slug, title="t", policy=strict)
    agreement.refresh_from_db()
    assert agreement.policy == POLICY
    assert services.agreement_for(consumer.organisation, dataset, at=now()) == agreement
    with pytest.raises(TermRefused):
        make_agreement(dataset, holder.manager, consumer.organisation, consumer.manager)


@pytest.mark.parametrize(
    "data",
    [
        {"purposes": []},
        {"purposes": ["resale"]},
        {"purposes": ["research"], "days": 0},
        {"purposes": ["research"], "days": 3_661},
        {"purposes": ["research"], "days": True},
        {"purposes": ["research"], "days": "90"},
    ],
)
def test_a_policy_out_of_range_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(InvalidField):
        policy_from(data)


# --- reading -------------------------------------------------------------------------------------


def test_a_download_is_the_content_and_is_logged_for_the_holder(holder: Side) -> None:
    dataset = make_dataset(holder.organisation, holder.manager)
    version, file = services.open_content(holder.member, dataset.slug, 1)
    with file:
        assert file.read() == CSV
    services.preview(holder.member, dataset.slug, 1)
    log = services.usage_of(holder.auditor, dataset.slug)
    assert [read.via for read in log.items] == ["preview", "download"]
    assert {read.reader for read in log.items} == {holder.organisation}
    entry = EvidenceEntry.objects.get(id=log.items[0].evidence_id)
    assert entry.subject == version.subject
    assert entry.actor == holder.member.actor


def test_a_refused_look_is_not_logged(holder: Side, stranger: Side) -> None:
    dataset = make_dataset(holder.organisation, holder.manager)
    with pytest.raises(NotAllowed):
        services.preview(stranger.member, dataset.slug, 1)
    with pytest.raises(InvalidField):
        services.preview(holder.member, dataset.slug, 1, rows=101)
    assert not services.usage_of(holder.manager, dataset.slug).items


def test_the_usage_log_is_the_holders(holder: Side, consumer: Side) -> None:
    dataset = make_dataset(holder.organisation, holder.manager)
    make_agreement(dataset, holder.manager, consumer.organisation, consumer.manager)
    for principal, error in ((ANONYMOUS, NotSignedIn), (consumer.manager, NotAllowed)):
        with pytest.raises(error):
            services.usage_of(principal, dataset.slug)


def test_the_usage_log_is_read_by_cursor_and_names_no_other_dataset(holder: Side) -> None:
    dataset = make_dataset(holder.organisation, holder.manager)
    other = make_dataset(holder.organisation, holder.manager)
    for slug in (dataset.slug, other.slug, dataset.slug, dataset.slug):
        services.open_content(holder.member, slug, 1)[1].close()
    first = services.usage_of(holder.manager, dataset.slug, limit=2)
    rest = services.usage_of(holder.manager, dataset.slug, limit=2, cursor=first.next_cursor)
    assert (len(first.items), len(rest.items), rest.next_cursor) == (2, 1, None)


@pytest.mark.parametrize("download", [True, False])
def test_a_consumer_downloads_only_if_the_terms_let_the_content_leave(
    download: bool, holder: Side, consumer: Side
) -> None:
    policy = UsagePolicy(purposes=("research",), days=30, download=download)
    dataset = make_dataset(holder.organisation, holder.manager, policy=policy)
    agreement = make_agreement(dataset, holder.manager, consumer.organisation, consumer.manager)
    assert services.may_read_content(consumer.member, dataset) is download
    if not download:
        with pytest.raises(NotAllowed):
            services.open_content(consumer.member, dataset.slug, 1)
        return
    with pytest.raises(NotAllowed):
        services.open_content(consumer.auditor, dataset.slug, 1)
    services.open_content(consumer.member, dataset.slug, 1)[1].close()
    [read] = services.usage_of(holder.manager, dataset.slug).items
    assert read.reader == consumer.organisation
    services.end_agreement(holder.manager, agreement.pk)
    with pytest.raises(NotAllowed):
        services.open_content(consumer.member, dataset.slug, 1)


# --- agreements ----------------------------------------------------------------------------------


def test_the_holder_offers_and_the_consumer_accepts(
    holder: Side, consumer: Side, stranger: Side
) -> None:
    dataset = make_dataset(holder.organisation, holder.manager)

    def propose(principal: Principal) -> Agreement:
        return services.propose_agreement(
            principal, dataset.slug, consumer="firm", purpose="research", days=30
        )

    for principal in (consumer.manager, stranger.manager, holder.member):
        with pytest.raises(NotAllowed):
            propose(principal)
    offered = propose(holder.manager)
    with pytest.raises(NoAgreement):
        services.agreement_for(consumer.organisation, dataset, at=now())
    for principal in (holder.manager, consumer.member, stranger.manager):
        with pytest.raises(NotAllowed):
            services.accept_agreement(principal, offered.pk)
    accepted = services.accept_agreement(consumer.manager, offered.pk)
    assert accepted.expires_at == accepted.accepted_at + timedelta(days=30)
    with pytest.raises(WrongState, match="accepted"):
        services.accept_agreement(consumer.manager, offered.pk)
    with pytest.raises(NotAllowed):
        services.find_agreement(stranger.manager, offered.pk)


@pytest.mark.parametrize(("purpose", "days"), [("service", 30), ("research", 91), ("research", 0)])
def test_terms_outside_the_policy_are_refused(
    purpose: str, days: int, holder: Side, consumer: Side
) -> None:
    policy = UsagePolicy(purposes=("research",), days=90, standing=True)
    dataset = make_dataset(holder.organisation, holder.manager, policy=policy)
    with pytest.raises(TermRefused):
        services.propose_agreement(
            holder.manager, dataset.slug, consumer="firm", purpose=purpose, days=days
        )
    with pytest.raises(TermRefused):
        services.accept_terms(
            consumer.manager, dataset.slug, organisation="firm", purpose=purpose, days=days
        )


def test_standing_terms_are_accepted_while_the_dataset_is_published(
    holder: Side, consumer: Side, stranger: Side
) -> None:
    policy = UsagePolicy(purposes=("research",), days=90, standing=True)
    dataset = make_dataset(holder.organisation, holder.manager, policy=policy)

    def take(principal: Principal, organisation: str = "firm") -> Agreement:
        return services.accept_terms(
            principal, dataset.slug, organisation=organisation, purpose="research", days=9
        )

    for principal in (consumer.member, stranger.manager):
        with pytest.raises(NotAllowed):
            take(principal)
    assert take(consumer.manager).state == Agreement.State.ACCEPTED
    with pytest.raises(InvalidField, match="another organisation"):
        take(holder.manager, "hospital")
    services.publish_dataset(holder.manager, dataset.slug, published=False)
    with pytest.raises(NoAgreement):
        take(consumer.manager)


def test_terms_that_are_not_standing_are_not_taken(holder: Side, consumer: Side) -> None:
    dataset = make_dataset(holder.organisation, holder.manager)
    with pytest.raises(NoAgreement):
        services.accept_terms(
            consumer.manager, dataset.slug, organisation="firm", purpose="research", days=9
        )


def test_agreements_are_listed_to_their_parties_and_the_auditor(
    holder: Side, consumer: Side, stranger: Side
) -> None:
    dataset = make_dataset(holder.organisation, holder.manager)
    agreement = make_agreement(dataset, holder.manager, consumer.organisation, consumer.manager)
    auditor = principal_of(make_person(roles=("auditor",)))
    for principal in (holder.member, consumer.auditor, auditor, DISPATCHER):
        assert list(services.list_agreements(principal)) == [agreement]
    for principal in (stranger.manager, principal_of(make_person())):
        assert not services.list_agreements(principal).exists()
    with pytest.raises(NotSignedIn):
        services.list_agreements(ANONYMOUS)
    assert not services.list_agreements(holder.member, dataset="other").exists()


# --- use in jobs ---------------------------------------------------------------------------------


def grant(side: Side, slug: str) -> object:
    job = uuid4()
    with unit_of_work():
        services.grant_read(side.member, side.organisation, slug, 1, job_id=job)
    return job


def deliver(job: object, slug: str, folder: Path) -> Path:
    return services.deliver_to_job(
        DISPATCHER, job_id=job, slug=slug, number=1, folder=folder, name="cases"
    )


def test_a_job_reads_what_was_granted_and_the_holder_sees_it(
    holder: Side, consumer: Side, tmp_path: Path
) -> None:
    dataset = make_dataset(holder.organisation, holder.manager)
    with pytest.raises(NoAgreement):
        grant(consumer, dataset.slug)
    make_agreement(dataset, holder.manager, consumer.organisation, consumer.manager)
    job = grant(consumer, dataset.slug)
    assert deliver(job, dataset.slug, tmp_path).read_bytes() == CSV
    [read] = services.usage_of(holder.manager, dataset.slug).items
    assert (read.via, read.reader) == (f"job:{job}", consumer.organisation)
    with pytest.raises(MissingRecord):
        deliver(uuid4(), dataset.slug, tmp_path)


def test_a_grant_ends_with_its_agreement(holder: Side, consumer: Side, tmp_path: Path) -> None:
    dataset = make_dataset(holder.organisation, holder.manager)
    agreement = make_agreement(dataset, holder.manager, consumer.organisation, consumer.manager)
    job = grant(consumer, dataset.slug)
    services.end_agreement(consumer.manager, agreement.pk)
    with pytest.raises(GrantExpired):
        deliver(job, dataset.slug, tmp_path)
    with pytest.raises(NoAgreement):
        grant(consumer, dataset.slug)


def test_an_agreement_runs_out(holder: Side, consumer: Side, tmp_path: Path) -> None:
    dataset = make_dataset(holder.organisation, holder.manager)
    make_agreement(dataset, holder.manager, consumer.organisation, consumer.manager)
    job = grant(consumer, dataset.slug)
    later = datetime.now(UTC) + timedelta(days=31)
    with use_clock(lambda: later):
        with pytest.raises(GrantExpired):
            deliver(job, dataset.slug, tmp_path)
        with pytest.raises(NoAgreement):
            grant(consumer, dataset.slug)


def test_damaged_content_is_not_delivered(holder: Side, tmp_path: Path) -> None:
    dataset = make_dataset(holder.organisation, holder.manager)
    job = grant(holder, dataset.slug)
    path = services.blob_store().path(dataset.versions.get().sha256)
    path.chmod(0o600)
    path.write_bytes(CSV.replace(b"1", b"9"))
    with pytest.raises(BlobCorrupt):
        deliver(job, dataset.slug, tmp_path)
    assert not list(tmp_path.glob("cases*"))
