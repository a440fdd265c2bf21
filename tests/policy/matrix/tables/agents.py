"""Routes of the agents of centres: a signature opens them, and nobody's role.

What an agent that signs may do is tried in :mod:`tests.compute.network.test_agent`.
"""

from __future__ import annotations

from tests.policy.matrix.rows import Row, get, post, put

_ATTEMPT = {"attempt_id": "attempt"}

SIGNED: list[Row] = [
    post("compute:agent_exchange", body={}),
    get("compute:agent_input", name="output", **_ATTEMPT),
    get("compute:agent_file", sha256="output", **_ATTEMPT),
    put("compute:agent_output", path="output", body={}, **_ATTEMPT),
    put("compute:agent_log", body={}, **_ATTEMPT),
]
