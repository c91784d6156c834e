"""A member of a group tells which committed offsets are held, and waits long enough for those of many."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.kafka_clients import GroupConsumer
from streams.librdkafka.health import HealthCheckedConsumer

NOWHERE = {"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "log_level": 0}
#: What an answer takes, as measured: a quarter of a second for 7,000.
EACH_S = 0.25 / 7_000


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many were asked for each time; partition 13 is held for ever."""
    seen: list[int] = []

    def committed(self: Any, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        seen.append(len(partitions))
        late = timeout < 2 * EACH_S * len(partitions)
        if late or any(each.partition == 13 for each in partitions):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return [TopicPartition(each.topic, each.partition, each.partition + 1) for each in partitions]

    monkeypatch.setattr(HealthCheckedConsumer, "committed", committed, raising=False)
    return seen


def _told(count: int, first: int = 0) -> dict[int, tuple[int, bool]]:
    member = GroupConsumer(NOWHERE)
    found = member.committed([TopicPartition("t", first + number) for number in range(count)], 15)
    member.close()
    return {each.partition: (each.offset, each.error is not None) for each in found}


def test_the_offsets_of_many_partitions_are_waited_for(asked: list[int]) -> None:
    """A nation's 7,000 come in one answer, from a broker that takes twice as long as it should too."""
    assert _told(7_000, first=100) == {number: (number + 1, False) for number in range(100, 7_100)}
    assert asked == [7_000]


def test_who_is_held_is_told_apart(asked: list[int]) -> None:
    """By halves: all others are told."""
    told = _told(32)
    assert {number for number, (_, held) in told.items() if held} == {13}
    assert told.keys() == set(range(32))
    assert asked == [32, 16, 8, 8, 4, 4, 2, 1, 1, 2, 16]
