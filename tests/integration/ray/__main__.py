"""Run a Ray cluster of one node until interrupted; see the package's docstring."""

from __future__ import annotations

from tests.integration import serve
from tests.integration.ray.cluster import cluster

if __name__ == "__main__":
    serve(cluster, lambda head: f"{head.url}, token in {head.token_file}")
