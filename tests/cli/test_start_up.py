"""What every call of the command line pays before it does anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HEAVY = ["scipy", "sklearn", "xlsxwriter"]
COMMANDS = [
    ["--help"], ["version"], ["init"], ["settings"], ["plan", "list"], ["job", "list"],
    ["packs", "list"], ["ledger", "audit"],
]  # fmt: skip
CALL_EACH = """
import json, sys
from haihe.app.entry import main
commands, heavy = map(json.loads, sys.argv[1:])
for command in commands:
    sys.argv = ["haihe", *command]
    try:
        main()
    except SystemExit as end:
        assert not end.code, (command, end.code)
    loaded = [name for name in heavy if name in sys.modules]
    assert not loaded, (command, loaded)
"""


def test_common_commands_load_no_library_that_takes_seconds(tmp_path: Path) -> None:
    environment = {**os.environ, "HAIHE_HOME": str(tmp_path), "HAIHE_DATABASE_URL": ""}
    done = subprocess.run(
        [sys.executable, "-c", CALL_EACH, json.dumps(COMMANDS), json.dumps(HEAVY)],
        env=environment,
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
