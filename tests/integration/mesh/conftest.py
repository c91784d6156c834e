"""A mesh of a session's own on its servers: applied, run in the background, emptied between tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from infra.apply.installation import Installation
from infra.apply.steps import apply
from infra.environment import Environment
from infra.replay.forget import forget, forget_topics
from infra.run import background
from infra.run.ready import start_workers

SAMPLES = Path(__file__).parents[4] / "shared" / "samples"
MUNICIPALITIES = ("012033", "131041", "131130", "141097", "473812")
TIMEOUT_S = 30.0


class Mesh:
    """Servers and an installation on them."""

    def __init__(self, environment: Environment, folder: Path) -> None:
        self.environment, self.installation = environment, Installation(folder)

    def begin_anew(self, workers: int) -> None:
        """Nothing handed over, nothing derived; so many workers of each step, ready."""
        background.stop(self.installation)
        forget(self.environment, self.installation)
        client = AdminClient({**self.environment.kafka("admin")})
        known = client.list_topics(timeout=TIMEOUT_S).topics
        forget_topics(client, [name for name in known if name.startswith("in.")])
        apply(self.environment, self.installation, MUNICIPALITIES)
        start_workers(self.environment, self.installation, workers)


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
        mesh = Mesh(environment, folder)
        apply(environment, mesh.installation, MUNICIPALITIES)
        try:
            yield mesh
        finally:
            background.stop(mesh.installation)
