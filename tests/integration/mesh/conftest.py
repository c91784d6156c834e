"""An installation of a session's own on its servers: applied, no worker runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from infra.apply.installation import Installation
from infra.apply.reconcile import apply
from infra.environment import Environment

MUNICIPALITIES = ("012033", "131041", "131130", "141097", "473812")


@dataclass(frozen=True)
class Mesh:
    """Servers and an installation on them."""

    environment: Environment
    installation: Installation


@pytest.fixture(scope="session")
def mesh(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Applied for five municipalities; no workers run yet. Commands and workers find it by MESH_* settings."""
    folder = tmp_path_factory.mktemp("mesh-installation")
    place = f"{environment.database_host}:{environment.database_port}/{environment.database_name}"
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("MESH_")]:
            patch.delenv(name)
        patch.setenv("MESH_HOME", str(folder))
        patch.setenv("MESH_SECRETS", str(environment.secrets_file))
        patch.setenv("MESH_KAFKA_BOOTSTRAP", environment.bootstrap)
        patch.setenv("MESH_KAFKA_SECURITY_PROTOCOL", environment.security_protocol)
        patch.setenv("MESH_KAFKA_SASL_MECHANISM", environment.sasl_mechanism)
        patch.setenv("MESH_REGISTRY_URL", environment.registry_url)
        patch.setenv("MESH_DATABASE_URL", f"postgresql://{place}")
        mesh = Mesh(environment, Installation(folder))
        apply(environment, mesh.installation, MUNICIPALITIES)
        yield mesh
