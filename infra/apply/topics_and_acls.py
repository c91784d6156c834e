"""Users, topics and rights of Kafka, brought to what is declared. Every call has a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar
from uuid import uuid4

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from infra.apply.installation import ApplySettings
from infra.apply.plan import AclRule, partitions, topic_config
from infra.environment import Environment
from infra.errors import OperatorError
from infra.local.kafka_server import ADMIN
from schemas.topics import TopicDeclaration

TIMEOUT_S = 30.0
SCRAM_ITERATIONS = 4096
#: How many topics, users or rights one request is about: the controller writes what a request comes to as one batch, of
#: 10,000 records at the most, and has to answer within the timeout.
TOPICS_MAX = 500
USERS_MAX = 500
RIGHTS_MAX = 2_000
#: Nobody's name: what it may not do is a mark on the controller's log, and no more.
MARKER: Final = "mesh.apply"
POLL_S: Final = 0.05


T = TypeVar("T")


class ApplyError(OperatorError):
    """The servers can't be brought to what is declared; the text says why."""


def admin(environment: Environment) -> AdminClient:
    """A client that may do all."""
    return AdminClient({**environment.kafka(ADMIN), "log_level": 2})


def make_users(client: AdminClient, environment: Environment, users: Iterable[str], renew: bool) -> int:
    """Give each user its password in Kafka; those that have one there keep it unless `renew`. How many were set."""
    known = set() if renew else _users(client)
    secrets = environment.secrets()
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, SCRAM_ITERATIONS)
    missing = [user for user in users if user not in known]
    for some in _parts(missing, USERS_MAX):
        changes: list[UserScramCredentialAlteration] = [
            UserScramCredentialUpsertion(user, info, secrets.password(user).get_secret_value().encode())
            for user in some
        ]
        _all(client.alter_user_scram_credentials(changes))
    return len(missing)


def make_topics(client: AdminClient, topics: Iterable[TopicDeclaration], settings: ApplySettings) -> int:
    """Make the topics that are missing, and set right the settings of those there are. How many were changed.

    ApplyError: a topic has another number of partitions than declared; its keys would land elsewhere.
    """
    declared = {topic.name: topic for topic in topics}
    found = client.list_topics(timeout=TIMEOUT_S).topics
    for name in declared.keys() & found.keys():
        _hold_partitions(declared[name], len(found[name].partitions), settings)
    missing = [
        NewTopic(
            name,
            partitions(topic, settings),
            settings.replication_factor or 1,
            config=topic_config(topic, settings),
        )
        for name, topic in declared.items()
        if name not in found
    ]
    for some in _parts(missing, TOPICS_MAX):
        _all(client.create_topics(some, operation_timeout=TIMEOUT_S))
    return len(missing) + _set_right(
        client, [declared[name] for name in declared.keys() & found.keys()], settings
    )


def sync_acls(client: AdminClient, wanted: set[AclRule], users: set[str]) -> tuple[int, int]:
    """Give the rights that are missing, take those that `users` have and aren't declared: how many of each."""
    found = client.describe_acls(_any_acl()).result(TIMEOUT_S)
    declared = {_key(binding): binding for binding in map(_binding, wanted)}
    known = {_key(binding): binding for binding in found}
    missing = [binding for key, binding in declared.items() if key not in known]
    stale = [
        AclBindingFilter(*key)
        for key, b in known.items()
        if key not in declared and b.principal.removeprefix("User:") in users
    ]
    for new in _parts(missing, RIGHTS_MAX):
        _all(client.create_acls(new, request_timeout=TIMEOUT_S))
    for old in _parts(stale, RIGHTS_MAX):
        _all(client.delete_acls(old, request_timeout=TIMEOUT_S))
    return len(missing), len(stale)


