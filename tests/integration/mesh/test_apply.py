"""`mesh apply` on real servers: it is repeatable, and no user may do more than is declared."""

from __future__ import annotations

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
from infra.apply.adoption_commands import submit_adoption
from infra.apply.applied_declarations import applied_number
from infra.apply.reconcile import apply, declared_topics
from schemas.systems import DOMAINS
from schemas.topics import subject
from tests.integration.cluster import MUNICIPALITIES
from tests.integration.mesh.conftest import Mesh
from tests.standard_level import STANDARD_DOMAINS

TIMEOUT_S = 15.0


def test_applying_twice_changes_nothing(mesh: Mesh) -> None:
    """The second `apply` changes no user, topic, ACL, subject or store."""
    apply(mesh.environment, mesh.installation, MUNICIPALITIES)
    assert apply(mesh.environment, mesh.installation, MUNICIPALITIES).changes == 0


def test_a_lost_file_of_the_declarations_number(mesh: Mesh) -> None:
    """The next number follows the highest that was submitted: a replay must get past the commands of before."""
    apply(mesh.environment, mesh.installation, MUNICIPALITIES)
    submitted = submit_adoption(mesh.environment, mesh.installation)
    assert submitted == applied_number(mesh.installation)
    mesh.installation.declarations.unlink()
    apply(mesh.environment, mesh.installation, MUNICIPALITIES)
    assert applied_number(mesh.installation) == submitted + 1


def test_an_acl_that_is_not_declared_is_removed(mesh: Mesh) -> None:
    """It may have been added by hand, or its declaration may have been deleted."""
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
    topics_and_acls.wait_until_enforced(client)
    applied = apply(mesh.environment, mesh.installation)
    assert (applied.acls_removed, applied.changes) == (1, 1)


def test_a_changed_topic_setting_is_restored(mesh: Mesh) -> None:
    """A retention time would delete old records."""
    client = AdminClient({**mesh.environment.kafka("admin")})
    wrong = ConfigEntry("retention.ms", "1000000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, "notice", incremental_configs=[wrong])
    client.incremental_alter_configs([resource])[resource].result(TIMEOUT_S)
    topics_and_acls.wait_until_enforced(client)
    assert apply(mesh.environment, mesh.installation).topics == 1
    configs = client.describe_configs([ConfigResource(ResourceType.TOPIC, "notice")])
    config = next(iter(configs.values())).result(TIMEOUT_S)
    assert config["retention.ms"].value == "-1"


def test_every_topic_has_its_schema_and_compatibility_is_full_transitive(mesh: Mesh) -> None:
    """A plain client of the registry sees the subjects."""
    with SchemaRegistryClient({"url": mesh.environment.registry_url}) as client:
        known = set(client.get_subjects())
        compatibility = client.get_config().compatibility_level
    assert {subject(topic.name) for topic in declared_topics(mesh.installation)} <= known
    assert compatibility == ConfigCompatibilityLevel.FULL_TRANSITIVE


def write_errors(mesh: Mesh, user: str, topic: str) -> list[str]:
    """Write a record as a user; return the name of the error, or `none`."""
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
def test_a_user_can_not_write_topics_of_others(mesh: Mesh, user: str, topic: str) -> None:
    """A source writes only its own topic; none can submit for another municipality."""
    assert write_errors(mesh, user, topic) == ["TOPIC_AUTHORIZATION_FAILED"]


def read_alone(mesh: Mesh, user: str, topic: str) -> str:
    """Read a topic as a user without other members; return an error name, `a record` or `nothing`."""
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
def test_a_user_can_not_read_topics_of_others(mesh: Mesh, user: str, topic: str) -> None:
    """A domain reads only its own topic; only a step reads its state."""
    # A source has no group either; the broker may report that first.
    error = read_alone(mesh, user, topic)
    assert error in {"TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED"}


@pytest.mark.parametrize("domain", STANDARD_DOMAINS)
def test_a_domain_reads_its_own_topic(mesh: Mesh, domain: str) -> None:
    """The broker returns a record, or the end of the topic."""
    assert read_alone(mesh, domain, f"domain.{domain}") in {"a record", "_PARTITION_EOF"}


@pytest.mark.parametrize(
    ("user", "topic"), [("auditor", "notice"), ("pension", "domain.pension"), ("household", "notice")]
)
def test_a_user_can_not_join_the_group_of_another(mesh: Mesh, user: str, topic: str) -> None:
    """A member of a step's group would take partitions from its workers."""
    properties = {**mesh.environment.kafka(user), "group.id": "mesh.intake", "log_level": 0}
    consumer = Consumer(properties)
    try:
        consumer.subscribe([topic])
        errors = [message.error() for message in consumer.consume(1, TIMEOUT_S)]
    finally:
        consumer.close()
    assert [error.name() for error in errors if error] == ["GROUP_AUTHORIZATION_FAILED"]


def test_a_user_can_not_fence_the_workers_of_a_step(mesh: Mesh) -> None:
    """Otherwise a domain's user could stop the mesh."""
    properties = {**mesh.environment.kafka("pension"), "transactional.id": "mesh.household.0", "log_level": 0}
    producer = Producer(properties)
    with pytest.raises(KafkaException) as denied:
        producer.init_transactions(TIMEOUT_S)
    assert denied.value.args[0].code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
