"""Kafka's users, topics and ACLs, created and changed as declared. Every call has a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
from infra.apply.plan import AclRule, partition_count, topic_config
from infra.environment import Environment
from infra.errors import OperatorError
from infra.local.kafka_server import ADMIN
from schemas.topics import TopicDeclaration

TIMEOUT_S = 30.0
SCRAM_ITERATIONS = 4096
#: Most topics, users and ACLs in one request: the controller writes a request's changes as one batch of at most 10,000
#: records, and must answer within the timeout.
TOPICS_MAX = 500
USERS_MAX = 500
ACLS_MAX = 2_000
#: A user that does not exist. A deny ACL for it marks a position in the controller's log and has no other effect.
BARRIER_USER: Final = "mesh.apply"
POLL_S: Final = 0.05


T = TypeVar("T")


class ApplyError(OperatorError):
    """The servers can't be changed as declared; the text has the reason."""


def admin_client(environment: Environment) -> AdminClient:
    """Return a client of the administrator, who may do everything."""
    return AdminClient({**environment.kafka(ADMIN), "log_level": 2})


def set_users(client: AdminClient, environment: Environment, users: Iterable[str], renew: bool) -> int:
    """Set the passwords of new users in Kafka, with `renew` those of all users. Return how many were set."""
    known = set() if renew else _users(client)
    secrets = environment.secrets()
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, SCRAM_ITERATIONS)
    missing = [user for user in users if user not in known]
    for part in _slices(missing, USERS_MAX):
        changes: list[UserScramCredentialAlteration] = [
            UserScramCredentialUpsertion(user, info, secrets.password(user).get_secret_value().encode())
            for user in part
        ]
        _await_all(client.alter_user_scram_credentials(changes))
    return len(missing)


def existing_topics(client: AdminClient) -> dict[str, int]:
    """Return the number of partitions of each existing topic. Raise ApplyError where Kafka doesn't answer."""
    try:
        topics = client.list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as error:
        raise ApplyError(f"Kafka doesn't answer: {error.args[0].str()}") from error
    return {name: len(topic.partitions) for name, topic in topics.items()}


def check_topics(
    client: AdminClient,
    topics: Sequence[TopicDeclaration],
    settings: ApplySettings,
    existing: Mapping[str, int],
) -> None:
    """Raise ApplyError where a missing topic can't be created, or an existing one has other partitions.

    `existing` are numbers of partitions. With another number keys would move to other partitions.
    """
    for topic in topics:
        if topic.name in existing:
            _check_partitions(topic, existing[topic.name], settings)
    for part in _slices(_missing(topics, settings, existing), TOPICS_MAX):
        _await_all(client.create_topics(part, operation_timeout=TIMEOUT_S, validate_only=True))


def create_or_alter_topics(
    client: AdminClient, topics: Sequence[TopicDeclaration], settings: ApplySettings
) -> int:
    """Create missing topics and correct the settings of existing ones. Return how many were created or changed."""
    declared = {topic.name: topic for topic in topics}
    existing = existing_topics(client)
    missing = _missing(topics, settings, existing)
    for part in _slices(missing, TOPICS_MAX):
        _await_all(client.create_topics(part, operation_timeout=TIMEOUT_S))
    return len(missing) + _alter_configs(
        client, [declared[name] for name in declared.keys() & existing.keys()], settings
    )


def sync_acls(client: AdminClient, rules: set[AclRule], users: set[str]) -> tuple[int, int]:
    """Add missing ACLs and remove undeclared ones of `users`. Return how many were added and removed."""
    existing = client.describe_acls(_any_acl()).result(TIMEOUT_S)
    declared = {_acl_key(binding): binding for binding in map(_binding, rules)}
    known = {_acl_key(binding): binding for binding in existing}
    missing = [binding for key, binding in declared.items() if key not in known]
    stale = [
        AclBindingFilter(*key)
        for key, b in known.items()
        if key not in declared and b.principal.removeprefix("User:") in users
    ]
    for new in _slices(missing, ACLS_MAX):
        _await_all(client.create_acls(new, request_timeout=TIMEOUT_S))
    for old in _slices(stale, ACLS_MAX):
        _await_all(client.delete_acls(old, request_timeout=TIMEOUT_S))
    return len(missing), len(stale)