def wait_in_force(client: AdminClient, pause: Callable[[float], object] = time.sleep) -> None:
    """Returns when the brokers work by all that the controller was told before.

    It answers once a change is on its log, which brokers follow: behind by milliseconds, or by seconds where a disk is
    busy with many new topics. Until then a user is refused what is his. So the last entry is a mark, asked for until as
    many answers in a row tell it as there are brokers. ApplyError: not within the timeout.
    """
    mark = _binding(AclRule(MARKER, "TOPIC", f"{MARKER}.{uuid4().hex}", "READ", denied=True))
    asked, deadline = AclBindingFilter(*_key(mark)), time.monotonic() + TIMEOUT_S
    _all(client.create_acls([mark], request_timeout=TIMEOUT_S))
    try:
        told, brokers = 0, len(client.list_topics(timeout=TIMEOUT_S).brokers)
        while told < brokers:
            if time.monotonic() > deadline:
                raise ApplyError(f"brokers do not work by what was applied yet, after {TIMEOUT_S:.0f} s")
            if client.describe_acls(asked).result(TIMEOUT_S):
                told += 1
            else:
                told = 0
                pause(POLL_S)
    finally:
        _all(client.delete_acls([asked], request_timeout=TIMEOUT_S))


def _hold_partitions(topic: TopicDeclaration, found: int, settings: ApplySettings) -> None:
    wanted = partitions(topic, settings)
    if found != wanted:
        raise ApplyError(
            f"topic {topic.name} has {found} partitions, and MESH_PARTITIONS asks for {wanted}: "
            "keys would land elsewhere; set it back, or begin anew with `mesh replay`"
        )


def _set_right(client: AdminClient, topics: list[TopicDeclaration], settings: ApplySettings) -> int:
    changed = [wrong for some in _parts(topics, TOPICS_MAX) for wrong in _wrong(client, some, settings)]
    for some in _parts(changed, TOPICS_MAX):
        _all(client.incremental_alter_configs(some))
    return len(changed)


def _wrong(
    client: AdminClient, topics: list[TopicDeclaration], settings: ApplySettings
) -> Iterator[ConfigResource]:
    """By topic whose settings aren't as declared, what to set."""
    resources = {topic.name: ConfigResource(ResourceType.TOPIC, topic.name) for topic in topics}
    found = client.describe_configs(list(resources.values()), request_timeout=TIMEOUT_S)
    for topic in topics:
        now = found[resources[topic.name]].result(TIMEOUT_S)
        wrong = {k: v for k, v in topic_config(topic, settings).items() if now[k].value != v}
        if wrong:
            entries = [
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                for key, value in wrong.items()
            ]
            yield ConfigResource(ResourceType.TOPIC, topic.name, incremental_configs=entries)


def _binding(right: AclRule) -> AclBinding:
    pattern = ResourcePatternType.PREFIXED if right.prefixed else ResourcePatternType.LITERAL
    permission = AclPermissionType.DENY if right.denied else AclPermissionType.ALLOW
    kind = getattr(ResourceType, right.kind)
    operation = getattr(AclOperation, right.operation)
    return AclBinding(kind, right.name, pattern, f"User:{right.user}", "*", operation, permission)


def _users(client: AdminClient) -> set[str]:
    found: Any = client.describe_user_scram_credentials()
    return set(found.result(TIMEOUT_S))


def _any_acl() -> AclBindingFilter:
    anything: Any = None  # as librdkafka has it; its type hints leave it out
    return AclBindingFilter(
        ResourceType.ANY,
        anything,
        ResourcePatternType.ANY,
        anything,
        anything,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )


def _key(b: AclBinding) -> tuple[Any, ...]:
    return (b.restype, b.name, b.resource_pattern_type, b.principal, b.host, b.operation, b.permission_type)


def _parts(every: Sequence[T], size: int) -> Iterator[list[T]]:
    return (list(every[start : start + size]) for start in range(0, len(every), size))


def _all(futures: Mapping[Any, Any]) -> None:
    """Wait for every answer. ApplyError with the first reason."""
    for future in futures.values():
        try:
            future.result(TIMEOUT_S)
        except KafkaException as error:
            raise ApplyError(f"Kafka refused: {error.args[0].str()}") from error
