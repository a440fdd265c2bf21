"""Run a Ray cluster of one node until interrupted; see the package's docstring."""

from __future__ import annotations

import contextlib
import signal

from tests.integration import NotInstalled
from tests.integration.ray.cluster import cluster

if __name__ == "__main__":
    try:
        with cluster() as head, contextlib.suppress(KeyboardInterrupt):
            print(f"{head.url}, token in {head.token_file}", flush=True)
            signal.pause()
    except NotInstalled as error:
        raise SystemExit(str(error)) from None
