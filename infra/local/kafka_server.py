"""The brokers: one or three nodes in KRaft mode, users by SCRAM, rights by ACLs, and what isn't allowed is denied."""

from __future__ import annotations

import base64
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
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
FLAGS = ("-Xms64m", "-Xmx1g", "-Xss512k", "-XX:+UseSerialGC", "-Xlog:aot=off", "-Xlog:aot*=off")

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


def server(home: Home, number: int = 1) -> Server:
    """A broker's process."""
    folder = home.broker(number)
    return Server(
        "Kafka" if number == 1 else f"Kafka {number}",
        f"-Dmesh.kafka={folder}",
        home.logs / f"{folder.name}.log",
        home.folder / "run" / folder.name,
    )


def bootstrap(ports: Ports) -> str:
    """Every broker's address."""
    return ",".join(f"{HOST}:{each.client}" for each in ports.brokers)


def client(ports: Ports, user: str, secrets: Secrets) -> dict[str, str]:
    """The librdkafka properties by which `user` connects."""
    return {
        "bootstrap.servers": bootstrap(ports),
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": MECHANISM,
        "sasl.username": user,
        "sasl.password": secrets.password(user).get_secret_value(),
    }


@dataclass(frozen=True)
class Broker:
    """One broker of an installation; they count from 1."""

    home: Home
    ports: Ports
    secrets: Secrets
    number: int = 1

    def start(self, jars: Iterable[Path], startup: Startup, cluster: str) -> None:
        """Format the storage if this is the first time, and start it. Does not wait until it is ready."""
        folder = self.home.broker(self.number)
        folder.mkdir(mode=0o700, exist_ok=True)
        java_program, data = program(jars), folder / "data"
        write_private(folder / "log4j2.properties", LOG4J.encode())
        if not data.exists():
            self._format(folder, java_program, cluster)
        write_private(folder / "server.properties", self._properties(data).encode())
        given = [f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}", f"-Dmesh.kafka={folder}"]
        command = [*java_program.command(startup, given), str(folder / "server.properties")]
        server(self.home, self.number).start(command, folder)

    def wait_ready(self) -> None:
        """Return when it answers the administrator. StartError: it does not."""
        server(self.home, self.number).wait_ready(self.answers, READY_TIMEOUT_S)

    def answers(self) -> bool:
        """Whether it answers the administrator now, as a member of its cluster."""
        return self.number in known_brokers(self.ports, self.secrets, self.number)

    def _properties(self, data: Path) -> str:
        return properties(self.ports, data, self.secrets.password(ADMIN).get_secret_value(), self.number)

    def _format(self, folder: Path, java_program: Program, cluster: str) -> None:
        """Make the storage with its first users; it takes its place only when whole."""
        clear_drafts(folder)
        draft = folder / f"draft-{uuid.uuid4().hex}"
        settings = draft.with_suffix(".properties")
        write_private(settings, self._properties(draft).encode())
        arguments = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(settings)]
        for user in scram_users(self.secrets):
            arguments += ["--add-scram", user]
        logging = f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}"
        # Passwords go by a file: everybody on the machine can read a command line.
        argument_file = draft.with_suffix(".arguments")
        flags = [*java_program.flags, "-XX:TieredStopAtLevel=1", logging]
        write_private(argument_file, "\n".join(map(quoted, [*flags, *arguments])).encode())
        try:
            process.run([java(), f"@{argument_file}"], folder)
            draft.rename(folder / "data")
        finally:
            argument_file.unlink()
            settings.unlink()


def answers(ports: Ports, secrets: Secrets) -> bool:
    """Whether the first broker answers the administrator now."""
    return bool(known_brokers(ports, secrets, 1))


def known_brokers(ports: Ports, secrets: Secrets, asked: int) -> set[int]:
    """The numbers of the brokers that take part now, as one of them knows it; none where it doesn't answer."""
    # That nobody listens yet is expected, and not worth a line on standard error.
    told = client(ports, ADMIN, secrets) | {
        "bootstrap.servers": f"{HOST}:{ports.brokers[asked - 1].client}",
        "log_level": "0",
        "reconnect.backoff.max.ms": "100",
    }
    try:
        return set(AdminClient({**told}).list_topics(timeout=REQUEST_TIMEOUT_S).brokers)
    except KafkaException:
        return set()


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


def cluster_id() -> str:
    """A name for a new cluster: 128 random bits as Kafka writes them."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def scram_users(secrets: Secrets) -> list[str]:
    """The first users, as the storage tool's `--add-scram` takes them."""
    passwords = {user: secrets.password(user).get_secret_value() for user in FIRST_USERS}
    return [f"{MECHANISM}=[name={user},password={password}]" for user, password in passwords.items()]


def replication(brokers: int) -> tuple[int, int]:
    """With so many brokers: how many copies a topic has, and how many of them must have a record."""
    return (3, 2) if brokers >= 3 else (1, 1)


def properties(ports: Ports, data: Path, admin_password: str, number: int = 1) -> str:
    """`server.properties` of a broker. The limits are those of a mesh on one machine; each odd one says why."""
    login = f'required username="{ADMIN}" password="{admin_password}"'
    own, (factor, in_sync) = ports.brokers[number - 1], replication(len(ports.brokers))
    voters = [f"{n}@{HOST}:{each.controller}" for n, each in enumerate(ports.brokers, start=1)]
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
    clients = {"CLIENT": (own.client, own.client)}
    if ports.tunnels:
        tunnel = ports.tunnels[number - 1]
        clients["TUNNEL"] = tunnel.port, tunnel.advertised
    listeners = [f"{name}://{HOST}:{port}" for name, (port, _) in clients.items()]
    return "\n".join(
        f"{key}={value}"
        for key, value in {
            "process.roles": "broker,controller",
            "node.id": number,
            # Fixed voters, not kept in the log: so the ports may change.
            "controller.quorum.voters": ",".join(voters),
            "listeners": ",".join([*listeners, f"CONTROLLER://{HOST}:{own.controller}"]),
            "advertised.listeners": ",".join(
                f"{name}://{HOST}:{advertised}" for name, (_, advertised) in clients.items()
            ),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "CLIENT",
            "listener.security.protocol.map": ",".join(
                f"{name}:SASL_PLAINTEXT" for name in (*clients, "CONTROLLER")
            ),
            "sasl.enabled.mechanisms": MECHANISM,
            "sasl.mechanism.inter.broker.protocol": MECHANISM,
            # SCRAM users are in the log, which the controller has yet to read: it knows its client by PLAIN.
            "sasl.mechanism.controller.protocol": "PLAIN",
            "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.controller.plain.sasl.jaas.config": "org.apache.kafka.common.security.plain."
            f'PlainLoginModule {login} user_{ADMIN}="{admin_password}";',
            **{
                f"listener.name.{name.lower()}.{MECHANISM.lower()}.sasl.jaas.config": f"{scram} {login};"
                for name in clients
            },
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{ADMIN}",
            "allow.everyone.if.no.acl.found": "false",
            "log.dirs": data,
            "auto.create.topics.enable": "false",
            "default.replication.factor": factor,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": factor,
            "offsets.topic.num.partitions": 10,
            # A group without members loses its offsets after seven days, unless told otherwise: a step that stood still
            # for longer would begin again at the beginning.
            "offsets.retention.minutes": 2_147_483_647,
            "transaction.state.log.replication.factor": factor,
            "transaction.state.log.min.isr": in_sync,
            "transaction.state.log.num.partitions": 10,
            "share.coordinator.state.topic.replication.factor": factor,
            "share.coordinator.state.topic.min.isr": in_sync,
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
