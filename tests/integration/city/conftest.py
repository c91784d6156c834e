"""The cluster of each test of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.cluster import IntegrationCluster, selected


@pytest.fixture
def cluster(servers: IntegrationCluster) -> Iterator[IntegrationCluster]:
    """Yield the session's servers as the previous test left them; a test that needs them empty empties them."""
    with selected(servers):
        yield servers
