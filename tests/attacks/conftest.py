"""The servers of attacks that need some: those of the integration tests, emptied."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.cluster import IntegrationCluster, selected
from tests.integration.conftest import servers

__all__ = ["servers"]


@pytest.fixture
def cluster(servers: IntegrationCluster) -> Iterator[IntegrationCluster]:
    """Yield the session's servers as the previous test left them; a test that needs them empty empties them."""
    with selected(servers):
        yield servers


@pytest.fixture(scope="module")
def emptied() -> list[IntegrationCluster]:
    """Return the list of servers that this module has emptied."""
    return []


@pytest.fixture
def applied(cluster: IntegrationCluster, emptied: list[IntegrationCluster]) -> IntegrationCluster:
    """Return servers with all declarations applied, emptied once per module; no worker runs."""
    if emptied:
        cluster.ensure_up()
    else:
        cluster.reset()
        emptied.append(cluster)
    return cluster
