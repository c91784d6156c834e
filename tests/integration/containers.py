"""The servers in containers, for machines with Docker; their settings are exactly those of the local stack.

The containers share the host's network, so every address is the one in the settings.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from testcontainers.core.container import DockerContainer

from infra.environment import Environment
from infra.local import database, kafka_server, ports, postgres_server, registry_server
from infra.local.home import Home, Ports, StackState, write_private
from infra.local.secrets import Secrets
from infra.local.stack import FIRST_SECRETS, choose_ports

KAFKA_IMAGE = "apache/kafka:4.3.1"
REGISTRY_IMAGE = "apicurio/apicurio-registry:3.3.3"
POSTGRES_IMAGE = "postgres:18.6"
ENGINE_TIMEOUT_S = 10.0
READY_TIMEOUT_S = 180.0
POLL_S = 0.2


def docker_available() -> bool:
    """Return whether a Docker engine answers. A client on the path alone doesn't prove it."""
    client = shutil.which("docker")
    if client is None:
        return False
    command = [client, "version", "--format", "{{.Server.Version}}"]
    try:
        return (
            subprocess.run(command, capture_output=True, timeout=ENGINE_TIMEOUT_S, check=False).returncode
            == 0
        )
    except subprocess.TimeoutExpired:
        return False


def running(folder: Path) -> Iterator[Environment]:
    """Start the servers in `folder`, yield their environment, and remove them."""
    home = Home(folder)
    home.make()
    secrets = Secrets(home.secrets_file)
    secrets.ensure(FIRST_SECRETS)
    server_ports = choose_ports()
    home.save_state(StackState(ports=server_ports, postgres=home.folder / "postgres"))
    with ExitStack() as containers:
        containers.enter_context(_postgres(server_ports, secrets))
        containers.enter_context(_kafka(home, server_ports, secrets))
        _wait("Kafka", lambda: kafka_server.answers(server_ports, secrets))
        kafka_server.grant_registry(server_ports, secrets)
        containers.enter_context(_registry(home, server_ports, secrets))
        _wait("PostgreSQL", lambda: database.answers(server_ports, secrets))
        database.prepare(server_ports, secrets)
        _wait("the registry", lambda: registry_server.answers(server_ports))
        yield _environment(home, server_ports)


def _container(image: str, home: Home) -> DockerContainer:
    host = DockerContainer(image).with_kwargs(network_mode="host", user="0:0")
    return host.with_volume_mapping(str(home.folder), str(home.folder), "rw")


def _kafka(home: Home, server_ports: Ports, secrets: Secrets) -> DockerContainer:
    settings = home.kafka / "server.properties"
    password = secrets.password(kafka_server.ADMIN).get_secret_value()
    write_private(settings, kafka_server.properties(server_ports, Path("/var/lib/mesh"), password).encode())
    users = " ".join(f"--add-scram '{user}'" for user in kafka_server.scram_arguments(secrets))
    script = (
        f"/opt/kafka/bin/kafka-storage.sh format -t {kafka_server.cluster_id()} -c {settings} {users}"
        f" && exec /opt/kafka/bin/kafka-server-start.sh {settings}"
    )
    container = _container(KAFKA_IMAGE, home)
    return container.with_kwargs(network_mode="host", user="0:0", entrypoint=["sh", "-c"]).with_command(
        [script]
    )


def _registry(home: Home, server_ports: Ports, secrets: Secrets) -> DockerContainer:
    settings = home.registry / "application.properties"
    write_private(settings, registry_server.properties(server_ports, secrets, Path("/var/tmp")).encode())  # noqa: S108
    return _container(REGISTRY_IMAGE, home).with_env("QUARKUS_CONFIG_LOCATIONS", str(settings))


def _postgres(server_ports: Ports, secrets: Secrets) -> DockerContainer:
    container = DockerContainer(POSTGRES_IMAGE).with_kwargs(network_mode="host")
    container.with_env("POSTGRES_PASSWORD", secrets.password(postgres_server.SUPERUSER).get_secret_value())
    return container.with_command(f"postgres -p {server_ports.postgres} -c listen_addresses={ports.HOST}")


def _environment(home: Home, server_ports: Ports) -> Environment:
    return Environment(
        bootstrap=f"{ports.HOST}:{server_ports.kafka}",
        registry_url=registry_server.url(server_ports),
        database_host=ports.HOST,
        database_port=server_ports.postgres,
        secrets_file=home.secrets_file,
    )


def _wait(name: str, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"the container of {name} is not ready after {READY_TIMEOUT_S:.0f} s: see `docker logs`"
            )
        time.sleep(POLL_S)
