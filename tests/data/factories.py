"""Short ways to make datasets and agreements, through the services."""

from __future__ import annotations

from itertools import count

from haihe.data import services
from haihe.data.domain import UsagePolicy
from haihe.data.models import Agreement, Dataset
from haihe.parties.models import Organisation
from haihe.policy.domain import Principal

CSV = "编号,数值\n甲,1\n乙,2\n".encode()
POLICY = UsagePolicy(purposes=("research", "training"), days=90)
_numbers = count(1)


def make_dataset(
    holder: Organisation,
    principal: Principal,
    *,
    slug: str = "",
    policy: UsagePolicy = POLICY,
    published: bool = True,
    content: bytes | None = CSV,
) -> Dataset:
    """A dataset with one version, published unless said otherwise."""
    slug = slug or f"data-{next(_numbers)}"
    dataset = services.create_dataset(
        principal,
        organisation=holder.slug,
        slug=slug,
        title="病例",
        title_en="Cases",
        policy=policy,
    )
    if content is not None:
        services.add_version(principal, slug, name="cases.csv", pieces=[content])
    if published:
        services.publish_dataset(principal, slug)
    return dataset


def make_agreement(
    dataset: Dataset, holder: Principal, consumer: Organisation, buyer: Principal
) -> Agreement:
    """An agreement in force."""
    offered = services.propose_agreement(
        holder, dataset.slug, consumer=consumer.slug, purpose="research", days=30
    )
    return services.accept_agreement(buyer, offered.pk)
