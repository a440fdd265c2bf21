"""Contracts, quotes and jobs over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote as escape

from haihe.client.http import Record
from haihe.client.subjects import Subject, part, record

Progress = Callable[[str, int, int], object]
FINAL_STATES = frozenset({"succeeded", "failed", "cancelled"})


class JobTimeout(Exception):
    """A job had not ended when the caller's patience had; it goes on."""


class Contracts(Subject):
    """Compute contracts."""

    def list(self, *, number: str | None = None) -> Iterator[Record]:
        """Contracts of the caller's organisations."""
        return self.http.pages("/contracts", number=number)

    def get(self, contract_id: str) -> Record:
        """A contract, and what is committed of it."""
        return record(self.http.get(f"/contracts/{part(contract_id)}"))

    def create(self, **terms: Any) -> Record:
        """Draw up a contract for its buyer."""
        return record(self.http.post("/contracts", terms))

    def sign(self, contract_id: str) -> Record:
        """Sign it, for its provider."""
        return record(self.http.post(f"/contracts/{part(contract_id)}/sign"))


class Quotes(Subject):
    """Priced, explained answers for jobs."""

    def request(
        self,
        *,
        organisation: str,
        spec: Mapping[str, Any],
        contract: str = "",
        files: Mapping[str, Path] | None = None,
        on_progress: Progress | None = None,
    ) -> Record:
        """Price a job at its limits on every pool. Nothing is held yet.

        ``files`` are sent first: the job finds each where it works, under the path that it has
        here. ``on_progress(path, sent, all)`` is told of their bytes.
        """
        sent = [
            {"path": path, "sha256": self._send(path, file, organisation, on_progress)}
            for path, file in (files or {}).items()
        ]
        wanted = {**spec, "files": [*spec.get("files", ()), *sent]}
        body = {"organisation": organisation, "spec": wanted, "contract": contract}
        return record(self.http.post("/quotes", body))

    def _send(self, path: str, file: Path, organisation: str, on_progress: Progress | None) -> str:
        told = partial(on_progress, path) if on_progress else None
        kept = self.http.upload("/files", file, on_bytes=told, organisation=organisation)
        return str(kept["sha256"])

    def get(self, quote_id: str) -> Record:
        """A quote."""
        return record(self.http.get(f"/quotes/{part(quote_id)}"))


class Jobs(Subject):
    """Work that an organisation pays for."""

    def submit(self, quote_id: str, *, priority: int = 0, key: str | None = None) -> Record:
        """Accept a quote: hold its funds and queue the job."""
        return record(
            self.http.post("/jobs", {"quote_id": quote_id, "priority": priority}, key=key)
        )

    def list(self, *, quote: str | None = None) -> Iterator[Record]:
        """The newest jobs first; of one quote, the jobs of an array."""
        return self.http.pages("/jobs", quote=quote)

    def get(self, job_id: str) -> Record:
        """A job with its attempts, usage and bill."""
        return record(self.http.get(f"/jobs/{part(job_id)}"))

    def explain(self, job_id: str) -> Record:
        """Why it is where it is, or why it waits: every centre with every term."""
        return record(self.http.get(f"/jobs/{part(job_id)}/explanation"))

    def cancel(self, job_id: str) -> Record:
        """Ask for its end."""
        return record(self.http.post(f"/jobs/{part(job_id)}/cancel"))

    def cancel_array(self, job_id: str) -> int:
        """Ask for the end of all jobs of its array; how many that were."""
        return int(self.http.post(f"/jobs/{part(job_id)}/cancel-array")["cancelled"])

    def log(self, job_id: str, *, offset: int = 0) -> Record:
        """What it printed, from a byte on: ``text`` and ``next_offset``."""
        return record(self.http.get(f"/jobs/{part(job_id)}/log", offset=offset))

    def wait(
        self,
        job_id: str,
        *,
        on_log: Callable[[str], object] | None = None,
        pause_s: float = 1.0,
        timeout_s: float = 86_400.0,
    ) -> Record:
        """Wait until a job has ended, handing on what it prints.

        Raises
        ------
        JobTimeout
            If it has not ended after ``timeout_s``; the job itself goes on.
        """
        deadline, offset = time.monotonic() + timeout_s, 0
        while True:
            job = self.get(job_id)
            if on_log is not None:
                offset = self._hand_on(job_id, offset, on_log)
            if job["state"] in FINAL_STATES:
                return job
            if time.monotonic() > deadline:
                raise JobTimeout(f"job {job_id} is still {job['state']} after {timeout_s} s")
            time.sleep(pause_s)

    def files(self, job_id: str) -> Sequence[Record]:
        """The files that the newest attempt wrote."""
        return list(self.http.get(f"/jobs/{part(job_id)}/files"))

    def download(
        self, job_id: str, path: str, target: Path, *, on_progress: Progress | None = None
    ) -> Path:
        """Fetch one of its files; ``on_progress(path, received, all)`` is told of its bytes."""
        told = partial(on_progress, path) if on_progress else None
        return self.http.download(
            f"/jobs/{part(job_id)}/files/{escape(path)}", target, on_bytes=told
        )

    def _hand_on(self, job_id: str, offset: int, on_log: Callable[[str], object]) -> int:
        while True:
            piece = self.log(job_id, offset=offset)
            if piece["next_offset"] == offset:
                return offset
            on_log(piece["text"])
            offset = int(piece["next_offset"])
