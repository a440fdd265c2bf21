"""A real Ray for tests: the head of a cluster of one node, in a temporary folder, on loopback.

    python -m tests.integration.ray

runs it until it is interrupted, and prints its address. Tests take
:func:`tests.integration.ray.cluster.cluster`.
"""

from __future__ import annotations

# The first version that asks for a token.
PACKAGES = ("ray[default]>=2.52",)
INSTALL = f"uv pip install '{PACKAGES[0]}'"
