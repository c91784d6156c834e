"""State is whole before its partition goes on."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from confluent_kafka import KafkaError, TopicPartition

from streams.clients import LocalMessage, Partition
from streams.errors import StateError
from streams.processing import Processing
from streams.restore import Restorer
from streams.settings import PipelineSettings
from streams.testing.driver import SEALER
from streams.testing.memory_log import MemoryClients, MemoryLog
from tests.unit.streams import toys

CHANGELOG: Partition = ("state.total.sums", 0)
PARKED: Partition = ("state.total.dlq", 0)
MARK = "mark/1"
INPUT: Partition = ("item", 0)


class Scripted(MemoryClients):
    """A reader that gives what a test says, batch after batch."""

    batches: list[Sequence[LocalMessage]]
    closed = 0

    def reader(self) -> Scripted:  # type: ignore[override]
        """Itself."""
        return self

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Notes it."""
        self.assigned = [(each.topic, each.partition, each.offset) for each in partitions]

    def consume(self, num_messages: int, timeout: float) -> Sequence[LocalMessage]:
        """The next batch."""
        return self.batches.pop(0) if self.batches else []

    def close(self) -> None:
        """Counts."""
        self.closed += 1


def record(offset: int, key: str, value: bytes | None) -> LocalMessage:
    """A record of the changelog."""
    return LocalMessage(CHANGELOG, offset, key.encode(), value)


def mark(offset: int, of: Partition = CHANGELOG, key: str = MARK) -> LocalMessage:
    """Whose comes after all that was there."""
    return LocalMessage(of, offset, key.encode(), None)


def end(offset: int) -> LocalMessage:
    """The end of what committed records there are."""
    return LocalMessage(CHANGELOG, offset, None, None, failure=KafkaError(KafkaError._PARTITION_EOF))


def begun(
    batches: list[Sequence[LocalMessage]], now: list[float]
) -> tuple[Restorer, Scripted, dict[str, bytes]]:
    """A restoration under way, and what it has restored."""
    step, settings = toys.steps()[1], PipelineSettings()
    clients = Scripted(MemoryLog(), "g", "t")
    clients.batches = batches
    kept = Processing(step, toys.CODEC, settings, SEALER).new(INPUT)
    restorer = Restorer(step, clients, settings, lambda: now[0])
    restorer.begin({INPUT: kept}, MARK)
    return restorer, clients, kept.state["sums"].committed


def test_an_open_transaction_is_waited_for() -> None:
    """The end of what is committed isn't the end: a commit may be on its way to this very partition."""
    restorer, clients, held = begun(
        [[record(0, "a", b"1"), end(1), mark(0, PARKED)], [], [record(1, "b", b"2"), mark(3)]], [0.0]
    )
    assert clients.assigned == [(*CHANGELOG, 0), (*PARKED, 0)]
    assert [restorer.poll(0), restorer.poll(0), restorer.poll(0)] == [[], [], [INPUT]]
    assert held == {"a": b"1", "b": b"2"}
    assert (restorer.active, clients.closed) == (False, 1)


def test_an_end_is_no_mark() -> None:
    """Who tells an end may be deposed: state is whole with our own mark on each changelog, and no other's."""
    restorer, _, _ = begun(
        [[record(0, "a", b"1"), mark(0, PARKED), mark(1, key="mark/2"), end(9)], [mark(4)]], [0.0]
    )
    assert [restorer.poll(0), restorer.poll(0)] == [[], [INPUT]]


def test_a_tombstone_forgets() -> None:
    """What was deleted stays deleted."""
    batch = [record(0, "a", b"1"), record(1, "a", None), record(2, "b", b"2"), mark(3), mark(0, PARKED)]
    restorer, _, held = begun([batch], [0.0])
    assert restorer.poll(0) == [INPUT]
    assert held == {"b": b"2"}


def test_a_changelog_that_never_ends_stops_the_worker() -> None:
    """Nothing for longer than the limit: better no worker than one with half a state."""
    now = [0.0]
    restorer, _, _ = begun([[record(0, "a", b"1")]], now)
    restorer.poll(0)
    now[0] = 89
    assert restorer.poll(0) == []
    now[0] = 91
    with pytest.raises(StateError):
        restorer.poll(0)


def test_a_partition_that_goes_is_not_restored_further() -> None:
    """Its records are let be, and the reader is given back."""
    restorer, clients, held = begun([[record(0, "a", b"1")]], [0.0])
    restorer.drop([INPUT])
    assert (restorer.poll(0), held, clients.closed) == ([], {}, 1)


def test_a_record_without_a_key_is_no_changelog() -> None:
    """Half a state is none."""
    restorer, _, _ = begun([[LocalMessage(CHANGELOG, 0, None, b"1")]], [0.0])
    with pytest.raises(StateError):
        restorer.poll(0)
