"""Each test of this folder begins anew on the session's servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.cluster import IntegrationCluster, named


@pytest.fixture
def place(servers: IntegrationCluster) -> Iterator[IntegrationCluster]:
    """The session's servers as the test before left them; a test that needs them empty begins anew."""
    with named(servers):
        yield servers
