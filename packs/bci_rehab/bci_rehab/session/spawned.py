"""Starts a function in a fresh process that imports nothing but what the function needs.

``multiprocessing`` would import the session's main module there as well: a whole web application,
seconds of work, in a process whose task is to be small and ready. What to run comes pickled over
standard input, from the parent alone.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

Process = subprocess.Popen[bytes]


def start(target: Callable[..., None], *arguments: Any, pass_fds: Sequence[int] = ()) -> Process:
    """Run ``target(*arguments)`` in a new process; both must be picklable.

    ``pass_fds`` are open file descriptors that the process keeps under the same numbers.
    """
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        pass_fds=pass_fds,
    )
    assert process.stdin is not None
    with process.stdin as pipe:
        pickle.dump(sys.path, pipe)
        pickle.dump((target, arguments), pipe)
    return process


def end(process: Process, *, within_s: float, politely: bool = True) -> bool:
    """End a process and reap it; whether it went by itself when asked."""
    if politely:
        process.terminate()
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            pass  # it is stuck or stopped; what follows it cannot refuse
        else:
            return True
    process.kill()
    process.wait()
    return False


def _main() -> None:
    # The parent's search path, so that what it could import can be unpickled here.
    sys.path[:] = pickle.load(sys.stdin.buffer)  # noqa: S301 - our parent's own words
    target, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301
    target(*arguments)


if __name__ == "__main__":
    _main()
