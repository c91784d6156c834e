"""The schema registry: Apicurio, which keeps its schemas in Kafka and speaks Confluent's API.

Anybody on this machine may read; only the user `apply` may write (docs/decisions/registry-rights.md).
"""

from __future__ import annotations

import shutil
import tarfile
import urllib.request
from http import HTTPStatus
from pathlib import Path

from infra.local import kafka_server
from infra.local.artifacts import cache_lock, extract
from infra.local.home import Home, Ports, write_private
from infra.local.java import Program, Startup
from infra.local.ports import HOST
from infra.local.process import Server
from infra.local.secrets import Secrets

WRITER = "apply"
API = "/apis/ccompat/v7"
READY_TIMEOUT_S = 90.0
REQUEST_TIMEOUT_S = 2.0
#: So many are listed at most, and it isn't said that there are more: by default 1,000, where a nation has 7,000.
SUBJECTS_MAX = 1_000_000
#: The registry reads its whole journal before it answers, and takes three polls without a record for its end.
POLL_TIMEOUT_MS = 250
FLAGS = (
    "-Xmx192m",
    "-Xss512k",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xlog:aot=off",
    "-Xlog:aot*=off",
)


def url(ports: Ports) -> str:
    """Where Confluent's clients find it."""
    return f"http://{HOST}:{ports.registry}{API}"


def unpack(archive: Path, cache: Path) -> Path:
    """The folder with the registry's files; unpacked once."""
    folder = cache / "unpacked" / f"{archive.parent.name}-registry"
    if not folder.is_dir():
        with cache_lock(cache):
            if not folder.is_dir():
                _unpack(archive, folder)
    return folder


def program(folder: Path) -> Program:
    """The registry as a Java program."""
    runner = folder / "quarkus-run.jar"
    return Program("registry", FLAGS, ("-jar", str(runner)), (runner,))


def server(home: Home) -> Server:
    """The registry's process."""
    mark = f"-Dmesh.registry={home.registry}"
    return Server("the schema registry", mark, home.logs / "registry.log", home.folder / "run" / "registry")


def start(home: Home, ports: Ports, folder: Path, secrets: Secrets, startup: Startup) -> None:
    """Start the registry; its user must have its rights in Kafka. Does not wait until it is ready."""
    scratch = home.registry / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    settings = home.registry / "application.properties"
    write_private(settings, properties(ports, secrets, scratch).encode())
    given = [
        f"-Dquarkus.config.locations={settings}",
        f"-Djava.io.tmpdir={scratch}",
        f"-Dmesh.registry={home.registry}",
    ]
    server(home).start(program(folder).command(startup, given), scratch)


def wait_ready(home: Home, ports: Ports) -> None:
    """Return when the registry answers. StartError: it does not."""
    server(home).wait_ready(lambda: answers(ports), READY_TIMEOUT_S)


def answers(ports: Ports) -> bool:
    """Whether the registry knows all its schemas. It answers readers earlier, as if it had none."""
    health = f"http://{HOST}:{ports.registry_management}/health/ready"
    try:
        with urllib.request.urlopen(health, timeout=REQUEST_TIMEOUT_S) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def properties(ports: Ports, secrets: Secrets, scratch: Path) -> str:
    """The registry's settings. Roles are asked where a request is carried out: no path leads around them."""
    password = secrets.password(kafka_server.REGISTRY).get_secret_value()
    login = f'required username="{kafka_server.REGISTRY}" password="{password}"'
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
    return "\n".join(
        f"{key}={value}"
        for key, value in {
            # Above environment variables and the settings that the application brings along.
            "config_ordinal": 500,
            "quarkus.http.host": HOST,
            "quarkus.http.port": ports.registry,
            "quarkus.management.host": HOST,
            "quarkus.management.port": ports.registry_management,
            "quarkus.http.cors.enabled": "false",
            "apicurio.storage.kind": "kafkasql",
            "apicurio.kafkasql.bootstrap.servers": kafka_server.bootstrap(ports),
            "apicurio.kafkasql.consumer.group-prefix": "kafkasql-",
            "apicurio.kafkasql.consumer.poll.timeout": POLL_TIMEOUT_MS,
            "apicurio.kafka.common.security.protocol": "SASL_PLAINTEXT",
            "apicurio.kafka.common.sasl.mechanism": kafka_server.MECHANISM,
            "apicurio.kafka.common.sasl.jaas.config": f"{scram} {login};",
            "apicurio.authn.enabled": "true",
            "apicurio.auth.role-based-authorization": "true",
            "apicurio.auth.anonymous-read-access.enabled": "true",
            "apicurio.config.dynamic.allow-all": "false",
            "apicurio.ccompat.max-subjects": SUBJECTS_MAX,
            "quarkus.http.auth.basic": "true",
            "quarkus.security.users.embedded.enabled": "true",
            "quarkus.security.users.embedded.plain-text": "true",
            f"quarkus.security.users.embedded.users.{WRITER}": secrets.password(WRITER).get_secret_value(),
            f"quarkus.security.users.embedded.roles.{WRITER}": "sr-admin",
            # Its own database is in memory, and small.
            "apicurio.datasource.jdbc.initial-size": 2,
            "apicurio.datasource.jdbc.min-size": 2,
            "apicurio.datasource.jdbc.max-size": 20,
            "apicurio.storage.snapshot.location": scratch,
            "apicurio.import.work-dir": scratch,
            'quarkus.log.category."io.quarkus.http.access-log".level': "WARN",
            'quarkus.log.category."io.apicurio".level': "WARN",
            'quarkus.log.category."org.apache.kafka".level': "WARN",
        }.items()
    )


def _unpack(archive: Path, folder: Path) -> None:
    draft = folder.with_name(f"{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    with tarfile.open(archive) as tar:
        extract(tar, draft)
    draft.rename(folder)
