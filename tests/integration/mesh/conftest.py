"""One installation for the session, with all declarations applied; no worker runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from infra.apply.installation import Installation
from infra.apply.reconcile import apply
from infra.environment import Environment
from tests.integration.cluster import MUNICIPALITIES, only_settings


@dataclass(frozen=True)
class Mesh:
    """Servers and an installation on them."""

    environment: Environment
    installation: Installation


@pytest.fixture(scope="session")
def mesh(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Yield an installation for five municipalities, which commands and workers find by MESH_* settings."""
    folder = tmp_path_factory.mktemp("mesh-installation")
    database = f"{environment.database_host}:{environment.database_port}/{environment.database_name}"
    settings = {
        "MESH_HOME": str(folder),
        "MESH_SECRETS": str(environment.secrets_file),
        "MESH_KAFKA_BOOTSTRAP": environment.bootstrap,
        "MESH_KAFKA_SECURITY_PROTOCOL": environment.security_protocol,
        "MESH_KAFKA_SASL_MECHANISM": environment.sasl_mechanism,
        "MESH_REGISTRY_URL": environment.registry_url,
        "MESH_DATABASE_URL": f"postgresql://{database}",
    }
    with only_settings(settings):
        mesh = Mesh(environment, Installation(folder))
        apply(environment, mesh.installation, MUNICIPALITIES)
        yield mesh
