"""What pack.toml may say, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from haihe.packs.domain import TIERS, Tier, parse_manifest, tier_of
from haihe.packs.errors import ManifestInvalid, ManifestUnknownKeys


@pytest.fixture
def text(pack_folder: Path) -> str:
    return next(pack_folder.rglob("pack.toml")).read_text("utf-8")


def test_a_complete_manifest_is_read(text: str) -> None:
    manifest = parse_manifest(text)
    assert manifest.cases.name == "cases"
    assert manifest.evaluation.positive == "yes"
    assert manifest.cases.column("outcome").title.zh == "结果"
    assert manifest.cases.column("nothing") is None


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("wall_s = 300", "wall_s = 300\nnetwork = true", "resources.network"),
        ('measure = "0"', 'measure = "0"\ntier = "platinum"', "tier"),
        ("folds = 5", "fold = 5", "evaluation.fold"),
    ],
)
def test_a_key_without_meaning_is_refused_by_name(text: str, old: str, new: str, key: str) -> None:
    with pytest.raises(ManifestUnknownKeys) as refused:
        parse_manifest(text.replace(old, new), source="here/pack.toml")
    assert refused.value.keys == key
    assert "here/pack.toml" in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('name = "scaffolded_example"', 'name = "Scaffolded-Example"', "name"),
        ('version = "0.1.0"', 'version = "new"', "version"),
        ("folds = 5", 'folds = "5"', "evaluation.folds"),
        ("folds = 5", "folds = 1", "evaluation.folds"),
        ('task = "binary-classification"', 'task = "guessing"', "task"),
        ('primary_metric = "roc_auc"', 'primary_metric = "applause"', "primary_metric"),
        ('en = "An example, for trial only."', 'en = " "', "disclaimer.en"),
        ('licence = "Apache-2.0"', "", "licence"),
        ('label = "outcome"', 'label = "owner_id"', "column of its own"),
        ('label = "outcome"', 'label = "result"', "result must be a column"),
        ('label = "outcome"', 'label = "first_reading"', "a label is a text"),
        ('positive = "yes"', "positive = 1", "of type text"),
        ('positive = "yes"', 'positive = "no"', "must differ"),
        ('read = ["cases"]', 'read = ["cases", "secrets"]', "no input is called secrets"),
        ('input = "cases"', 'input = "others"', "no input is called others"),
        ('"second_reading", type', '"first_reading", type', "first_reading repeats"),
        ('version = "0.1.0"', "version = 2026-01-01", "write dates as text"),
        ('version = "0.1.0"', "version = ", "pack.toml"),
    ],
)
def test_a_contradiction_is_refused_with_its_place(
    text: str, old: str, new: str, problem: str
) -> None:
    assert old in text
    with pytest.raises(ManifestInvalid) as refused:
        parse_manifest(text.replace(old, new, 1))
    assert problem in str(refused.value)


def test_a_tier_needs_all_checks_of_the_tiers_before_it() -> None:
    names = {tier: set(needed) for tier, needed in TIERS.items()}
    assert tier_of([]) is None
    assert tier_of(names[Tier.PLATINUM] | names[Tier.GOLD]) is None
    assert tier_of(names[Tier.BRONZE]) is Tier.BRONZE
    assert tier_of(set().union(*names.values())) is Tier.PLATINUM
    for tier, needed in names.items():
        short = set().union(*names.values()) - {sorted(needed)[0]}
        order = list(TIERS)
        below = order[order.index(tier) - 1] if tier is not Tier.BRONZE else None
        assert tier_of(short) is below
