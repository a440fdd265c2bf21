"""Settings: one table, read from the environment first, then from one TOML file.

``HAIHE_<NAME>`` wins over ``<name>`` in the file named by ``HAIHE_CONFIG`` (default
``haihe.toml`` in the working folder). Every field carries its description; ``haihe settings`` and
the reference page print this table, and a test fails on a field without a description. What is
wrong is refused at the start, a name that nobody knows too: a setting that is silently not there is
found only when it is missed.
"""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from haihe.kernel.errors import StorageUnavailable

CONFIG_VARIABLE = "HAIHE_CONFIG"
PREFIX = "HAIHE_"
# What is no setting of an installation, and read from the environment all the same.
VARIABLES: Mapping[str, str] = {
    CONFIG_VARIABLE: "The TOML file with settings; it must be there.",
    "HAIHE_AS": "E-mail address of the person for whom a command is run, as `--as`.",
    "HAIHE_CLI_LANGUAGE": "Language of the command line, where it is not that of the terminal.",
    "HAIHE_URL": "Address of the platform that an agent or the Python client calls.",
    "HAIHE_TOKEN": "The token that the Python client shows.",
    "HAIHE_CRASH_AT": "For tests: the point, as NAME:N, at which the process dies.",
}
# Told to a job by its back-end; a job may run the command line.
JOB_VARIABLES = frozenset(
    f"HAIHE_{name}"
    for name in ("INPUTS", "OUTPUTS", "JOB_ID", "ATTEMPT_ID", "ARRAY_INDEX", "NODE_INDEX", "NODES")
)
TEST_VARIABLES = frozenset(
    f"HAIHE_{name}"
    for name in ("SHARED", "SEEDS", "TEST_HOME", "TEST_WORKERS", "SCREENSHOTS", "PICTURES")
)
MASK = "**********"


class OidcProvider(BaseModel):
    """One OpenID Connect provider that people may sign in with."""

    provider_id: str = Field(pattern=r"^[a-z0-9-]{1,30}$")
    name: str
    server_url: str
    client_id: str
    secret: SecretStr
    trust_email: bool = Field(
        False,
        description="Take its e-mail addresses for verified although it does not say so.",
    )


