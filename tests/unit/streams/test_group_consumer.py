"""A group's consumer returns which committed offsets are unstable, and stops the worker if its client has stalled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.errors import UnavailableError
from streams.librdkafka import group_consumer
from streams.librdkafka.group_consumer import UNHEALTHY_MAX_S, GroupConsumer, HealthCheckedConsumer

NO_BROKER = {"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "log_level": 0}
#: Duration of an answer per partition, as measured: a quarter of a second for 7,000.
ANSWER_S_PER_PARTITION = 0.25 / 7_000
#: The partition whose offset stays unstable.
UNSTABLE = 13


@pytest.fixture
def request_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replace the coordinator by one that takes twice as long as measured; return the sizes of its requests."""
    sizes: list[int] = []

    def committed(self: Any, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        sizes.append(len(partitions))
        too_late = timeout < 2 * ANSWER_S_PER_PARTITION * len(partitions)
        if too_late or any(each.partition == UNSTABLE for each in partitions):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return [TopicPartition(each.topic, each.partition, each.partition + 1) for each in partitions]

    monkeypatch.setattr(HealthCheckedConsumer, "committed", committed, raising=False)
    return sizes


def committed_offsets(count: int, first: int = 0) -> dict[int, tuple[int, bool]]:
    """Return the offset of each partition, and whether it is reported as unstable."""
    consumer = GroupConsumer(NO_BROKER)
    answers = consumer.committed([TopicPartition("t", first + number) for number in range(count)], 15)
    consumer.close()
    return {each.partition: (each.offset, each.error is not None) for each in answers}


def test_the_timeout_allows_for_many_partitions(request_sizes: list[int]) -> None:
    """The 7,000 partitions of a nation come in one answer."""
    assert committed_offsets(7_000, first=100) == {
        number: (number + 1, False) for number in range(100, 7_100)
    }
    assert request_sizes == [7_000]


def test_an_unstable_offset_is_found_by_bisection(request_sizes: list[int]) -> None:
    """The offsets of all other partitions are returned."""
    offsets = committed_offsets(32)
    assert {number for number, (_, unstable) in offsets.items() if unstable} == {UNSTABLE}
    assert offsets.keys() == set(range(32))
    assert request_sizes == [32, 16, 8, 8, 4, 4, 2, 1, 1, 2, 16]


def consumer_with_clock(step_s: float) -> tuple[HealthCheckedConsumer, list[float]]:
    """Return a consumer whose clock advances by `step_s` with each call, and the clock's time."""
    now_s = [0.0]

    def clock() -> float:
        now_s[0] += step_s
        return now_s[0]

    return HealthCheckedConsumer(NO_BROKER, clock), now_s


def consume_nothing(consumer: HealthCheckedConsumer, times: int) -> None:
    """Call `consume` several times; no broker is there to return anything."""
    for _ in range(times):
        assert consumer.consume(1, 0) == []


def report_statistics(consumer: HealthCheckedConsumer, statistics: str) -> None:
    """Call the callback that librdkafka calls with statistics, since it does so every ten seconds of real time only."""
    consumer._on_statistics(statistics)


def test_a_client_that_is_unhealthy_for_long_stops_the_worker() -> None:
    """Its statistics never report that a coordinator is known."""
    consumer, now_s = consumer_with_clock(1.0)
    with pytest.raises(UnavailableError, match="has been unhealthy for 60 s; last state: nothing"):
        consume_nothing(consumer, 1_000)
    assert UNHEALTHY_MAX_S < now_s[0] < UNHEALTHY_MAX_S + 5
    consumer.close()


def test_a_client_with_a_coordinator_is_healthy() -> None:
    """Each report of a coordinator restarts the limit; a report of none, or without a group, doesn't."""
    consumer, _ = consumer_with_clock(1.0)
    for _ in range(3):
        consume_nothing(consumer, int(UNHEALTHY_MAX_S) - 5)
        report_statistics(consumer, '{"cgrp": {"state": "up"}}')
    for statistics in ('{"cgrp": {"state": "wait-coord"}}', "{}"):
        consume_nothing(consumer, 25)
        report_statistics(consumer, statistics)
    with pytest.raises(UnavailableError):
        consume_nothing(consumer, 25)
    consumer.close()


def test_a_process_that_was_paused_stays_healthy() -> None:
    """A client without statistics counts as stalled, but a gap between two calls counts at most 2 s.

    The process may have been paused.
    """
    consumer, _ = consumer_with_clock(1_000.0)
    consume_nothing(consumer, 20)
    consumer.close()


def test_a_client_whose_close_does_not_return_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker ends after `CLOSE_S`, and its successor takes over the slot."""
    consumer, _ = consumer_with_clock(1.0)
    timeouts_s: list[float] = []

    def time_out(call: Callable[[], Any], timeout_s: float) -> Any:
        timeouts_s.append(timeout_s)
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    monkeypatch.setattr(group_consumer, "call_with_deadline", time_out)
    consumer.close()
    assert timeouts_s == [group_consumer.CLOSE_S]
