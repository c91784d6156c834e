"""The broker: one node in KRaft mode, users by SCRAM, rights by ACLs, and what isn't allowed is denied."""

from __future__ import annotations

import base64
import os
import uuid
from collections.abc import Iterable
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from infra.local import process
from infra.local.home import Home, Ports, clear_drafts, write_private
from infra.local.java import Program, Startup, java, quoted
from infra.local.ports import HOST
from infra.local.process import Server
from infra.local.secrets import Secrets

MECHANISM = "SCRAM-SHA-512"
ADMIN = "admin"
REGISTRY = "registry"
AUDITOR = "auditor"
#: Users that exist from the first moment on; all others are made by `mesh apply`.
FIRST_USERS = (ADMIN, REGISTRY, AUDITOR)
READY_TIMEOUT_S = 60.0
REQUEST_TIMEOUT_S = 1.0
GRANT_TIMEOUT_S = 20.0
FLAGS = ("-Xms64m", "-Xmx320m", "-Xss512k", "-XX:+UseSerialGC", "-Xlog:aot=off", "-Xlog:aot*=off")

LOG4J = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %m (%c)%n%throwable
rootLogger.level = warn
rootLogger.appenderRefs = out
rootLogger.appenderRef.out.ref = out
"""


def program(jars: Iterable[Path]) -> Program:
    """The broker as a Java program."""
    files = tuple(jars)
    classpath = os.pathsep.join(map(str, files))
    return Program("kafka", (*FLAGS, "-cp", classpath), ("kafka.Kafka",), files)


def server(home: Home) -> Server:
    """The broker's process."""
    return Server(
        "Kafka", f"-Dmesh.kafka={home.kafka}", home.logs / "kafka.log", home.folder / "run" / "kafka"
    )


def client(ports: Ports, user: str, secrets: Secrets) -> dict[str, str]:
    """The librdkafka properties by which `user` connects."""
    return {
        "bootstrap.servers": f"{HOST}:{ports.kafka}",
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": MECHANISM,
        "sasl.username": user,
        "sasl.password": secrets.password(user).get_secret_value(),
    }


def start(home: Home, ports: Ports, jars: Iterable[Path], secrets: Secrets, startup: Startup) -> None:
    """Format the storage if this is the first time, and start the broker. Does not wait until it is ready."""
    broker = program(jars)
    data = home.kafka / "data"
    password = secrets.password(ADMIN).get_secret_value()
    write_private(home.kafka / "log4j2.properties", LOG4J.encode())
    if not data.exists():
        _format(home, ports, broker, secrets)
    write_private(home.kafka / "server.properties", properties(ports, data, password).encode())
    given = [f"-Dlog4j2.configurationFile={home.kafka / 'log4j2.properties'}", f"-Dmesh.kafka={home.kafka}"]
    command = [*broker.command(startup, given), str(home.kafka / "server.properties")]
    server(home).start(command, home.kafka)


def wait_ready(home: Home, ports: Ports, secrets: Secrets) -> None:
    """Return when the broker answers the administrator. StartError: it does not."""
    server(home).wait_ready(lambda: answers(ports, secrets), READY_TIMEOUT_S)


def answers(ports: Ports, secrets: Secrets) -> bool:
    """Whether the broker answers the administrator now."""
    # That nobody listens yet is expected, and not worth a line on standard error.
    admin = AdminClient({**client(ports, ADMIN, secrets), "log_level": 0, "reconnect.backoff.max.ms": 100})
    try:
        return bool(admin.list_topics(timeout=REQUEST_TIMEOUT_S).brokers)
    except KafkaException:
        return False


def grant_registry(ports: Ports, secrets: Secrets) -> None:
    """Give the registry's user its own topics, and nothing else."""
    admin = AdminClient({**client(ports, ADMIN, secrets)})
    for done in admin.create_acls(registry_acls(), request_timeout=GRANT_TIMEOUT_S).values():
        done.result(GRANT_TIMEOUT_S)


def registry_acls() -> list[AclBinding]:
    """What the registry needs to keep schemas in Kafka (storage `kafkasql`)."""

    def allow(
        kind: ResourceType, name: str, pattern: ResourcePatternType, operation: AclOperation
    ) -> AclBinding:
        return AclBinding(kind, name, pattern, f"User:{REGISTRY}", "*", operation, AclPermissionType.ALLOW)

    prefixed, literal = ResourcePatternType.PREFIXED, ResourcePatternType.LITERAL
    operations = (AclOperation.CREATE, AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE_CONFIGS)
    topics = (("kafkasql-", prefixed), ("registry-events", literal))
    return [
        *(allow(ResourceType.TOPIC, name, pattern, op) for name, pattern in topics for op in operations),
        allow(ResourceType.GROUP, "kafkasql-", prefixed, AclOperation.READ),
        allow(ResourceType.TRANSACTIONAL_ID, "kafkasql-", prefixed, AclOperation.WRITE),
    ]


