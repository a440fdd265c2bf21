"""Ports for daemons of tests."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence

# Below those that the kernel gives to outgoing connections: what is free now is so when the daemon
# starts, however many browsers and clients run beside it.
_RANGE = range(20_000, 32_000)


def free_ports(names: Sequence[str]) -> dict[str, int]:
    """A free loopback port for each name."""
    found: dict[str, int] = {}
    for port in random.sample(_RANGE, len(_RANGE)):
        if len(found) == len(names):
            break
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found[names[len(found)]] = port
    assert len(found) == len(names), "no machine has all of these in use"
    return found
