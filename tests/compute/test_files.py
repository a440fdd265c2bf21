"""Files that people bring to their jobs: found where the job works, and nobody else's."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from haihe.compute.errors import BadJobSpec
from haihe.compute.models import Job, JobFile
from haihe.compute.services import files, jobs
from haihe.compute.services.files import forget_files, keep_file
from haihe.kernel.clock import now
from haihe.kernel.errors import FileTooLarge, InvalidField, MissingRecord
from haihe.kernel.settings import load_settings
from haihe.policy.errors import NotAllowed
from tests.callers import Caller, haihe, said
from tests.compute.factories import make_job, run_job, run_jobs
from tests.sides import Side

pytestmark = pytest.mark.django_db
SCRIPT = b"import data.words\nprint(data.words.HELLO)\n"
WORDS = "HELLO = '你好'\n".encode()


def bring(side: Side, content: bytes, organisation: str = "firm") -> str:
    return keep_file(side.member, [content], organisation=organisation).sha256


def named(**contents: str) -> list[dict[str, str]]:
    return [{"path": path, "sha256": sha256} for path, sha256 in contents.items()]


def test_a_job_finds_its_files_where_it_works(firm: Side) -> None:
    wanted = [
        {"path": "run.py", "sha256": bring(firm, SCRIPT)},
        {"path": "data/words.py", "sha256": bring(firm, WORDS)},
    ]
    job = run_job(firm.member, "python3", "run.py", files=wanted)
    assert jobs.read_log(firm.member, job.pk).text == "你好\n"
    [facts] = job.quote.comparison["facts"]["pools"]
    assert facts["bytes_to_move"] == len(SCRIPT) + len(WORDS)


def test_the_same_content_is_kept_once_and_another_firm_cannot_name_it(
    firm: Side, stranger: Side
) -> None:
    sha256 = bring(firm, SCRIPT)
    assert bring(firm, SCRIPT) == sha256 == hashlib.sha256(SCRIPT).hexdigest()
    assert JobFile.objects.count() == 1
    with pytest.raises(MissingRecord):
        make_job(stranger.member, organisation="stranger", files=named(x=sha256))
    with pytest.raises(NotAllowed):
        bring(stranger, SCRIPT)


def test_what_was_not_uploaded_is_named(firm: Side) -> None:
    with pytest.raises(MissingRecord, match=r"run.py \(0{64}\)"):
        make_job(firm.member, files=[{"path": "run.py", "sha256": "0" * 64}])
    with pytest.raises(BadJobSpec, match="relative path"):
        make_job(firm.member, files=[{"path": "../run.py", "sha256": "0" * 64}])


def test_damage_is_found_before_the_job_starts(firm: Side) -> None:
    sha256 = bring(firm, SCRIPT)
    job = make_job(firm.member, files=[{"path": "run.py", "sha256": sha256}])
    kept = files.file_store().path(sha256)
    kept.chmod(0o600)
    kept.write_bytes(b"print('evil')\n")
    run_jobs()
    job.refresh_from_db()
    assert (job.state, job.end_reason) == ("failed", "not-started")
    assert "Upload it again" in job.message


def test_a_file_above_the_limit_is_refused(firm: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAIHE_UPLOAD_LIMIT_BYTES", "10")
    load_settings.cache_clear()
    with pytest.raises(FileTooLarge):
        bring(firm, SCRIPT)
    assert not JobFile.objects.exists()
    assert not [path for path in files.file_store().folder.rglob("*") if path.is_file()]


def test_files_are_forgotten_after_a_month_unless_a_job_waits_for_them(firm: Side) -> None:
    used, unused = bring(firm, SCRIPT), bring(firm, WORDS)
    make_job(firm.member, files=[{"path": "run.py", "sha256": used}])
    assert forget_files(now()).startswith("0 files")
    assert forget_files(now() + timedelta(days=31)).startswith("1 files")
    assert files.file_store().path(used).exists()
    assert not files.file_store().path(unused).exists()


def test_the_same_job_from_a_file_and_over_http(firm: Side, tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_bytes(SCRIPT)
    words = tmp_path / "words.py"
    words.write_bytes(WORDS)
    order = tmp_path / "job.yaml"
    order.write_text(
        f"""
organisation: firm
name: hello
command: [python3, run.py]
memory_bytes: 536870912
files:
  - {{path: run.py, from: {script}}}
"""
    )
    submitted = said(
        haihe("job", "submit", order, "--file", f"data/words.py={words}", "--file", script,
              "--yes", "--json", caller=firm.member)
    )  # fmt: skip
    caller = Caller(firm.member)
    sent = [
        caller.upload("/files", organisation="firm", file=SimpleUploadedFile("f", content))
        for content in (SCRIPT, WORDS)
    ]
    spec = {
        "name": "hello",
        "command": ["python3", "run.py"],
        "memory_bytes": 536_870_912,
        "files": [
            {"path": path, "sha256": answer.json()["sha256"]}
            for path, answer in zip(("run.py", "data/words.py"), sent, strict=True)
        ],
    }
    quote = caller.post("/quotes", {"organisation": "firm", "spec": spec}).json()
    posted = caller.post("/jobs", {"quote_id": quote["id"]}).json()
    first, second = (Job.objects.get(pk=one["id"]).quote.spec for one in (submitted, posted))
    assert sorted(first.files, key=lambda ref: ref.path) == sorted(
        second.files, key=lambda ref: ref.path
    )
    assert (first.name, first.command) == (second.name, second.command)
    missing = haihe(
        "job", "submit", order, "--file", tmp_path / "none", "--yes", caller=firm.member
    )
    assert isinstance(missing.exception, BadJobSpec)


def test_all_results_come_into_a_folder(firm: Side, tmp_path: Path) -> None:
    job = run_job(
        firm.member, "sh", "-c", "cd $HAIHE_OUTPUTS && mkdir d && echo 1 > d/a; echo 2 >b"
    )
    got = said(haihe("job", "get", job.pk, "--to", tmp_path / "r", "--json", caller=firm.member))
    assert sorted(item["path"] for item in got["items"]) == ["b", "d/a"]
    assert (tmp_path / "r" / "d" / "a").read_text() == "1\n"
    again = haihe("job", "get", job.pk, "--to", tmp_path / "r", caller=firm.member)
    assert isinstance(again.exception, InvalidField)
