"""The contract of a sink: it writes the records of a domain's topic into the domain's store, exactly once.

A sink keeps the offsets of its input in the store itself, in the transaction that writes the rows. Its lifecycle:

1. `open(partitions)`     takes over these partitions and returns the offset to read next of each, as the store has it
                          (0: from the beginning). Called at every assignment; partitions opened before are released.
2. `put(batch)`           accepts records of open partitions. They may stay in memory.
3. `flush()`              makes everything put visible together (rows, receipts, dead letters and offsets), or nothing
                          of it, and returns the stored offsets. Raises SinkFencedError if another sink committed in
                          the meantime: `open` returns the offsets to continue from. Raises TransientError after the
                          attempts that the settings allow; its subclass TransactionTimeoutError at once, as fewer
                          records may finish in time. After each error nothing was committed and the records put are
                          discarded.
4. `handle_command(...)`  handles an operator's command on a dead letter: applies its record and the records blocked
                          behind it in their order, in one transaction. `open_dead_letters` are the ids of the open
                          dead letters; `affected_offsets` names the records that a command needs. Repeating a command
                          has no effect. Errors as in `flush`.
5. `withdraw(batch)`      withdraws addresses: takes them out of every row of the batch's codes up to its revisions, in
                          one transaction with the offsets, whatever dead letters there are. From then on no older
                          change, retried dead letter or repair up to that revision brings one back. Every worker reads
                          all partitions of topic `withdrawal.<domain>`, from `withdrawal_offsets(partitions)` on;
                          obeying a withdrawal twice, late or in another order has no effect. Errors as in `flush`,
                          except SinkFencedError. A domain without addresses has no such topic.
6. `close()`              releases connections. What was put and not flushed has no effect. It may be called twice.

A sink guarantees: each record is applied once, whatever process dies. The newer revision wins, whatever the order of
arrival. A record that the store rejects becomes a dead letter; later records of the same person are blocked behind
it, and records of others are not. A record that cannot be decoded becomes a dead letter without ordering key, so it
blocks nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from schemas.codec import Codec, DecodeFailure
from streams.command_handler import DeadLetterCommand


class Record(Protocol):
    """A record as the broker returns it; `confluent_kafka.Message` is one."""

    def topic(self) -> str | None:
        """Return its topic."""

    def partition(self) -> int | None:
        """Return its partition."""

    def offset(self) -> int | None:
        """Return its offset."""

    def timestamp(self) -> tuple[int, int]:
        """Return the kind of timestamp, and milliseconds since 1970."""

    def key(self) -> bytes | None:
        """Return its key."""

    def value(self) -> bytes | None:
        """Return its value; None is a tombstone."""


@dataclass(frozen=True)
class SinkBatch:
    """Records of one topic, in order within each partition.

    `table` has a row (columns of the schema's newest version) for each record that could be decoded, and
    `record_indices` the index of that record in `records`. `faults` are the reasons of the others. `next_offsets` is
    the offset after the batch by partition; it may be beyond the last record, as transaction markers take offsets too.
    """

    table: pa.Table
    records: Sequence[Record]
    record_indices: Sequence[int]
    next_offsets: Mapping[int, int]
    faults: Sequence[DecodeFailure] = field(default=())


class Sink(Protocol):
    """A sink; the module's docstring has its lifecycle."""

    def open(self, partitions: Collection[int]) -> Mapping[int, int]:
        """Take over these partitions and return the offset to read next of each."""

    def put(self, batch: SinkBatch) -> None:
        """Accept records. Raise NotOpenError for a partition that is not open."""

    def flush(self) -> Mapping[int, int]:
        """Make everything put visible together and return the stored offsets."""

    @property
    def open_dead_letters(self) -> Collection[str]:
        """The ids of the open dead letters in the open partitions, as of the last transaction."""

    def affected_offsets(self, dead_letter_id: str) -> Mapping[int, Sequence[int]]:
        """Return the offsets, ascending, of the dead letters with this id and of the records blocked behind them.

        Open partitions without any are left out.
        """

    def handle_command(
        self, command: DeadLetterCommand, partition: int, records: Mapping[int, Record]
    ) -> None:
        """Handle a command in one partition.

        `records` are those that `affected_offsets` names, by offset, without those that no longer exist.
        """

    def withdrawal_offsets(self, partitions: Collection[int]) -> Mapping[int, int]:
        """Return the offset to read next of each of these partitions of `withdrawal.<domain>`."""

    def withdraw(self, batch: SinkBatch) -> None:
        """Withdraw the addresses of the batch's codes (schema `withdrawal`), and store the offsets after it."""

    def close(self) -> None:
        """Release connections."""


def batch_of(
    codec: Codec, schema: str, records: Sequence[Record], next_offsets: Mapping[int, int]
) -> SinkBatch:
    """Decode records into a batch. A tombstone becomes a fault as well, so no record is dropped silently."""
    decoded = codec.decode(schema, [record.value() for record in records])
    tombstones = [DecodeFailure(index, "tombstone") for index in decoded.tombstones]
    faults = tuple(sorted((*decoded.failures, *tombstones), key=lambda fault: fault.index))
    return SinkBatch(decoded.table, records, decoded.row_indices.to_pylist(), next_offsets, faults)
