"""Run a Ray cluster of one node until interrupted; see the package's docstring."""

from __future__ import annotations

from collections.abc import Mapping

from tests.integration import serve
from tests.integration.ray.cluster import Cluster, cluster


def pool(head: Cluster) -> Mapping[str, object]:
    """How an agent on this machine reaches it."""
    return {"backend": "ray", "url": head.url, "token_file": head.token_file}


if __name__ == "__main__":
    serve(cluster, lambda head: f"{head.url}, token in {head.token_file}", pool)
