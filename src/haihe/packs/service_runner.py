"""Runs one service of a pack in the pack's environment: no database, no Django.

    python -m haihe.packs.service_runner --pack NAME --service NAME [--tied]

``--tied`` is for whoever starts it as a child: it ends when its standard input does, which the
kernel sees to however the parent dies. What ends it otherwise is kept beside its socket.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

from haihe.kernel.errors import HaiheError
from haihe.kernel.logs import configure_logs
from haihe.kernel.settings import load_settings
from haihe.packs.discovery import PackSource, find_pack
from haihe.packs.domain import ServiceRule
from haihe.packs.environments import enter, environment_of
from haihe.packs.errors import ServiceUnknown
from haihe.packs.serving import STOP_LIMIT_S, ServiceContext, note_failure, serve

FAILED, REFUSED = 1, 2
MODULE = "haihe.packs.service_runner"
log = logging.getLogger("haihe.service")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; the exit status."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description="Run a service.")
    parser.add_argument("--pack", required=True, help="name of an installed pack, or its folder")
    parser.add_argument("--service", required=True, help="its name in the manifest")
    parser.add_argument("--tied", action="store_true", help="end with the standard input")
    parser.add_argument("--here", action="store_true", help="with this very interpreter")
    options = parser.parse_args(arguments)
    configure_logs(load_settings())
    if options.tied:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        return run_service(find_pack(options.pack), options.service, here=options.here)
    except HaiheError as error:
        sys.stderr.write(f"{error.code}: {error}\n")
        return REFUSED


def run_service(source: PackSource, name: str, *, here: bool = False) -> int:
    """Run a service of a pack, in the pack's environment if it has one, until it is told to end.

    With ``here`` it runs with the libraries of this interpreter, wherever that is.

    Raises
    ------
    ServiceUnknown
        If the manifest names no such service.
    ServiceRunning
        If it is running already.
    """
    rule, context = rule_of(source, name), context_of(source, name)
    environment = environment_of(source, load_settings().environments_folder)
    if environment is not None and not here:
        enter(environment, ["-m", MODULE, "--pack", reference(source), "--service", name])
    try:
        make = source.load_object(rule.entry)
        asyncio.run(serve(make, context))
    except HaiheError as error:
        note_failure(context, f"{error.code}: {error}")
        raise
    except Exception as error:
        log.exception("service %s.%s failed", source.name, name)
        note_failure(context, f"{type(error).__name__}: {error}")
        return FAILED
    return 0


def rule_of(source: PackSource, name: str) -> ServiceRule:
    """What the manifest says of a service."""
    rule = source.manifest().services.get(name)
    if rule is None:
        raise ServiceUnknown(pack=source.name, service=name)
    return rule


def context_of(source: PackSource, name: str) -> ServiceContext:
    """What a service is told, in the home of this installation."""
    home = load_settings().home.resolve() / "packs" / source.name
    return ServiceContext(pack=source.name, name=name, home=home)


def reference(source: PackSource) -> str:
    """What another process finds the pack by."""
    return str(source.checkout or source.name)


def _end_with_parent() -> None:
    """Wait for the end of the standard input, then end: as asked first, and then at once."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(2 * STOP_LIMIT_S)
    os._exit(FAILED)


if __name__ == "__main__":
    sys.exit(main())
