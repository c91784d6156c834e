"""A local stack of three brokers loses nothing when one of them dies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType, TopicMetadata

from infra.apply.installation import Installation
from infra.apply.reconcile import apply
from infra.environment import Environment
from infra.errors import HomeError
from infra.local.home import Home
from infra.local.stack import Stack
from schemas.topics import NOTICE
from tests.integration.cluster import wait_until

#: Three brokers take minutes: `make prove` runs them.
pytestmark = pytest.mark.proof

TIMEOUT_S = 30.0
OFFSETS_TOPIC = "__consumer_offsets"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Yield a stack of three brokers with all declarations applied."""
    stack = Stack(Home(tmp_path_factory.mktemp("cluster") / "home"))
    try:
        stack.up(brokers=3)
        apply(Environment.of_stack(stack.home), Installation(stack.home.folder))
        yield stack
    finally:
        stack.reset()


def administrator(stack: Stack) -> AdminClient:
    return AdminClient({**Environment.of_stack(stack.home).kafka("admin"), "log_level": 0})


def topics(stack: Stack) -> dict[str, TopicMetadata]:
    return administrator(stack).list_topics(timeout=TIMEOUT_S).topics


def new_producer(stack: Stack) -> Producer:
    """Return a producer whose first transaction creates the topic `__transaction_state`."""
    properties = Environment.of_stack(stack.home).kafka("admin")
    producer = Producer({**properties, "transactional.id": "test", "log_level": 0})
    producer.init_transactions(TIMEOUT_S)
    return producer


def write(producer: Producer) -> None:
    """Commit one record; try again if the death of a broker aborts the transaction."""
    producer.begin_transaction()
    producer.produce(NOTICE, b"a record", partition=0)
    try:
        producer.commit_transaction(TIMEOUT_S)
    except KafkaException as error:
        if not error.args[0].txn_requires_abort():
            raise
        producer.abort_transaction(TIMEOUT_S)
        write(producer)


def test_every_topic_has_three_replicas_of_which_two_must_have_a_record(stack: Stack) -> None:
    """Check the topics of the mesh, and those in which Kafka stores offsets and transactions."""
    write(new_producer(stack))
    client = administrator(stack)
    known = topics(stack)
    replicas = {len(topic.partitions[0].replicas) for name, topic in known.items() if name != OFFSETS_TOPIC}
    assert replicas == {3}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in known]
    configs = [future.result(TIMEOUT_S) for future in client.describe_configs(resources).values()]
    assert {config["min.insync.replicas"].value for config in configs} == {"2"}


@pytest.mark.parametrize("name", ["Kafka", "Kafka 2", "Kafka 3"])
def test_any_broker_may_die_and_is_restarted_alone(stack: Stack, name: str) -> None:
    """Records are accepted while a broker is down; `up` starts only that one, and its replicas catch up."""
    producer = new_producer(stack)
    write(producer)
    before = {server.name: server.pid for server in stack.status()}
    process = stack.servers()[name].process()
    assert process is not None
    process.kill()
    process.wait(TIMEOUT_S)
    write(producer)
    assert Environment.of_stack(stack.home).kafka("admin")
    stack.up()
    after = {server.name: server.pid for server in stack.status()}
    assert {other for other in before if before[other] != after[other]} == {name}
    wait_until(
        "all replicas have caught up",
        lambda: all(len(p.isrs) == 3 for topic in topics(stack).values() for p in topic.partitions.values()),
    )


def test_the_number_of_brokers_cannot_change(stack: Stack) -> None:
    """A home of three brokers can't become one of one."""
    with pytest.raises(HomeError, match="--brokers 3"):
        stack.up(brokers=1)
    stack.up(brokers=3)


def test_clients_may_connect_through_another_port(tmp_path: Path) -> None:
    """A client that connects through a tunnel gets the advertised port, any other the broker's own."""
    home = Home(tmp_path / "home")
    stack = Stack(home)
    try:
        ports = stack.up(wait_for_registry=False, tunnels=[29_999]).ports
        environment = Environment.of_stack(home)
        advertised = {}
        for port in (ports.kafka, ports.tunnels[0].port):
            properties = environment.kafka("admin") | {"bootstrap.servers": f"127.0.0.1:{port}"}
            brokers = AdminClient({**properties, "log_level": 0}).list_topics(timeout=TIMEOUT_S).brokers
            advertised[port] = [broker.port for broker in brokers.values()]
        assert advertised == {
            ports.kafka: [ports.kafka],
            ports.tunnels[0].port: [29_999],
        }
    finally:
        stack.reset()
