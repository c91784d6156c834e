"""A local stack of three brokers: what any one of them may take with it when it dies is nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType, TopicMetadata

from infra.apply.installation import Installation
from infra.apply.reconcile import apply
from infra.environment import Environment
from infra.local.errors import HomeError
from infra.local.home import Home
from infra.local.stack import Stack
from schemas.topics import NOTICE

#: Three brokers take minutes: `make prove` runs them.
pytestmark = pytest.mark.proof

TIMEOUT_S = 30.0
DEADLINE_S = 60.0
INTERNAL = ("__consumer_offsets", "__transaction_state")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Three brokers, all applied."""
    found = Stack(Home(tmp_path_factory.mktemp("cluster") / "home"))
    try:
        found.up(brokers=3)
        apply(Environment.of_stack(found.home), Installation(found.home.folder))
        yield found
    finally:
        found.reset()


def administrator(stack: Stack) -> AdminClient:
    return AdminClient({**Environment.of_stack(stack.home).kafka("admin"), "log_level": 0})


def topics(stack: Stack) -> dict[str, TopicMetadata]:
    return administrator(stack).list_topics(timeout=TIMEOUT_S).topics


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"


def producer(stack: Stack) -> Producer:
    """One whose begun transaction has made the topic of transactions."""
    given = Environment.of_stack(stack.home).kafka("admin")
    made = Producer({**given, "transactional.id": "test", "log_level": 0})
    made.init_transactions(TIMEOUT_S)
    return made


def write(made: Producer) -> None:
    """One committed record; what one broker's end interrupts is done again."""
    made.begin_transaction()
    made.produce(NOTICE, b"a record", partition=0)
    try:
        made.commit_transaction(TIMEOUT_S)
    except KafkaException as error:
        if not error.args[0].txn_requires_abort():
            raise
        made.abort_transaction(TIMEOUT_S)
        write(made)


def test_every_topic_has_three_copies_of_which_two_must_have_a_record(stack: Stack) -> None:
    """The mesh's, and those that Kafka keeps offsets and transactions in."""
    write(producer(stack))
    client = administrator(stack)
    found = topics(stack)
    assert {len(each.partitions[0].replicas) for name, each in found.items() if name != INTERNAL[0]} == {3}
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in found]
    told = [each.result(TIMEOUT_S) for each in client.describe_configs(asked).values()]
    assert {each["min.insync.replicas"].value for each in told} == {"2"}


@pytest.mark.parametrize("name", ["Kafka", "Kafka 2", "Kafka 3"])
def test_any_broker_may_die_and_comes_back_alone(stack: Stack, name: str) -> None:
    """Records are taken while it is gone; `up` starts that one, and its copies catch up."""
    made = producer(stack)
    write(made)
    before = {each.name: each.pid for each in stack.status()}
    process = stack.servers()[name].process()
    assert process is not None
    process.kill()
    process.wait(TIMEOUT_S)
    write(made)
    assert Environment.of_stack(stack.home).kafka("admin")
    stack.up()
    after = {each.name: each.pid for each in stack.status()}
    assert {other for other in before if before[other] != after[other]} == {name}
    until(
        lambda: all(len(p.isrs) == 3 for each in topics(stack).values() for p in each.partitions.values()),
        "all copies have caught up",
    )


def test_the_number_of_brokers_stays(stack: Stack) -> None:
    """A home of three does not become one of one."""
    with pytest.raises(HomeError, match="--brokers 3"):
        stack.up(brokers=1)
    stack.up(brokers=3)


def test_clients_may_be_led_through_another_port(tmp_path: Path) -> None:
    """Who comes by a broker's tunnel is told of the advertised port, all others of the broker's own."""
    home = Home(tmp_path / "home")
    stack = Stack(home)
    try:
        ports = stack.up(wait_for_registry=False, tunnels=[29_999]).ports
        environment = Environment.of_stack(home)
        told = {}
        for port in (ports.kafka, ports.tunnels[0].port):
            given = environment.kafka("admin") | {"bootstrap.servers": f"127.0.0.1:{port}"}
            brokers = AdminClient({**given, "log_level": 0}).list_topics(timeout=TIMEOUT_S).brokers
            told[port] = [each.port for each in brokers.values()]
        assert told == {
            ports.kafka: [ports.kafka],
            ports.tunnels[0].port: [29_999],
        }
    finally:
        stack.reset()
