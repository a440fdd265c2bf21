"""The ``haihe`` command: sets Django up, then hands over to the command line.

What stands in the way before the command line is there (a wrong setting, a home that cannot be
written) is said in English, because the catalogue of messages is not loaded yet.
"""

from __future__ import annotations

import os
import sys
import tomllib

from pydantic import ValidationError
from pydantic_settings import SettingsError

from haihe.kernel.errors import HaiheError

WRONG_SETTINGS, UNAVAILABLE = 2, 8


def main() -> None:
    """Run the command line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "haihe.app.settings")
    import django

    try:
        django.setup()
    except ValidationError as error:
        _end(WRONG_SETTINGS, *(_sentence(item["loc"], item["msg"]) for item in error.errors()))
    except SettingsError as error:
        _end(WRONG_SETTINGS, f"A setting is not read: {error}")
    except tomllib.TOMLDecodeError as error:
        _end(WRONG_SETTINGS, f"The settings file is no TOML: {error}")
    except HaiheError as error:
        _end(UNAVAILABLE, f"{error.code}: {error}")
    from haihe.cli.main import main as command_line

    command_line()


def _sentence(place: tuple[int | str, ...], rule: str) -> str:
    """The value is not repeated: it may be a secret."""
    name = ".".join(str(part) for part in place)
    return f"Setting {name} (HAIHE_{str(place[0]).upper()}): {rule}"


def _end(code: int, *lines: str) -> None:
    sys.stderr.write("".join(line + "\n" for line in lines))
    sys.exit(code)


if __name__ == "__main__":
    main()
