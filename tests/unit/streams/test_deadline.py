"""A call with a timeout comes back in time, whatever it does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.kafka_clients import producer_properties
from streams.kafka_errors import ErrorAction, error_action
from streams.librdkafka import deadline as module
from streams.librdkafka.deadline import call_with_deadline
from streams.librdkafka.producer import TransactionalProducer
from streams.settings import PipelineSettings

NOBODY = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}


def test_what_comes_in_time_is_as_it_was() -> None:
    """A value, or an error."""
    assert call_with_deadline(lambda: 5, 10) == 5
    with pytest.raises(ZeroDivisionError):
        call_with_deadline(lambda: 1 // 0, 10)


def test_a_call_that_never_returns_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its outcome is unknown, so that the producer is replaced; whoever waits goes on."""
    monkeypatch.setattr(module, "GRACE_S", 0.05)
    never, begun = threading.Event(), time.monotonic()
    with pytest.raises(KafkaException) as raised:
        call_with_deadline(never.wait, 0.05)
    took_s = time.monotonic() - begun
    never.set()
    assert raised.value.args[0].code() == KafkaError._TIMED_OUT
    assert error_action(raised.value.args[0]) is ErrorAction.REPLACE
    assert took_s < 5


def test_every_call_of_a_transaction_that_has_a_timeout_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them waits for a coordinator that may go away; what it raises by itself comes through."""
    asked: list[float] = []

    def noting(call: object, timeout_s: float) -> object:
        asked.append(timeout_s)
        return call_with_deadline(call, timeout_s)  # type: ignore[arg-type]

    monkeypatch.setattr("streams.librdkafka.producer.call_with_deadline", noting)
    producer = TransactionalProducer(producer_properties(NOBODY, "mesh.x.0", PipelineSettings()), "dlq.x")
    consumer = Consumer({**NOBODY, "group.id": "mesh.x"})
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
    assert asked == [0.1, 0.2, 0.3, 0.4]
