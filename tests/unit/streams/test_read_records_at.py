"""`read_records_at` reads the records of dead letters and blocked records again, for an operator command."""

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


class ScriptedClients(MemoryClients):
    """Clients whose reader returns the given messages, one list a read; each read takes a second."""

    def __init__(self, *reads: Sequence[LocalMessage]) -> None:
        super().__init__(MemoryLog(), "mesh.total", "mesh.total.0")
        self.reads, self.now_s, self.assigned_offsets = list(reads), 0.0, list[int]()

    def reader(self) -> ScriptedClients:  # type: ignore[override]
        """Return this object: it is the reader too."""
        return self

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Record the offsets."""
        self.assigned_offsets += [each.offset for each in partitions]

    def consume(self, num_messages: int, timeout: float) -> Sequence[LocalMessage]:
        """Return the messages of the next read."""
        self.now_s += 1
        return self.reads.pop(0) if self.reads else []

    def close(self) -> None:
        """Do nothing."""


def record(offset: int) -> LocalMessage:
    """Return a record at this offset."""
    return LocalMessage(NOTICE, offset, b"key", b"value")


def end(offset: int) -> LocalMessage:
    """Return the message that the partition ends at this offset."""
    return LocalMessage(NOTICE, offset, None, None, failure=KafkaError(KafkaError._PARTITION_EOF))


def offsets_read(clients: ScriptedClients, *offsets: int) -> list[int]:
    """Return those of the offsets whose records are read."""
    return sorted(read_records_at(clients, NOTICE, offsets, lambda: clients.now_s, TIMEOUT_S))


def test_deleted_records_do_not_delay_the_others() -> None:
    """A record is deleted if a later record or the end comes instead."""
    assert offsets_read(ScriptedClients([record(4), record(7), record(8), end(9)]), 4, 5, 7) == [4, 7]
    assert offsets_read(ScriptedClients([record(7), end(9)]), 5, 7, 8) == [7]


def test_a_record_after_the_end_is_waited_for() -> None:
    """A new leader may not know yet that the record is committed."""
    clients = ScriptedClients([record(7), end(8)], [], [record(8), end(9)])
    assert offsets_read(clients, 7, 8) == [7, 8]


def test_a_record_after_the_end_counts_as_deleted_at_the_deadline() -> None:
    """A log that has lost records must not block the command for ever."""
    clients = ScriptedClients([record(7), end(8)])
    assert offsets_read(clients, 7, 8, 11) == [7]
    assert clients.now_s > TIMEOUT_S


def test_brokers_that_return_neither_records_nor_an_end_are_unavailable() -> None:
    """Without an end it is unknown whether the records were deleted."""
    with pytest.raises(UnavailableError):
        offsets_read(ScriptedClients(), 7)
    with pytest.raises(UnavailableError):
        offsets_read(ScriptedClients([record(6)]), 6, 7)


def test_the_reader_jumps_over_wide_gaps_with_a_deadline_for_each() -> None:
    """Records behind an old dead letter may be far apart: together they take longer than one deadline."""
    offsets = [number * 10_000 for number in range(1, 21)]
    clients = ScriptedClients(*([record(offset)] for offset in offsets), [end(200_001)])
    assert offsets_read(clients, *offsets) == offsets
    assert clients.assigned_offsets == offsets
    assert clients.now_s > TIMEOUT_S