class HaiheSettings(BaseSettings):
    """All settings of an installation."""

    model_config = SettingsConfigDict(env_prefix="HAIHE_", extra="forbid", frozen=True)

    home: Path = Field(
        Path(".haihe"),
        description="Folder for the database, keys, blobs and job folders.",
    )
    environments: Path = Field(
        Path(),
        description="Folder for the environments of packs; empty means 'environments' in the home.",
    )
    database_url: str = Field(
        "",
        description="postgresql://user:password@host:port/name; empty means SQLite in the home.",
    )
    secret_key: SecretStr = Field(
        SecretStr(""),
        description="Signs sessions and links; empty means one made at first start in the home.",
    )
    host: str = Field("127.0.0.1", description="Address that `haihe up` listens on.")
    port: int = Field(8321, ge=0, le=65535, description="Port that `haihe up` listens on.")
    public_url: str = Field(
        "",
        validate_default=True,
        description="The address people reach the portal at; links in e-mails begin with it. Empty "
        "means http:// with this machine and `port`.",
    )
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

    disk_minimum_bytes: int = Field(
        500_000_000,
        ge=0,
        description="Room that the disk of the home must have: below it no job is started and "
        "/health/ready says so.",
    )
    idempotency_days: int = Field(
        7,
        ge=1,
        le=366,
        description="Days for which a repeated POST with the same Idempotency-Key gets the answer "
        "of the first.",
    )
    retention_days: int = Field(
        90,
        ge=1,
        le=3_660,
        description="Days after which delivered events, and expired invitations and API tokens, "
        "are removed. Books and evidence are never removed.",
    )

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def split_hosts(cls, given: object) -> object:
        """A comma-separated list, as the environment gives it."""
        if not isinstance(given, str):
            return given
        return [host.strip() for host in given.split(",") if host.strip()]

    @field_validator("database_url")
    @classmethod
    def check_database(cls, url: str) -> str:
        """A PostgreSQL database with its name, or none."""
        parts = _split(url)
        if url and (parts.scheme not in ("postgres", "postgresql") or not parts.path.strip("/")):
            raise ValueError("give postgresql://user:password@host:port/name, or nothing")
        return url

    @field_validator("public_url")
    @classmethod
    def check_public_url(cls, given: str, info: ValidationInfo) -> str:
        """An address that a browser opens; if none is given, where `haihe up` serves the portal."""
        url = given or _own_address(info.data)
        parts = _split(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("give an address that begins with http:// or https://")
        return url

    @field_validator("email_url")
    @classmethod
    def check_email(cls, url: str) -> str:
        """A way of mail that there is: else mail, and the links in it, would go to the output."""
        parts = _split(url)
        known = parts.scheme in ("smtp", "smtps", "file", "console")
        if not known or (parts.scheme.startswith("smtp") and not parts.hostname):
            raise ValueError(
                "give smtp://user:password@host:port, smtps://..., file:... or console:"
            )
        return url

    @field_validator("time_zone")
    @classmethod
    def check_time_zone(cls, name: str) -> str:
        """A zone that this machine knows."""
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError("give a zone of the tz database, such as Asia/Shanghai") from error
        return name

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
        _refuse_unknown_variables()
        named = os.environ.get(CONFIG_VARIABLE, "")
        if named and not Path(named).exists():
            raise SettingsError(f"{CONFIG_VARIABLE} names {named}, and there is no such file")
        toml = TomlConfigSettingsSource(settings_cls, Path(named or "haihe.toml"))
        return init_settings, env_settings, toml

    @property
    def environments_folder(self) -> Path:
        """Where the environments of packs are."""
        return self.home / "environments" if self.environments == Path() else self.environments

    def shown(self) -> dict[str, Any]:
        """Every setting by its name, as JSON, with each secret and password masked."""
        values = self.model_dump(mode="json")
        return {**values, **{name: without_password(values[name]) for name in _URLS}}


def _refuse_unknown_variables() -> None:
    """Refuse a variable that looks like a setting and is none."""
    settings = {f"{PREFIX}{name.upper()}" for name in HaiheSettings.model_fields}
    known = settings | VARIABLES.keys() | JOB_VARIABLES | TEST_VARIABLES
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise SettingsError(
            f"{', '.join(unknown)} names none of them; correct the name, or unset it"
        )


def _own_address(known: dict[str, Any]) -> str:
    """Where the portal is served, if host and port are in order."""
    host = known.get("host", "")
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 (compared, not bound)
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{known.get('port', 0)}"


def _split(url: str) -> SplitResult:
    """The parts of a URL whose port, if any, is a number."""
    parts = urlsplit(url)
    if parts.port == 0:
        raise ValueError("give a port from 1 to 65535")
    return parts


_URLS = ("database_url", "email_url")
# From the colon after the name to the last @: a password with unescaped marks is masked too.
_PASSWORD = re.compile(r"^([^:]*:/*[^:@]*):.*@", re.DOTALL)
_QUERY = re.compile(r"\?.*", re.DOTALL)


def without_password(url: str) -> str:
    """A URL that may be shown: with a mask for its password, and for what a query may hold."""
    return _QUERY.sub(f"?{MASK}", _PASSWORD.sub(rf"\1:{MASK}@", url))


@cache
def load_settings() -> HaiheSettings:
    """The installation's settings, read once per process."""
    return HaiheSettings()


def secret_from_home(name: str, *, home: Path) -> str:
    """A random secret kept in ``home/keys/<name>``, readable by its owner only; made if missing.

    It is put in its place whole: a full disk, or another process at the same moment, leaves no
    half of a secret there.
    """
    path = home / "keys" / name
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _put_once(path, secrets.token_urlsafe(48))
        return path.read_text().strip()
    except OSError as error:
        raise StorageUnavailable(place=str(path), reason=error.strerror or str(error)) from error


def _put_once(path: Path, text: str) -> None:
    """Write a file for its owner only, unless it is there already."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        Path(draft).unlink()
