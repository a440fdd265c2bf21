"""Datasets and the agreements on them over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from haihe.client.http import Record
from haihe.client.subjects import Subject, part, record


class Datasets(Subject):
    """The catalogue, versions and their content."""

    def list(self, *, text: str | None = None) -> Iterator[Record]:
        """The catalogue, optionally narrowed."""
        return self.http.pages("/datasets", text=text)

    def get(self, slug: str) -> Record:
        """A dataset's card."""
        return record(self.http.get(f"/datasets/{part(slug)}"))

    def create(self, **card: Any) -> Record:
        """Register a dataset, so far without content."""
        return record(self.http.post("/datasets", card))

    def update(self, slug: str, *, etag: str | None = None, **card: Any) -> Record:
        """Change its card and its terms for new agreements, if nobody did since ``etag``."""
        return record(self.http.put(f"/datasets/{part(slug)}", card, etag=etag))

    def publish(self, slug: str) -> Record:
        """List it in the public catalogue."""
        return record(self.http.post(f"/datasets/{part(slug)}/publish"))

    def withdraw(self, slug: str) -> Record:
        """Take it out of the public catalogue; agreements in force stay."""
        return record(self.http.post(f"/datasets/{part(slug)}/withdraw"))

    def usage(self, slug: str) -> Iterator[Record]:
        """Who read which version, when and how: for its holder."""
        return self.http.pages(f"/datasets/{part(slug)}/usage")

    def versions(self, slug: str) -> Iterator[Record]:
        """A dataset's versions, the newest first."""
        return self.http.pages(f"/datasets/{part(slug)}/versions")

    def version(self, slug: str, number: int) -> Record:
        """A version: its hash, size and columns."""
        return record(self.http.get(f"/datasets/{part(slug)}/versions/{part(number)}"))

    def add_version(
        self, slug: str, file: Path, *, source: str = "", key: str | None = None
    ) -> Record:
        """Register a CSV or Parquet file as the next version; once for each ``key``."""
        path = f"/datasets/{part(slug)}/versions"
        return record(self.http.upload(path, file, key=key, source=source))

    def download(self, slug: str, number: int, target: Path) -> Path:
        """Fetch a version's content, where the terms admit it; the read is logged."""
        return self.http.download(f"/datasets/{part(slug)}/versions/{part(number)}/content", target)

    def propose(self, slug: str, *, consumer: str, purpose: str, days: int) -> Record:
        """Offer terms of use to an organisation."""
        body = {"consumer": consumer, "purpose": purpose, "days": days}
        return record(self.http.post(f"/datasets/{part(slug)}/agreements", body))

    def accept_terms(self, slug: str, *, organisation: str, purpose: str, days: int) -> Record:
        """Accept its standing terms for an organisation."""
        body = {"organisation": organisation, "purpose": purpose, "days": days}
        return record(self.http.post(f"/datasets/{part(slug)}/accept-terms", body))


class Agreements(Subject):
    """Agreements on the use of datasets."""

    def list(self, *, dataset: str | None = None) -> Iterator[Record]:
        """Agreements of the caller's organisations, or those on one dataset."""
        return self.http.pages("/agreements", dataset=dataset)

    def get(self, agreement_id: str) -> Record:
        """An agreement."""
        return record(self.http.get(f"/agreements/{part(agreement_id)}"))

    def accept(self, agreement_id: str) -> Record:
        """Accept the terms, for the consumer."""
        return record(self.http.post(f"/agreements/{part(agreement_id)}/accept"))

    def end(self, agreement_id: str) -> Record:
        """End it, for either side."""
        return record(self.http.post(f"/agreements/{part(agreement_id)}/end"))
