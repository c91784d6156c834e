"""The servers of the Java clients: those of the integration tests, with one notice in every store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.city.test_agencies import NOTICE
from tests.integration.city.test_client_files import SUBMITTER, abort_a_record, submit, write_files
from tests.integration.cluster import IntegrationCluster, selected
from tests.integration.conftest import servers
from tests.interop.jars import class_path

__all__ = ["servers"]


@pytest.fixture(scope="session")
def jars() -> str:
    """Return the class path of the Java clients."""
    return class_path()


@pytest.fixture(scope="module")
def notice_applied(
    servers: IntegrationCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[IntegrationCluster]:
    """Yield servers on which a submitted notice has reached every domain's topic, before an aborted record."""
    folder = tmp_path_factory.mktemp("interop") / "register"
    with selected(servers) as cluster:
        cluster.start_empty()
        write_files(cluster, "python", SUBMITTER, folder)
        assert submit(folder, NOTICE).returncode == 0
        cluster.wait_idle()
        abort_a_record(cluster)
        yield cluster
