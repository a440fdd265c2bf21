"""A running Ray."""

from __future__ import annotations

import pytest

from tests.integration.ray import cluster as clusters
from tests.integration.shared import shared


@pytest.fixture
def head(request: pytest.FixtureRequest) -> clusters.Cluster:
    """The session's cluster."""
    return shared(request.config, clusters.cluster)
