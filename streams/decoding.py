"""Decoding of records into batches: one Arrow table per schema, with the record of each row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from schemas.codec import Codec
from streams.clients import Message, Partition
from streams.contract import META, Batch
from streams.dead_letters import DeadLetter


@dataclass(frozen=True)
class DecodedBatch:
    """A batch, and the record of each of its rows."""

    batch: Batch
    records: Sequence[Message]

    def __len__(self) -> int:
        return len(self.records)

    def slice(self, start: int, stop: int) -> DecodedBatch:
        """Return the rows from `start` up to, but not including, `stop`."""
        batch, length = self.batch, stop - start
        sliced = replace(batch, table=batch.table.slice(start, length), meta=batch.meta.slice(start, length))
        return DecodedBatch(sliced, self.records[start:stop])

    def take(self, rows: Sequence[int]) -> DecodedBatch:
        """Return these rows, in this order."""
        batch, indices = self.batch, pa.array(rows, pa.int64())
        taken = replace(batch, table=batch.table.take(indices), meta=batch.meta.take(indices))
        return DecodedBatch(taken, [self.records[row] for row in rows])


def decode(
    codec: Codec, schema: str, records: Sequence[Message], processed_at_ms: int
) -> tuple[DecodedBatch, list[DeadLetter]]:
    """Return the batch of all decodable records, in order, and a dead letter with a reason for each other record.

    `processed_at_ms` is the moment of the batch. A record is undecodable if its value doesn't have the schema or is
    null, or if its key isn't UTF-8.
    """
    decoded = codec.decode(schema, [record.value() for record in records])
    undecodable = [DeadLetter(records[failure.index], failure.reason) for failure in decoded.failures]
    undecodable += [DeadLetter(records[index], "null-value") for index in decoded.tombstones]
    table, decodable = decoded.table, [records[index] for index in decoded.row_indices.to_pylist()]
    # Check all keys in one call, and each by itself only if that fails. The separator keeps the end of one key and the
    # beginning of the next from forming one valid character.
    if not _is_text(b"\0".join([record.key() or b"" for record in decodable])):
        with_text_key = [row for row, record in enumerate(decodable) if _is_text(record.key() or b"")]
        others = sorted(set(range(len(decodable))).difference(with_text_key))
        undecodable += [DeadLetter(decodable[row], "key-not-text") for row in others]
        table = table.take(pa.array(with_text_key, pa.int64()))
        decodable = [decodable[row] for row in with_text_key]
    return DecodedBatch(Batch(schema, table, _meta(decodable), processed_at_ms), decodable), undecodable


def by_schema(
    records: Mapping[Partition, Sequence[Message]], schemas: Mapping[str, str]
) -> dict[str, list[Message]]:
    """Return the records of several partitions joined by schema, each partition's in order; `schemas` is by topic."""
    joined: dict[str, list[Message]] = {}
    for (topic, _), of_partition in records.items():
        joined.setdefault(schemas[topic], []).extend(of_partition)
    return joined


def by_partition(records: Iterable[Message]) -> dict[Partition, list[Message]]:
    """Return the records by partition, each partition's in the order in which they came."""
    groups: dict[tuple[str | None, int | None], list[Message]] = {}
    for record in records:
        partition = record.topic(), record.partition()
        group = groups.get(partition)
        if group is None:
            groups[partition] = [record]
        else:
            group.append(record)
    return {partition_of(group[0]): group for group in groups.values()}


def partition_of(record: Message) -> Partition:
    """Return the partition of a record; raise ValueError for a message without one."""
    topic, partition = record.topic(), record.partition()
    if topic is None or partition is None:
        raise ValueError("a message has no topic or no partition")
    return topic, partition


def offset_of(record: Message) -> int:
    """Return the offset of a record; raise ValueError for a message without one."""
    offset = record.offset()
    if offset is None:
        raise ValueError("a message has no offset")
    return offset


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _meta(records: Sequence[Message]) -> pa.Table:
    columns = (
        [record.topic() for record in records],
        [record.partition() for record in records],
        [record.offset() for record in records],
        [record.timestamp()[1] for record in records],
        pa.array([record.key() for record in records], pa.binary()).cast(pa.string()),
    )
    arrays = [pa.array(column, field.type) for column, field in zip(columns, META, strict=True)]
    return pa.Table.from_arrays(arrays, schema=META)
