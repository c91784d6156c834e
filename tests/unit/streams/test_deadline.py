"""A call with a timeout ends in time, even if librdkafka's call doesn't return."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.kafka_clients import producer_properties
from streams.kafka_errors import ErrorAction, error_action
from streams.librdkafka import deadline
from streams.librdkafka.deadline import call_with_deadline
from streams.librdkafka.transactional_producer import TransactionalProducer
from streams.settings import PipelineSettings

NO_BROKER = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}


def test_a_call_that_ends_in_time_has_its_own_outcome() -> None:
    """Return what the call returns, and raise what it raises."""
    assert call_with_deadline(lambda: 5, 10) == 5
    with pytest.raises(ZeroDivisionError):
        call_with_deadline(lambda: 1 // 0, 10)


def test_a_call_that_does_not_return_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its outcome is unknown, so the error must lead to a new producer."""
    monkeypatch.setattr(deadline, "GRACE_S", 0.05)
    never_set, started_s = threading.Event(), time.monotonic()
    with pytest.raises(KafkaException) as raised:
        call_with_deadline(never_set.wait, 0.05)
    duration_s = time.monotonic() - started_s
    never_set.set()
    assert raised.value.args[0].code() == KafkaError._TIMED_OUT
    assert error_action(raised.value.args[0]) is ErrorAction.REPLACE
    assert duration_s < 5


def test_every_call_of_a_transaction_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call waits for a coordinator that may go away; errors that it raises itself pass through."""
    timeouts_s: list[float] = []

    def record_timeout(call: Callable[[], object], timeout_s: float) -> object:
        timeouts_s.append(timeout_s)
        return call_with_deadline(call, timeout_s)

    monkeypatch.setattr("streams.librdkafka.transactional_producer.call_with_deadline", record_timeout)
    properties = producer_properties(NO_BROKER, "mesh.x.0", PipelineSettings())
    producer = TransactionalProducer(properties, "dlq.x")
    consumer = Consumer({**NO_BROKER, "group.id": "mesh.x"})
    calls: tuple[Callable[[], object], ...] = (
        lambda: producer.init_transactions(0.1),
        lambda: producer.send_offsets_to_transaction(
            [TopicPartition("a", 0, 1)], consumer.consumer_group_metadata(), 0.2
        ),
        lambda: producer.commit_transaction(0.3),
        lambda: producer.abort_transaction(0.4),
    )
    for call in calls:
        with pytest.raises(KafkaException):
            call()
    consumer.close()
    assert timeouts_s == [0.1, 0.2, 0.3, 0.4]
