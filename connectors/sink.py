"""The contract of a sink: what a domain is told is brought into its store, exactly once.

A sink keeps the offsets of its input in the store itself, in the transaction that writes the rows. Its life:

1. `open(partitions)`  takes over these partitions, and returns for each the offset to read next, as the store has
                       it (0: from the beginning). Called at every assignment; partitions opened before are let go.
2. `put(batch)`        takes records of open partitions. They may stay in memory.
3. `flush()`           makes all that was put visible: rows, receipts, dead letters and offsets together, or nothing.
                       Returns the offsets now stored. FencedError: another sink committed in the meantime; all that
                       was put is forgotten, and `open` says from where to go on. TransientError: tried as often as
                       the settings allow, and nothing was committed; OverdueError, one of them, at once: fewer
                       records may be done in time. After any of them, what was put is forgotten.
4. `act(act, …)`       does an officer's act on a dead letter: the letter's record and all that is parked behind it are
                       applied in their order, in one transaction. `letters` are the names of those that are open,
                       `concerned` says which records an act needs. Twice the same act is once. Errors as in `flush`.
5. `close()`           lets go of connections; what was put and not flushed never happened. Also twice.

What a sink promises: a record is applied once, whatever dies; the newer revision stays, whatever the order; a record
that the store refuses becomes a dead letter, later ones of the same person are parked behind it, and nobody else's is
kept back; one that can't be decoded is nobody's, and parks nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from schemas.codec import Codec, DecodeFailure
from streams.command_handler import DeadLetterCommand


class Record(Protocol):
    """A record as the broker gave it; `confluent_kafka.Message` is one."""

    def topic(self) -> str | None:
        """Topic it stands in."""

    def partition(self) -> int | None:
        """Partition it stands in."""

    def offset(self) -> int | None:
        """Its offset."""

    def timestamp(self) -> tuple[int, int]:
        """Kind of timestamp, and milliseconds since 1970."""

    def key(self) -> bytes | None:
        """Its key."""

    def value(self) -> bytes | None:
        """Its value; None is a tombstone."""


@dataclass(frozen=True)
class SinkBatch:
    """Records of one topic, in order within each partition.

    `table` has a row (columns of the schema's newest version) for each record that could be decoded, `kept` the index
    of that record in `records`; `faults` says why others could not. `next_offsets` is by partition the offset after
    the batch, which may be beyond its last record, as transaction markers take offsets too.
    """

    table: pa.Table
    records: Sequence[Record]
    record_indices: Sequence[int]
    next_offsets: Mapping[int, int]
    faults: Sequence[DecodeFailure] = field(default=())


class Sink(Protocol):
    """See the module for the life of a sink."""

    def open(self, partitions: Collection[int]) -> Mapping[int, int]:
        """The offset to read next of each of these partitions."""

    def put(self, batch: SinkBatch) -> None:
        """Takes records. NotOpenError for a partition that isn't open."""

    def flush(self) -> Mapping[int, int]:
        """Makes all that was put visible at once; the offsets stored by then."""

    @property
    def open_dead_letters(self) -> Collection[str]:
        """Names of the letters that are open in the partitions opened, as of the last call."""

    def affected_offsets(self, digest: str) -> Mapping[int, Sequence[int]]:
        """By open partition the offsets of the letters of this name, and of what is parked behind them; ascending."""

    def handle_command(self, act: DeadLetterCommand, partition: int, records: Mapping[int, Record]) -> None:
        """Does an act, given the records of `concerned` in this partition by offset, without those that are gone."""

    def close(self) -> None:
        """Lets go of connections."""


def batch_of(
    codec: Codec, schema: str, records: Sequence[Record], next_offsets: Mapping[int, int]
) -> SinkBatch:
    """Records of the broker, decoded. A null value is a fault too: no change has gone by without a word."""
    decoded = codec.decode(schema, [record.value() for record in records])
    lost = [DecodeFailure(index, "tombstone") for index in decoded.tombstones]
    faults = tuple(sorted((*decoded.faults, *lost), key=lambda fault: fault.index))
    return SinkBatch(decoded.table, records, decoded.row_indices.to_pylist(), next_offsets, faults)
