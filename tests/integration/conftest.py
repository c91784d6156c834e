"""The servers of the integration tests: given ones, containers where Docker answers, else the local stack.

Given ones are named by MESH_TEST_SECRETS, MESH_TEST_KAFKA_BOOTSTRAP, MESH_TEST_REGISTRY_URL and MESH_TEST_DATABASE_URL,
with the meaning of the MESH_* settings of the same names.
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
from tests.integration.cluster import IntegrationCluster, running

GIVEN = ("SECRETS", "KAFKA_BOOTSTRAP", "REGISTRY_URL", "DATABASE_URL")


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Servers with the first users and nothing else, for the whole session."""
    if os.environ.get("MESH_TEST_KAFKA_BOOTSTRAP"):
        yield _given()
        return
    folder = tmp_path_factory.mktemp("mesh-home") / "home"
    servers = containers.running(folder) if containers.docker_answers() else _local(folder)
    yield from servers


def _given() -> Environment:
    with pytest.MonkeyPatch.context() as patch:
        for name in GIVEN:
            patch.setenv(f"MESH_{name}", os.environ[f"MESH_TEST_{name}"])
        return Environment.load()


def _local(folder: Path) -> Iterator[Environment]:
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
    """Servers that tests empty, stop and freeze, apart from those of `environment`; not started yet.

    Tests share them, and no state: each, or each module, empties them first.
    """
    with running(tmp_path_factory.mktemp("servers") / "home", lambda: request.session.testsfailed) as found:
        yield found
