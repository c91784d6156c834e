"""What chaos looks for in the end: partitions with a transaction that nobody has ended."""

from __future__ import annotations

from confluent_kafka import Producer

from infra.environment import Environment
from tests.chaos.evidence import open_at_the_end
from tests.integration.streams.conftest import DEADLINE_S, Broker, wait_until


def test_a_transaction_that_is_open_is_seen_until_it_is_ended(
    broker: Broker, environment: Environment
) -> None:
    """In the partition that it has written to, and in no other of its topic; afterwards it isn't any more."""
    topic = f"{broker.prefix}-open"
    broker.create(topic, partitions=2)
    producer = Producer({**broker.connection, "transactional.id": f"{broker.prefix}-open.0"})
    producer.init_transactions(DEADLINE_S)
    producer.begin_transaction()
    producer.produce(topic, b"value", b"key", 1)
    assert producer.flush(DEADLINE_S) == 0
    looks = open_at_the_end(environment, DEADLINE_S)
    assert [place for place in next(looks) if place[0] == topic] == [(topic, 1)]
    producer.commit_transaction(DEADLINE_S)
    wait_until("it is ended", lambda: all(place[0] != topic for place in next(looks)))


def test_what_stays_open_is_told_when_the_time_is_over(broker: Broker, environment: Environment) -> None:
    """The last look's is what is found."""
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
