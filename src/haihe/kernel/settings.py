"""Settings: one table, read from the environment first, then from one TOML file.

``HAIHE_<NAME>`` wins over ``<name>`` in the file named by ``HAIHE_CONFIG`` (default
``haihe.toml`` in the working folder). Every field carries its description; ``haihe settings`` and
the reference page print this table, and a test fails on a field without a description.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

CONFIG_VARIABLE = "HAIHE_CONFIG"


class OidcProvider(BaseModel):
    """One OpenID Connect provider that people may sign in with."""

    provider_id: str = Field(pattern=r"^[a-z0-9-]{1,30}$")
    name: str
    server_url: str
    client_id: str
    secret: SecretStr


class HaiheSettings(BaseSettings):
    """All settings of an installation."""

    model_config = SettingsConfigDict(env_prefix="HAIHE_", extra="forbid", frozen=True)

    home: Path = Field(
        Path(".haihe"),
        description="Folder for the database, keys, blobs, job folders and logs.",
    )
    database_url: str = Field(
        "",
        description="postgresql://user:password@host:port/name; empty means SQLite in the home.",
    )
    secret_key: SecretStr = Field(
        SecretStr(""),
        description="Signs sessions and links; empty means one made at first start in the home.",
    )
    public_url: str = Field(
        "http://127.0.0.1:8321",
        description="The address people reach the portal at; links in e-mails begin with it.",
    )
    host: str = Field("127.0.0.1", description="Address that `haihe up` listens on.")
    port: int = Field(8321, ge=0, le=65535, description="Port that `haihe up` listens on.")
    allowed_hosts: Annotated[list[str], NoDecode] = Field(
        ["127.0.0.1", "localhost", "[::1]"],
        description="Host names the portal answers to, as a comma-separated list.",
    )
    language: Literal["zh-hans", "en"] = Field(
        "zh-hans", description="Language of pages for people who have not chosen one."
    )
    time_zone: str = Field(
        "Asia/Shanghai", description="Zone in which pages show times; storage is always UTC."
    )
    debug: bool = Field(False, description="Show tracebacks in pages. Never on a shared machine.")
    sign_up: Literal["open", "invitation"] = Field(
        "invitation", description="Who may create an account: anyone, or people with a link."
    )
    oidc: list[OidcProvider] = Field(
        [], description="OpenID Connect providers, each a table in the TOML file."
    )
    email_url: str = Field(
        "console:",
        description="smtp://user:password@host:port, smtps://..., file:FOLDER or console:.",
    )
    email_from: str = Field("haihe@localhost", description="Sender of e-mails.")
    log_format: Literal["console", "json"] = Field(
        "console", description="Log lines for people or for machines."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged."
    )
    job_isolation: Literal["landlock", "off"] = Field(
        "landlock",
        description="Confine local jobs with the kernel's Landlock; 'off' only among people who "
        "trust each other.",
    )
    upload_limit_bytes: int = Field(
        2_000_000_000, ge=1, description="Largest file that may be registered as a dataset version."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file over defaults."""
        toml = TomlConfigSettingsSource(
            settings_cls, Path(os.environ.get(CONFIG_VARIABLE, "haihe.toml"))
        )
        return init_settings, env_settings, toml


@cache
def load_settings() -> HaiheSettings:
    """The installation's settings, read once per process."""
    return HaiheSettings()


def secret_from_home(name: str, *, home: Path) -> str:
    """A random secret kept in ``home/keys/<name>``, readable by its owner only; made if missing."""
    import secrets

    path = home / "keys" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path.read_text().strip()
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(48))
    return path.read_text().strip()
