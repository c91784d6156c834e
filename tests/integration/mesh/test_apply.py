"""`mesh apply` on real servers: repeatable, and nobody may more than is declared."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)
from confluent_kafka.schema_registry import ConfigCompatibilityLevel, SchemaRegistryClient

from infra.apply import topics_and_acls
from infra.apply.reconcile import apply, declared
from schemas.systems import DOMAINS
from schemas.topics import subject
from tests.integration.mesh.conftest import MUNICIPALITIES, Mesh

TIMEOUT_S = 15.0


def test_applied_twice_nothing_changes(mesh: Mesh) -> None:
    """No user, topic, right, subject or store."""
    apply(mesh.environment, mesh.installation, MUNICIPALITIES)
    assert apply(mesh.environment, mesh.installation, MUNICIPALITIES).changes == 0


def test_a_right_that_is_not_declared_is_taken(mesh: Mesh) -> None:
    """Somebody gave it by hand, or a declaration went."""
    stale = AclBinding(
        ResourceType.TOPIC,
        "notice",
        ResourcePatternType.LITERAL,
        "User:pension",
        "*",
        AclOperation.READ,
        AclPermissionType.ALLOW,
    )
    client = AdminClient({**mesh.environment.kafka("admin")})
    client.create_acls([stale])[stale].result(TIMEOUT_S)
    topics_and_acls.wait_in_force(client)
    applied = apply(mesh.environment, mesh.installation)
    assert (applied.rights_taken, applied.changes) == (1, 1)


def test_a_setting_that_was_changed_is_set_right(mesh: Mesh) -> None:
    """An age limit would lose what happened long ago."""
    client = AdminClient({**mesh.environment.kafka("admin")})
    wrong = ConfigEntry("retention.ms", "1000000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, "notice", incremental_configs=[wrong])
    client.incremental_alter_configs([resource])[resource].result(TIMEOUT_S)
    topics_and_acls.wait_in_force(client)
    assert apply(mesh.environment, mesh.installation).topics == 1
    found = client.describe_configs([ConfigResource(ResourceType.TOPIC, "notice")])
    config = next(iter(found.values())).result(TIMEOUT_S)
    assert config["retention.ms"].value == "-1"


def test_every_topic_has_its_schema_under_full_transitive(mesh: Mesh) -> None:
    """Any client's registry knows them."""
    with SchemaRegistryClient({"url": mesh.environment.registry_url}) as client:
        known = set(client.get_subjects())
        compatibility = client.get_config().compatibility_level
    assert {subject(topic.name) for topic in declared(mesh.installation)} <= known
    assert compatibility == ConfigCompatibilityLevel.FULL_TRANSITIVE


def errors_of(mesh: Mesh, user: str, topic: str) -> list[str]:
    """What a user is told who writes to a topic."""
    errors: list[str] = []

    def delivered(error: KafkaError | None, _: object) -> None:
        errors.append(error.name() if error else "none")

    producer = Producer({**mesh.environment.kafka(user), "log_level": 0, "message.timeout.ms": 10_000})
    producer.produce(topic, b"x", on_delivery=delivered)
    producer.flush(TIMEOUT_S)
    return errors


@pytest.mark.parametrize(
    ("user", "topic"),
    [
        ("juki-cs.131041", "in.juki-cs.473812"),
        ("juki-cs.131041", "in.juki.131041"),
        ("child.131041", "in.child.473812"),
        ("pension", "in.nta"),
        ("pension", "domain.pension"),
        ("conversion", "notice"),
        ("auditor", "in.operator"),
        ("sink.child", "receipt.care"),
    ],
)
def test_nobody_writes_what_is_not_his(mesh: Mesh, user: str, topic: str) -> None:
    """A source its own topic only; no one speaks for another municipality."""
    assert errors_of(mesh, user, topic) == ["TOPIC_AUTHORIZATION_FAILED"]


def read_alone(mesh: Mesh, user: str, topic: str) -> str:
    """What a user is told who reads a topic: of the topic itself, or with the first record."""
    properties = {**mesh.environment.kafka(user), "group.id": f"{user}.test", "enable.partition.eof": True}
    consumer = Consumer({**properties, "log_level": 0})
    try:
        error = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].error
        if error is not None:
            return str(error.name())
        consumer.assign([TopicPartition(topic, 0, 0)])
        for message in consumer.consume(1, TIMEOUT_S):
            error = message.error()
            return error.name() if error else "a record"
        return "nothing"
    finally:
        consumer.close()


READABLE_BY_NO_DOMAIN = ("notice", "person.change", "state.fan-out.persons", "in.pension", "receipt.pension")


@pytest.mark.parametrize(
    ("user", "topic"),
    [
        *(("pension", topic) for topic in READABLE_BY_NO_DOMAIN),
        *(("pension", f"domain.{domain}") for domain in DOMAINS if domain != "pension"),
        ("juki-cs.131041", "in.juki-cs.131041"),
        ("sink.child", "domain.care"),
        ("tracker", "conflict"),
    ],
)
def test_nobody_reads_what_is_not_his(mesh: Mesh, user: str, topic: str) -> None:
    """A domain what it is told; nobody but its step a state."""
    # A source has no group either, and may be told of that first.
    told = read_alone(mesh, user, topic)
    assert told in {"TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED"}


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_reads_what_it_is_told(mesh: Mesh, domain: str) -> None:
    """It has the right to its own topic: a record, or its end."""
    assert read_alone(mesh, domain, f"domain.{domain}") in {"a record", "_PARTITION_EOF"}


@pytest.mark.parametrize(
    ("user", "topic"), [("auditor", "notice"), ("pension", "domain.pension"), ("household", "notice")]
)
def test_nobody_joins_a_group_of_another(mesh: Mesh, user: str, topic: str) -> None:
    """Whoever could, would take a step's partitions away."""
    properties = {**mesh.environment.kafka(user), "group.id": "mesh.intake", "log_level": 0}
    consumer = Consumer(properties)
    try:
        consumer.subscribe([topic])
        told = [message.error() for message in consumer.consume(1, TIMEOUT_S)]
    finally:
        consumer.close()
    assert [error.name() for error in told if error] == ["GROUP_AUTHORIZATION_FAILED"]


def fence(mesh: Mesh, user: str, transactional_id: str) -> Callable[[], None]:
    """Taking over somebody's transactions."""
    properties = {**mesh.environment.kafka(user), "transactional.id": transactional_id, "log_level": 0}
    producer = Producer(properties)
    return lambda: producer.init_transactions(TIMEOUT_S)


def test_nobody_fences_another_steps_workers(mesh: Mesh) -> None:
    """A domain's user could stop the mesh otherwise."""
    with pytest.raises(KafkaException) as refused:
        fence(mesh, "pension", "mesh.household.0")()
    assert refused.value.args[0].code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
