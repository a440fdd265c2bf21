"""What a job's user, who owns a job's folders at the centre, cannot make the agent do."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from haihe.compute.agent.http_link import HttpLink
from haihe.compute.agent.messages import FileItem, Order
from haihe.compute.agent.plain_files import files_below
from haihe.compute.errors import PlatformRefused

SECRET, CONTENT = b"root:secret", b"the job's own"


def link(answer: Callable[[httpx.Request], httpx.Response]) -> HttpLink:
    return HttpLink(
        "http://localhost",
        agent_id=str(uuid4()),
        key=Ed25519PrivateKey.generate(),
        transport=httpx.MockTransport(answer),
    )


def order(*paths: str) -> Order:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    return Order(
        attempt_id=uuid4(), job_id=uuid4(), number=1, pool="p", name="j", command=["true"],
        environment={}, cpu_milli=1, cpu_limit_s=1, memory_bytes=1, wall_s=1, output_bytes=1,
        files=[FileItem(path=path, sha256=sha256) for path in paths],
    )  # fmt: skip


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of the agent's machine that no job may read or change."""
    path = tmp_path / "victim"
    path.write_bytes(SECRET)
    return path


def test_inputs_are_brought_once_and_no_link_is_written_through(
    tmp_path: Path, victim: Path
) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, content=CONTENT)

    folder, wanted, agent = tmp_path / "job", order("sub/job.txt"), link(answer)
    agent.fetch_inputs(wanted, folder)
    assert (folder / "work" / "sub" / "job.txt").read_bytes() == CONTENT
    # From its first submission on the job's user owns ``work``, and the order may stay ready.
    shutil.rmtree(folder / "work" / "sub")
    (folder / "work" / "sub").symlink_to(tmp_path)
    (folder / "work" / ".job.txt.part").symlink_to(victim)
    agent.fetch_inputs(wanted, folder)
    assert victim.read_bytes() == SECRET
    assert not (tmp_path / "job.txt").exists()
    assert len(asked) == 1


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "a//b", "."])
def test_the_platform_chooses_no_place_outside_a_job(tmp_path: Path, path: str) -> None:
    agent = link(lambda _: httpx.Response(200, content=CONTENT))
    with pytest.raises(PlatformRefused):
        agent.fetch_inputs(order(path), tmp_path / "a" / "job")
    assert not list(tmp_path.rglob("x"))


def test_an_output_that_becomes_a_link_while_others_are_sent_is_not_followed(
    tmp_path: Path, victim: Path
) -> None:
    outputs = tmp_path / "job" / "outputs"
    (outputs / "d").mkdir(parents=True)
    for name in ("a", "b", "d/c"):
        (outputs / name).write_bytes(CONTENT)
    sent: dict[str, bytes] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        if not sent:
            (outputs / "b").unlink()
            (outputs / "b").symlink_to(victim)
            shutil.rmtree(outputs / "d")
            (outputs / "d").symlink_to(tmp_path)
        sent[request.url.path.rpartition("outputs/")[2]] = request.read()
        return httpx.Response(200)

    assert link(answer).send_outputs(uuid4(), tmp_path / "job") == []
    assert sent == {"a": CONTENT}


def test_what_is_no_regular_file_is_left_and_what_lies_too_deep_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "f").write_bytes(b"1")
    (tmp_path / "a" / "b" / "g").write_bytes(b"2")
    assert [(name, file and file.read()) for name, file in files_below(tmp_path, depth=2)] == [
        ("a/b", None),
        ("a/f", b"1"),
    ]
    assert list(files_below(tmp_path / "none", depth=2)) == []


@pytest.fixture
def as_games() -> Callable[[str], str]:
    """Run a shell command as another user of this machine."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user: run as root")

    def act(command: str) -> str:
        done = subprocess.run(
            ["/bin/sh", "-c", command], user="games", check=False, capture_output=True, text=True
        )
        return done.stdout

    return act


def test_a_users_own_links_bring_no_secret_out(
    as_games: Callable[[str], str], tmp_path: Path, victim: Path
) -> None:
    victim.chmod(0o600)
    folder = Path("/tmp") / f"haihe-trust-{UUID(int=os.getpid())}"
    (folder / "outputs").mkdir(parents=True)
    shutil.chown(folder / "outputs", "games")
    try:
        as_games(f"ln -s {victim} {folder}/outputs/x; echo mine > {folder}/outputs/y")
        sent: list[bytes] = []

        def answer(request: httpx.Request) -> httpx.Response:
            sent.append(request.read())
            return httpx.Response(200)

        link(answer).send_outputs(uuid4(), folder)
        assert sent == [b"mine\n"]
    finally:
        shutil.rmtree(folder)
