"""A partition is processed only after its state is complete: up to the worker's own barrier token on each changelog."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from confluent_kafka import KafkaError, TopicPartition

from streams.clients import LocalMessage, Partition
from streams.errors import StateError
from streams.restore import Restorer
from streams.settings import PipelineSettings
from streams.task import StreamTask
from streams.testing.memory_log import MemoryClients, MemoryLog
from tests.unit.streams import toys

SUMS: Partition = ("state.total.sums", 0)
DLQ: Partition = ("state.total.dlq", 0)
TOKEN = "barrier/1"
INPUT: Partition = ("item", 0)


class ScriptedClients(MemoryClients):
    """Clients whose reader returns the given messages, one list a read."""

    reads: list[Sequence[LocalMessage]]
    closed = 0

    def reader(self) -> ScriptedClients:  # type: ignore[override]
        """Return this object: it is the reader too."""
        return self

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Record the partitions and offsets."""
        self.assigned = [(each.topic, each.partition, each.offset) for each in partitions]

    def consume(self, num_messages: int, timeout: float) -> Sequence[LocalMessage]:
        """Return the messages of the next read."""
        return self.reads.pop(0) if self.reads else []

    def close(self) -> None:
        """Count the call."""
        self.closed += 1


def record(offset: int, key: str, value: bytes | None) -> LocalMessage:
    """Return a record of the changelog of sums."""
    return LocalMessage(SUMS, offset, key.encode(), value)


def token(offset: int, changelog: Partition = SUMS, key: str = TOKEN) -> LocalMessage:
    """Return a barrier token, which follows everything that was committed before it."""
    return LocalMessage(changelog, offset, key.encode(), None)


def end(offset: int) -> LocalMessage:
    """Return the message that the committed records of the changelog end at this offset."""
    return LocalMessage(SUMS, offset, None, None, failure=KafkaError(KafkaError._PARTITION_EOF))


def begin_restore(
    reads: list[Sequence[LocalMessage]], now_s: list[float]
) -> tuple[Restorer, ScriptedClients, dict[str, bytes]]:
    """Begin to restore the task of INPUT; return the restorer, its clients, and the committed sums."""
    step, settings = toys.steps()[1], PipelineSettings()
    clients = ScriptedClients(MemoryLog(), "g", "t")
    clients.reads = reads
    task = StreamTask.create(step, INPUT, toys.CODEC, settings.record_bytes_max)
    restorer = Restorer(step, clients, settings, lambda: now_s[0])
    restorer.begin({INPUT: task}, TOKEN)
    return restorer, clients, task.state["sums"].committed


def test_a_restore_waits_for_an_open_transaction() -> None:
    """The end of the committed records isn't the end: a transaction before the token may still be committed."""
    first = [record(0, "a", b"1"), end(1), token(0, DLQ)]
    restorer, clients, sums = begin_restore([first, [], [record(1, "b", b"2"), token(3)]], [0.0])
    assert clients.assigned == [(*SUMS, 0), (*DLQ, 0)]
    assert [restorer.poll(0), restorer.poll(0), restorer.poll(0)] == [[], [], [INPUT]]
    assert sums == {"a": b"1", "b": b"2"}
    assert (restorer.active, clients.closed) == (False, 1)


def test_only_the_own_token_completes_a_changelog() -> None:
    """A stale broker may report an end; another worker's token may be older than the last commit."""
    first = [record(0, "a", b"1"), token(0, DLQ), token(1, key="barrier/2"), end(9)]
    restorer, _, _ = begin_restore([first, [token(4)]], [0.0])
    assert [restorer.poll(0), restorer.poll(0)] == [[], [INPUT]]


def test_a_tombstone_deletes() -> None:
    """A key that was deleted isn't restored."""
    read = [record(0, "a", b"1"), record(1, "a", None), record(2, "b", b"2"), token(3), token(0, DLQ)]
    restorer, _, sums = begin_restore([read], [0.0])
    assert restorer.poll(0) == [INPUT]
    assert sums == {"b": b"2"}


def test_a_restore_without_progress_stops_the_worker() -> None:
    """If nothing is read for `restore_stall_timeout_s`, stop: a worker must not continue with incomplete state."""
    now_s = [0.0]
    restorer, _, _ = begin_restore([[record(0, "a", b"1")]], now_s)
    restorer.poll(0)
    now_s[0] = 89
    assert restorer.poll(0) == []
    now_s[0] = 91
    with pytest.raises(StateError):
        restorer.poll(0)


def test_the_restore_of_a_revoked_partition_ends() -> None:
    """Ignore its records, and close the reader."""
    restorer, clients, sums = begin_restore([[record(0, "a", b"1")]], [0.0])
    restorer.drop([INPUT])
    assert (restorer.poll(0), sums, clients.closed) == ([], {}, 1)


def test_a_changelog_record_without_key_stops_the_worker() -> None:
    """It can't be part of a state, so the topic isn't the step's changelog."""
    restorer, _, _ = begin_restore([[LocalMessage(SUMS, 0, None, b"1")]], [0.0])
    with pytest.raises(StateError):
        restorer.poll(0)
