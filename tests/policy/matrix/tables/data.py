"""Datasets, versions, agreements. A dataset that is not published is hidden, not forbidden."""

from __future__ import annotations

from tests.policy.matrix.rows import Upload, get, post, put

_CATALOGUE = "dataset.read on public"
_READ = "dataset.read on dataset, hidden"
_OPEN = "dataset.read on open, hidden"
_FILE = Upload("new.csv", "编号\n丙\n".encode())
_TERMS = {"purposes": ["research"], "days": 30}
_CARD = {"title": "病例", "policy": _TERMS}
_NEW = {"organisation": "{own}", "slug": "new-data"}
_OFFER = {"consumer": "{stranger}", "purpose": "research", "days": 9}
_ACCEPTANCE = {"organisation": "{party}", "purpose": "research", "days": 9}
_VERSION = {"slug": "dataset", "number": 2}
_OPEN_VERSION = {"slug": "open", "number": 1}
_PROPOSE = (_READ, "agreement.propose on dataset", "organisation.read on stranger")
_ACCEPT_TERMS = (_OPEN, "organisation.read on party", "agreement.accept on partner")
_DOWNLOAD = "dataset.download on dataset-content"
_DOWNLOAD_OPEN = "dataset.download on open-content"

API = [
    get("api:list_datasets", _CATALOGUE, shows="dataset"),
    post(
        "api:create_dataset",
        "organisation.read on own",
        "dataset.create on own",
        body={**_CARD, **_NEW},
        then=201,
    ),
    get("api:read_dataset", _READ, slug="dataset"),
    put("api:update_dataset", _READ, "dataset.update on dataset", slug="dataset", body=_CARD),
    post("api:publish_dataset", _READ, "dataset.update on dataset", slug="dataset"),
    post("api:withdraw_dataset", _OPEN, "dataset.update on open", slug="open"),
    get("api:list_dataset_versions", _READ, slug="dataset"),
    post(
        "api:add_dataset_version",
        _READ,
        "dataset.add_version on dataset",
        slug="dataset",
        body={"file": _FILE, "source": "register"},
        then=201,
    ),
    get("api:read_dataset_version", _READ, **_VERSION),
    get("api:download_dataset_version", _READ, _DOWNLOAD, shows="cell", **_VERSION),
    get("api:download_dataset_version", _OPEN, _DOWNLOAD_OPEN, **_OPEN_VERSION),
    get("api:list_dataset_usage", _READ, "dataset.read_usage on dataset", slug="dataset"),
    post("api:propose_agreement", *_PROPOSE, slug="dataset", body=_OFFER, then=201),
    post("api:accept_terms", *_ACCEPT_TERMS, slug="open", body=_ACCEPTANCE, then=201),
    get("api:list_agreements", "agreement.read on list", shows="agreement"),
    get("api:read_agreement", "agreement.read on agreement", agreement_id="agreement"),
    post(
        "api:accept_agreement",
        "agreement.read on offer",
        "agreement.accept on partner",
        agreement_id="offer",
    ),
    post(
        "api:end_agreement",
        "agreement.read on agreement",
        "agreement.end on agreement",
        agreement_id="agreement",
    ),
]

PAGES = [
    get("data:datasets", _CATALOGUE, shows="dataset"),
    get("data:dataset_new", "dataset.create on mine"),
    post(
        "data:dataset_new",
        "dataset.create on mine",
        "dataset.create on own, offered",
        body={**_NEW, **_TERMS, "title": "病例"},
    ),
    get("data:dataset", _READ, slug="dataset", shows="agreement-on-dataset"),
    get("data:dataset_by_id", _READ, dataset_id="dataset-id", then=302),
    get("data:version_by_id", _READ, version_id="version-id", then=302),
    get("data:dataset_edit", _READ, slug="dataset"),
    post(
        "data:dataset_edit",
        _READ,
        "dataset.update on dataset",
        slug="dataset",
        body={**_TERMS, "title": "病例"},
    ),
    post("data:publish", _READ, "dataset.update on dataset", slug="dataset"),
    post("data:withdraw", _OPEN, "dataset.update on open", slug="open"),
    get("data:usage", _READ, "dataset.read_usage on dataset", slug="dataset"),
    get("data:propose", _READ, slug="dataset"),
    post("data:propose", *_PROPOSE, slug="dataset", body=_OFFER),
    get("data:terms", "agreement.accept on mine-as-party", _OPEN, slug="open"),
    post(
        "data:terms",
        "agreement.accept on mine-as-party",
        _OPEN,
        "agreement.accept on partner, offered",
        slug="open",
        body=_ACCEPTANCE,
    ),
    get("data:version_new", _READ, slug="dataset"),
    post(
        "data:version_new",
        _READ,
        "dataset.add_version on dataset",
        slug="dataset",
        body={"file": _FILE, "source": "register"},
    ),
    get("data:version", _READ, **_VERSION),
    get("data:version", _READ, query="preview=1", shows="cell", **_VERSION),
    get("data:content", _READ, _DOWNLOAD, shows="cell", **_VERSION),
    get("data:content", _OPEN, _DOWNLOAD_OPEN, **_OPEN_VERSION),
    get("data:agreements", "agreement.read on list", shows="agreement"),
    get("data:agreement", "agreement.read on agreement", agreement_id="agreement"),
    post(
        "data:accept",
        "agreement.read on offer",
        "agreement.accept on partner",
        agreement_id="offer",
    ),
    post(
        "data:end",
        "agreement.read on agreement",
        "agreement.end on agreement",
        agreement_id="agreement",
    ),
]
