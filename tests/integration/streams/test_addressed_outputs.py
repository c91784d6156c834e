"""Records for every partition, and for a step's own input: each takes effect once, whatever is killed or aborted."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.topics import state_topic
from streams.errors import DeniedError
from tests.integration.cluster import wait_until
from tests.integration.streams.broker import Broker, ProducerWrapper, WorkerProcess, process
from tests.unit.streams import addressed_toys

PARTITIONS = 3
AMOUNTS = [("a", 2), ("b", 0), ("c", 4), ("a", 1)]


class FailingOnce(ProducerWrapper):
    """A producer whose first commit of a batch fails with an unknown outcome: its records are at the broker."""

    failures = 0

    def before_commit(self) -> None:
        """Fail once in the test."""
        self.inner.flush(30)
        if not FailingOnce.failures:
            FailingOnce.failures += 1
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


def create_topics(broker: Broker) -> tuple[str, str]:
    """Create the topics of the steps `announce` and `count-down`; return the input topic of each."""
    submitted, announced = f"{broker.prefix}-in.x", f"{broker.prefix}-item"
    broker.create(submitted)
    broker.create(announced, f"{broker.prefix}-total", partitions=PARTITIONS)
    changelog = state_topic(broker.step_name("count-down"), "sums")
    broker.create(changelog, partitions=PARTITIONS, compacted=True)
    broker.create_dlq_topics("announce")
    broker.create_dlq_topics("count-down", PARTITIONS)
    return submitted, announced


def test_broadcast_and_continued_records_take_effect_once(
    broker: Broker, workers: list[WorkerProcess]
) -> None:
    """A broadcast is aborted and published again; a worker dies while it continues, and the next one goes on."""
    submitted, announced = create_topics(broker)
    broker.write_items(submitted, AMOUNTS)
    announce = broker.pipeline("announce", wrap=FailingOnce)
    announce.start()
    process(announce, records=len(AMOUNTS))
    announce.close()
    assert FailingOnce.failures == 1
    assert broker.is_idle(submitted, "announce")
    expected_names = PARTITIONS * [name for name, _ in AMOUNTS]
    assert sorted(row["name"] for row in broker.rows(announced, "item")) == sorted(expected_names)
    small: dict[str, Any] = {"batch_records_max": 2}
    dead = broker.start_worker(workers, "count-down", die_at=3, settings=small)
    assert dead.wait(60) == -signal.SIGKILL
    assert not broker.is_idle(announced, "count-down")
    broker.start_worker(workers, "count-down", settings=small)
    wait_until("all records are processed", lambda: broker.is_idle(announced, "count-down"))
    assert broker.sums() == addressed_toys.expected_counts(AMOUNTS, PARTITIONS)
    items = [message.partition() for message in broker.read(announced)]
    per_partition = sum(amount + 1 for _, amount in AMOUNTS)
    assert [items.count(number) for number in range(PARTITIONS)] == PARTITIONS * [per_partition]


def test_a_record_that_a_step_wrote_to_its_own_input_is_lag(broker: Broker) -> None:
    """The step isn't idle before it has read it."""
    _, announced = create_topics(broker)
    worker = broker.pipeline("count-down")
    worker.start()
    broker.write_items(announced, [("a", 1)], partition=1)
    process(worker)
    assert not broker.is_idle(announced, "count-down")
    process(worker)
    assert broker.is_idle(announced, "count-down")
    worker.close()
    assert broker.sums() == {"a/1": [1, 2]}


def test_a_broadcast_to_a_missing_topic_stops_the_worker(broker: Broker) -> None:
    """As any output to a missing topic does."""
    submitted = f"{broker.prefix}-in.x"
    broker.create(submitted)
    broker.create_dlq_topics("announce")
    broker.write_items(submitted, AMOUNTS)
    worker = broker.pipeline("announce")
    worker.start()
    with pytest.raises(DeniedError, match="UNKNOWN_TOPIC"):
        process(worker)
    worker.close()
    assert not broker.is_idle(submitted, "announce")