def _format(home: Home, ports: Ports, broker: Program, secrets: Secrets) -> None:
    """Make the storage with its first users; it takes its place only when whole."""
    clear_drafts(home.kafka)
    draft = home.kafka / f"draft-{uuid.uuid4().hex}"
    settings = draft.with_suffix(".properties")
    write_private(settings, properties(ports, draft, secrets.password(ADMIN).get_secret_value()).encode())
    arguments = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id()}", "-c", str(settings)]
    for user in scram_users(secrets):
        arguments += ["--add-scram", user]
    logging = f"-Dlog4j2.configurationFile={home.kafka / 'log4j2.properties'}"
    # Passwords go by a file: everybody on the machine can read a command line.
    argument_file = draft.with_suffix(".arguments")
    flags = [*broker.flags, "-XX:TieredStopAtLevel=1", logging]
    write_private(argument_file, "\n".join(map(quoted, [*flags, *arguments])).encode())
    try:
        process.run([java(), f"@{argument_file}"], home.kafka)
        draft.rename(home.kafka / "data")
    finally:
        argument_file.unlink()
        settings.unlink()


def cluster_id() -> str:
    """A name for a new cluster: 128 random bits as Kafka writes them."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def scram_users(secrets: Secrets) -> list[str]:
    """The first users, as the storage tool's `--add-scram` takes them."""
    passwords = {user: secrets.password(user).get_secret_value() for user in FIRST_USERS}
    return [f"{MECHANISM}=[name={user},password={password}]" for user, password in passwords.items()]


def properties(ports: Ports, data: Path, admin_password: str) -> str:
    """`server.properties`. The limits are those of a mesh on one machine; each odd one says why."""
    login = f'required username="{ADMIN}" password="{admin_password}"'
    return "\n".join(
        f"{key}={value}"
        for key, value in {
            "process.roles": "broker,controller",
            "node.id": 1,
            # A fixed voter, not one kept in the log: so the port may change.
            "controller.quorum.voters": f"1@{HOST}:{ports.controller}",
            "listeners": f"CLIENT://{HOST}:{ports.kafka},CONTROLLER://{HOST}:{ports.controller}",
            "advertised.listeners": f"CLIENT://{HOST}:{ports.kafka}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "CLIENT",
            "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms": MECHANISM,
            "sasl.mechanism.inter.broker.protocol": MECHANISM,
            # SCRAM users are in the log, which the controller has yet to read: it knows its client by PLAIN.
            "sasl.mechanism.controller.protocol": "PLAIN",
            "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.controller.plain.sasl.jaas.config": "org.apache.kafka.common.security.plain."
            f'PlainLoginModule {login} user_{ADMIN}="{admin_password}";',
            f"listener.name.client.{MECHANISM.lower()}.sasl.jaas.config": "org.apache.kafka.common.security."
            f"scram.ScramLoginModule {login};",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{ADMIN}",
            "allow.everyone.if.no.acl.found": "false",
            "log.dirs": data,
            "auto.create.topics.enable": "false",
            "default.replication.factor": 1,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 10,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 10,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "share.coordinator.state.topic.num.partitions": 1,
            # A killed worker's transaction blocks all readers until it is aborted: look every second.
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
            "transaction.max.timeout.ms": 60_000,
            "group.min.session.timeout.ms": 6_000,
            "group.initial.rebalance.delay.ms": 0,
            # Records carry old event times: a limit by age would empty the topics.
            "log.retention.ms": -1,
            "log.retention.bytes": -1,
            "message.max.bytes": 4_194_304,
            "replica.fetch.max.bytes": 4_194_304,
            "log.segment.bytes": 134_217_728,
            "log.index.size.max.bytes": 1_048_576,
            "log.cleaner.enable": "true",
            # The default of 128 MB would be half of the heap.
            "log.cleaner.dedupe.buffer.size": 16_777_216,
            "log.cleaner.io.buffer.size": 1_048_576,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "background.threads": 2,
        }.items()
    )
