"""The schema registry: Apicurio, which stores its schemas in Kafka and has Confluent's API.

Every user of this machine may read; only the user `apply` may write (docs/decisions/registry-rights.md).
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
#: Most subjects in a list, which is cut silently. The default is 1,000; a whole country has 7,000 subjects.
SUBJECTS_MAX = 1_000_000
#: The registry reads its complete journal before it answers, and takes three empty polls as the end.
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
    """Return the address for Confluent's clients."""
    return f"http://{HOST}:{ports.registry}{API}"


def unpack(archive: Path, cache: Path) -> Path:
    """Return the folder with the registry's files, unpacked once."""
    folder = cache / "unpacked" / f"{archive.parent.name}-registry"
    if not folder.is_dir():
        with cache_lock(cache):
            if not folder.is_dir():
                _unpack(archive, folder)
    return folder


def program(folder: Path) -> Program:
    """Return the registry as a Java program."""
    runner = folder / "quarkus-run.jar"
    return Program("registry", FLAGS, ("-jar", str(runner)), (runner,))


def server(home: Home) -> Server:
    """Return the registry's process."""
    tag = f"-Dmesh.registry={home.registry}"
    return Server("the schema registry", tag, home.logs / "registry.log", home.folder / "run" / "registry")


def start(home: Home, ports: Ports, folder: Path, secrets: Secrets, startup: Startup) -> None:
    """Start the registry without waiting until it is ready. Its user must have its ACLs in Kafka."""
    scratch = home.registry / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    settings = home.registry / "application.properties"
    write_private(settings, properties(ports, secrets, scratch).encode())
    jvm_properties = [
        f"-Dquarkus.config.locations={settings}",
        f"-Djava.io.tmpdir={scratch}",
        f"-Dmesh.registry={home.registry}",
    ]
    server(home).start(program(folder).command(startup, jvm_properties), scratch)


def wait_ready(home: Home, ports: Ports) -> None:
    """Return when the registry answers. Raise StartError at the timeout."""
    server(home).wait_ready(lambda: answers(ports), READY_TIMEOUT_S)


def answers(ports: Ports) -> bool:
    """Return whether the registry has loaded all its schemas; before, it answers readers as if it had none."""
    health = f"http://{HOST}:{ports.registry_management}/health/ready"
    try:
        with urllib.request.urlopen(health, timeout=REQUEST_TIMEOUT_S) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def properties(ports: Ports, secrets: Secrets, scratch: Path) -> str:
    """Return the registry's settings as text of a properties file.

    Any client may read; only user `WRITER` may write. Apicurio checks roles when it executes an operation, so
    the rule holds for all its interfaces (docs/decisions/registry-rights.md). `scratch` is a folder for
    temporary files.
    """
    password = secrets.password(kafka_server.REGISTRY).get_secret_value()
    login = f'required username="{kafka_server.REGISTRY}" password="{password}"'
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
    return "\n".join(
        f"{key}={value}"
        for key, value in {
            # A higher ordinal than environment variables and the application's own settings.
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
            # Its database is in memory and small.
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
