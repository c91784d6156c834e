"""Records that were set aside are read again where they stand, for an officer's act."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from confluent_kafka import KafkaError, TopicPartition

from streams.clients import LocalMessage, Partition
from streams.commands import read_records_at
from streams.errors import UnavailableError
from streams.testing.memory_log import MemoryClients, MemoryLog

NOTICE: Partition = ("notice", 0)
TIMEOUT_S = 15.0


class Slow(MemoryClients):
    """A reader that gives what a test says, batch after batch, and takes a second over each."""

    def __init__(self, *batches: Sequence[LocalMessage]) -> None:
        super().__init__(MemoryLog(), "mesh.total", "mesh.total.0")
        self.batches, self.now_s, self.starts = list(batches), 0.0, list[int]()

    def reader(self) -> Slow:  # type: ignore[override]
        """Itself."""
        return self

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Notes from where."""
        self.starts += [each.offset for each in partitions]

    def consume(self, num_messages: int, timeout: float) -> Sequence[LocalMessage]:
        """The next batch."""
        self.now_s += 1
        return self.batches.pop(0) if self.batches else []

    def close(self) -> None:
        """Nothing is left to be closed."""


def record(offset: int) -> LocalMessage:
    return LocalMessage(NOTICE, offset, b"key", b"value")


def end(offset: int) -> LocalMessage:
    return LocalMessage(NOTICE, offset, None, None, failure=KafkaError(KafkaError._PARTITION_EOF))


def found(clients: Slow, *offsets: int) -> list[int]:
    return sorted(read_records_at(clients, NOTICE, offsets, lambda: clients.now_s, TIMEOUT_S))


def test_what_is_gone_keeps_nothing_back_that_is_there() -> None:
    """Before it, behind it, or at the end."""
    assert found(Slow([record(4), record(7), record(8), end(9)]), 4, 5, 7) == [4, 7]
    assert found(Slow([record(7), end(9)]), 5, 7, 8) == [7]


def test_a_record_at_the_end_is_waited_for() -> None:
    """A new leader may not know yet that it is committed."""
    assert found(Slow([record(7), end(8)], [], [record(8), end(9)]), 7, 8) == [7, 8]


def test_what_stands_behind_the_end_for_so_long_is_gone() -> None:
    """Nobody waits for ever for what a log has lost."""
    clients = Slow([record(7), end(8)])
    assert found(clients, 7, 8, 11) == [7]
    assert clients.now_s > TIMEOUT_S


def test_brokers_that_give_nothing_are_told() -> None:
    """Neither records nor an end."""
    with pytest.raises(UnavailableError):
        found(Slow(), 7)
    with pytest.raises(UnavailableError):
        found(Slow([record(6)]), 6, 7)


def test_wide_gaps_are_leapt_over_each_in_its_own_time() -> None:
    """What waits behind an old letter may lie far apart: all of it takes longer than one read may."""
    places = [number * 10_000 for number in range(1, 21)]
    clients = Slow(*([record(place)] for place in places), [end(200_001)])
    assert found(clients, *places) == places
    assert clients.starts == places
    assert clients.now_s > TIMEOUT_S
