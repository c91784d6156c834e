"""The last check of a chaos run: partitions that still have an open transaction."""

from __future__ import annotations

from confluent_kafka import Producer

from infra.environment import Environment
from tests.chaos.evidence import open_at_the_end
from tests.integration.cluster import wait_until
from tests.integration.streams.broker import DEADLINE_S, Broker


def test_an_open_transaction_is_reported_until_it_ends(broker: Broker, environment: Environment) -> None:
    """Only the partition that the transaction has written to is reported."""
    topic = f"{broker.prefix}-open"
    broker.create(topic, partitions=2)
    producer = Producer({**broker.connection, "transactional.id": f"{broker.prefix}-open.0"})
    producer.init_transactions(DEADLINE_S)
    producer.begin_transaction()
    producer.produce(topic, b"value", b"key", 1)
    assert producer.flush(DEADLINE_S) == 0
    reports = open_at_the_end(environment, DEADLINE_S)
    assert [partition for partition in next(reports) if partition[0] == topic] == [(topic, 1)]
    producer.commit_transaction(DEADLINE_S)
    wait_until("it has ended", lambda: all(partition[0] != topic for partition in next(reports)))


def test_a_transaction_that_stays_open_is_in_the_last_report(
    broker: Broker, environment: Environment
) -> None:
    """The reports end after the given time."""
    topic = f"{broker.prefix}-left"
    broker.create(topic)
    producer = Producer({**broker.connection, "transactional.id": f"{broker.prefix}-left.0"})
    producer.init_transactions(DEADLINE_S)
    producer.begin_transaction()
    producer.produce(topic, b"value", b"key", 0)
    assert producer.flush(DEADLINE_S) == 0
    *_, last = open_at_the_end(environment, 2.0)
    assert (topic, 0) in last
    producer.abort_transaction(DEADLINE_S)
