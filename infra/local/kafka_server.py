"""The brokers: one or three nodes in KRaft mode, users by SCRAM, authorisation by ACLs that deny by default."""

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
#: Users that exist from the first start; `mesh apply` creates all others.
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
    """Return the broker as a Java program."""
    files = tuple(jars)
    classpath = os.pathsep.join(map(str, files))
    return Program("kafka", (*FLAGS, "-cp", classpath), ("kafka.Kafka",), files)


def server(home: Home, number: int = 1) -> Server:
    """Return a broker's process; the first broker has number 1."""
    folder = home.broker(number)
    return Server(
        "Kafka" if number == 1 else f"Kafka {number}",
        f"-Dmesh.kafka={folder}",
        home.logs / f"{folder.name}.log",
        home.folder / "run" / folder.name,
    )


def bootstrap(ports: Ports) -> str:
    """Return the addresses of all brokers, separated by commas."""
    return ",".join(f"{HOST}:{broker.client}" for broker in ports.brokers)


def client(ports: Ports, user: str, secrets: Secrets) -> dict[str, str]:
    """Return the librdkafka properties of `user`."""
    return {
        "bootstrap.servers": bootstrap(ports),
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": MECHANISM,
        "sasl.username": user,
        "sasl.password": secrets.password(user).get_secret_value(),
    }


@dataclass(frozen=True)
class Broker:
    """One broker of an installation; the first has number 1."""

    home: Home
    ports: Ports
    secrets: Secrets
    number: int = 1

    def start(self, jars: Iterable[Path], startup: Startup, cluster: str) -> None:
        """Format the storage at the first start, and start the broker without waiting until it is ready."""
        folder = self.home.broker(self.number)
        folder.mkdir(mode=0o700, exist_ok=True)
        java_program, data = program(jars), folder / "data"
        write_private(folder / "log4j2.properties", LOG4J.encode())
        if not data.exists():
            self._format(folder, java_program, cluster)
        write_private(folder / "server.properties", self._properties(data).encode())
        jvm_properties = [
            f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}",
            f"-Dmesh.kafka={folder}",
        ]
        command = [*java_program.command(startup, jvm_properties), str(folder / "server.properties")]
        server(self.home, self.number).start(command, folder)

    def wait_ready(self) -> None:
        """Return when the broker answers the administrator. Raise StartError at the timeout."""
        server(self.home, self.number).wait_ready(self.answers, READY_TIMEOUT_S)

    def answers(self) -> bool:
        """Return whether the broker answers the administrator now, as a member of its cluster."""
        return self.number in known_brokers(self.ports, self.secrets, self.number)

    def _properties(self, data: Path) -> str:
        return properties(self.ports, data, self.secrets.password(ADMIN).get_secret_value(), self.number)

    def _format(self, folder: Path, java_program: Program, cluster: str) -> None:
        """Create the storage with the first users in a draft folder, and rename it when it is complete."""
        clear_drafts(folder)
        draft = folder / f"draft-{uuid.uuid4().hex}"
        settings = draft.with_suffix(".properties")
        write_private(settings, self._properties(draft).encode())
        arguments = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(settings)]
        for user in scram_arguments(self.secrets):
            arguments += ["--add-scram", user]
        logging = f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}"
        # Passwords are passed in a file, because every user of the machine can read command lines.
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
    """Return whether the first broker answers the administrator now."""
    return bool(known_brokers(ports, secrets, 1))


def known_brokers(ports: Ports, secrets: Secrets, number: int) -> set[int]:
    """Return the numbers of the current brokers as broker `number` reports them; none if it doesn't answer."""
    # A broker that doesn't listen yet is expected, so librdkafka logs nothing.
    administrator = client(ports, ADMIN, secrets) | {
        "bootstrap.servers": f"{HOST}:{ports.brokers[number - 1].client}",
        "log_level": "0",
        "reconnect.backoff.max.ms": "100",
    }
    try:
        return set(AdminClient({**administrator}).list_topics(timeout=REQUEST_TIMEOUT_S).brokers)
    except KafkaException:
        return set()


def grant_registry(ports: Ports, secrets: Secrets) -> None:
    """Add the ACLs of the registry's user: for its own topics, and nothing else."""
    admin = AdminClient({**client(ports, ADMIN, secrets)})
    for future in admin.create_acls(registry_acls(), request_timeout=GRANT_TIMEOUT_S).values():
        future.result(GRANT_TIMEOUT_S)


def registry_acls() -> list[AclBinding]:
    """Return the ACLs that the registry needs to store schemas in Kafka (storage `kafkasql`)."""

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
    """Return an ID for a new cluster: 128 random bits in Kafka's format."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def scram_arguments(secrets: Secrets) -> list[str]:
    """Return the first users as arguments of the storage tool's option `--add-scram`."""
    passwords = {user: secrets.password(user).get_secret_value() for user in FIRST_USERS}
    return [f"{MECHANISM}=[name={user},password={password}]" for user, password in passwords.items()]


def replication(brokers: int) -> tuple[int, int]:
    """Return, for a number of brokers, how many replicas a topic has, and how many of them must have a record."""
    return (3, 2) if brokers >= 3 else (1, 1)


def properties(ports: Ports, data: Path, admin_password: str, number: int = 1) -> str:
    """Return a broker's `server.properties`, with limits for a mesh on one machine."""
    login = f'required username="{ADMIN}" password="{admin_password}"'
    own, (factor, in_sync) = ports.brokers[number - 1], replication(len(ports.brokers))
    voters = [f"{n}@{HOST}:{broker.controller}" for n, broker in enumerate(ports.brokers, start=1)]
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
            # A static list of voters, which the log doesn't contain, so the ports may change.
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
            # SCRAM users are in the log, which a starting controller has not read yet, so it authenticates by PLAIN.
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
            # By default a group without members loses its offsets after seven days: a step that was stopped for longer
            # would start again from the beginning.
            "offsets.retention.minutes": 2_147_483_647,
            "transaction.state.log.replication.factor": factor,
            "transaction.state.log.min.isr": in_sync,
            "transaction.state.log.num.partitions": 10,
            "share.coordinator.state.topic.replication.factor": factor,
            "share.coordinator.state.topic.min.isr": in_sync,
            "share.coordinator.state.topic.num.partitions": 1,
            # A killed worker's transaction blocks all readers until it is aborted, so check every second.
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
            "transaction.max.timeout.ms": 60_000,
            "group.min.session.timeout.ms": 6_000,
            "group.initial.rebalance.delay.ms": 0,
            # Record timestamps are days of effect, which may be old: a limit by age would empty the topics.
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