def wait_until_enforced(client: AdminClient, pause: Callable[[float], object] = time.sleep) -> None:
    """Return when all brokers enforce every earlier change.

    The controller answers once a change is in its log. Brokers follow the log with a delay of milliseconds, or of
    seconds where a disk is busy with many new topics, and until then reject what a user may now do. So add a deny ACL
    last, and describe it until as many answers in a row have it as there are brokers. Then remove it. Raise ApplyError
    after the timeout.
    """
    last_acl = _binding(AclRule(BARRIER_USER, "TOPIC", f"{BARRIER_USER}.{uuid4().hex}", "READ", denied=True))
    last_acl_filter, deadline = AclBindingFilter(*_acl_key(last_acl)), time.monotonic() + TIMEOUT_S
    _await_all(client.create_acls([last_acl], request_timeout=TIMEOUT_S))
    try:
        answers_with_acl, brokers = 0, len(client.list_topics(timeout=TIMEOUT_S).brokers)
        while answers_with_acl < brokers:
            if time.monotonic() > deadline:
                raise ApplyError(
                    f"not all brokers enforce the changes after {TIMEOUT_S:.0f} s; run `mesh apply` again"
                )
            if client.describe_acls(last_acl_filter).result(TIMEOUT_S):
                answers_with_acl += 1
            else:
                answers_with_acl = 0
                pause(POLL_S)
    finally:
        _await_all(client.delete_acls([last_acl_filter], request_timeout=TIMEOUT_S))


def _missing(
    topics: Iterable[TopicDeclaration], settings: ApplySettings, existing: Collection[str]
) -> list[NewTopic]:
    return [
        NewTopic(
            topic.name,
            partition_count(topic, settings),
            settings.replication_factor or 1,
            config=topic_config(topic, settings),
        )
        for topic in topics
        if topic.name not in existing
    ]


def _check_partitions(topic: TopicDeclaration, existing: int, settings: ApplySettings) -> None:
    declared = partition_count(topic, settings)
    if existing != declared:
        raise ApplyError(
            f"topic {topic.name} has {existing} partitions, but MESH_PARTITIONS asks for {declared}, which would move "
            "keys to other partitions; set it back, or derive everything again with `mesh replay --yes`"
        )


def _alter_configs(client: AdminClient, topics: list[TopicDeclaration], settings: ApplySettings) -> int:
    changed = [
        resource
        for part in _slices(topics, TOPICS_MAX)
        for resource in _config_differences(client, part, settings)
    ]
    for part in _slices(changed, TOPICS_MAX):
        _await_all(client.incremental_alter_configs(part))
    return len(changed)


def _config_differences(
    client: AdminClient, topics: list[TopicDeclaration], settings: ApplySettings
) -> Iterator[ConfigResource]:
    """Yield, for each topic whose settings differ from the declared ones, the settings to change."""
    resources = {topic.name: ConfigResource(ResourceType.TOPIC, topic.name) for topic in topics}
    described = client.describe_configs(list(resources.values()), request_timeout=TIMEOUT_S)
    for topic in topics:
        current = described[resources[topic.name]].result(TIMEOUT_S)
        different = {k: v for k, v in topic_config(topic, settings).items() if current[k].value != v}
        if different:
            entries = [
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                for key, value in different.items()
            ]
            yield ConfigResource(ResourceType.TOPIC, topic.name, incremental_configs=entries)


def _binding(rule: AclRule) -> AclBinding:
    pattern = ResourcePatternType.PREFIXED if rule.prefixed else ResourcePatternType.LITERAL
    permission = AclPermissionType.DENY if rule.denied else AclPermissionType.ALLOW
    kind = getattr(ResourceType, rule.kind)
    operation = getattr(AclOperation, rule.operation)
    return AclBinding(kind, rule.name, pattern, f"User:{rule.user}", "*", operation, permission)


def _users(client: AdminClient) -> set[str]:
    described: Any = client.describe_user_scram_credentials()
    return set(described.result(TIMEOUT_S))


def _any_acl() -> AclBindingFilter:
    anything: Any = None  # allowed by librdkafka; the type hints lack it
    return AclBindingFilter(
        ResourceType.ANY,
        anything,
        ResourcePatternType.ANY,
        anything,
        anything,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )


def _acl_key(b: AclBinding) -> tuple[Any, ...]:
    return (b.restype, b.name, b.resource_pattern_type, b.principal, b.host, b.operation, b.permission_type)


def _slices(items: Sequence[T], size: int) -> Iterator[list[T]]:
    return (list(items[start : start + size]) for start in range(0, len(items), size))


def _await_all(futures: Mapping[Any, Any]) -> None:
    """Wait for every answer. Raise ApplyError with the reason of the first that is an error."""
    for future in futures.values():
        try:
            future.result(TIMEOUT_S)
        except KafkaException as error:
            raise ApplyError(f"Kafka rejected a change: {error.args[0].str()}") from error
