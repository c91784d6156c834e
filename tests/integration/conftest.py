"""The servers of the integration tests: existing ones, containers if Docker is available, else the local stack.

Existing servers are configured by MESH_TEST_SECRETS, MESH_TEST_KAFKA_BOOTSTRAP, MESH_TEST_REGISTRY_URL and
MESH_TEST_DATABASE_URL, with the meaning of the MESH_* settings of the same names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.environment import Environment
from infra.local.home import Home
from infra.local.stack import Stack
from tests.integration import containers
from tests.integration.cluster import IntegrationCluster, created_in

#: The servers of this session, once a test has asked for them.
SERVERS = pytest.StashKey[IntegrationCluster]()
SETTINGS = ("SECRETS", "KAFKA_BOOTSTRAP", "REGISTRY_URL", "DATABASE_URL")


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Yield servers with the first users and nothing else, shared by the session."""
    if os.environ.get("MESH_TEST_KAFKA_BOOTSTRAP"):
        yield _existing_servers()
        return
    folder = tmp_path_factory.mktemp("mesh-home") / "home"
    yield from containers.running(folder) if containers.docker_available() else _local_stack(folder)


def _existing_servers() -> Environment:
    with pytest.MonkeyPatch.context() as patch:
        for name in SETTINGS:
            patch.setenv(f"MESH_{name}", os.environ[f"MESH_TEST_{name}"])
        return Environment.load()


def _local_stack(folder: Path) -> Iterator[Environment]:
    stack = Stack(Home(folder))
    try:
        stack.up()
        yield Environment.of_stack(stack.home)
    finally:
        stack.reset()


@pytest.fixture(scope="session")
def servers(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[IntegrationCluster]:
    """Yield servers that tests empty, stop and freeze, apart from those of `environment`; not started yet.

    Tests share the servers but no data: each test, or each module, empties them first. A folder of tests beside this
    one imports this fixture; it is another fixture for pytest then, but has the same servers.
    """
    if SERVERS in request.config.stash:
        yield request.config.stash[SERVERS]
        return
    folder = tmp_path_factory.mktemp("servers") / "home"
    with created_in(folder, lambda: request.session.testsfailed) as cluster:
        request.config.stash[SERVERS] = cluster
        yield cluster
