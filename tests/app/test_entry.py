"""The command before there is a command line: what is wrong with the machine is said in words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = [sys.executable, "-c", "from haihe.app.entry import main; main()"]


def haihe(home: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """The exit code of a command and what it printed to both streams."""
    variables = {
        **os.environ,
        "HAIHE_HOME": str(home),
        "HAIHE_CONFIG": os.devnull,
        "HAIHE_CLI_LANGUAGE": "en",
        "HAIHE_DATABASE_URL": "",
        "DJANGO_SETTINGS_MODULE": "haihe.app.settings",
        **environment,
    }
    done = subprocess.run(
        [*RUN, *arguments], env=variables, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    return done.returncode, said


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HAIHE_PORT", "many"),
        ("HAIHE_OIDC", "{hush"),
        ("HAIHE_LANGUAGE", "hush"),
        ("HAIHE_DATABASE_URL", "mysql://ann:hush@db/x"),
        ("HAIHE_EMAIL_URL", "smpt://ann:hush@mail.example"),
        ("HAIHE_TIME_ZONE", "hush"),
        ("HAIHE_PORRT", "hush"),
    ],
)
def test_a_wrong_setting_is_named_and_not_repeated(
    tmp_path: Path, variable: str, value: str
) -> None:
    code, said = haihe(tmp_path, "version", **{variable: value})
    assert code == 2
    assert variable.removeprefix("HAIHE_").lower() in said.lower()
    assert value not in said


def test_a_settings_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    file = tmp_path / "haihe.toml"
    file.write_text("port = [")
    code, said = haihe(tmp_path, "version", HAIHE_CONFIG=str(file))
    assert (code, "no TOML" in said) == (2, True)


def test_a_home_that_is_a_file_is_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("")
    code, said = haihe(home, "version")
    assert code == 8
    assert "kernel.storage_unavailable" in said
    assert str(home) in said


def test_a_home_without_a_database_says_how_to_make_one(tmp_path: Path) -> None:
    code, said = haihe(tmp_path, "ledger", "audit")
    assert code == 8
    assert "haihe init" in said


def test_the_settings_are_shown_without_secrets(tmp_path: Path) -> None:
    code, said = haihe(
        tmp_path,
        "settings",
        HAIHE_EMAIL_URL="smtp://ann:hush@mail.example:25",
        HAIHE_SECRET_KEY="hush",
        HAIHE_OIDC='[{"provider_id": "city", "name": "City", "server_url": "https://id.example", '
        '"client_id": "haihe", "secret": "hush"}]',
    )
    assert code == 0
    assert "hush" not in said
    assert "mail.example" in said
    assert "https://id.example" in said
