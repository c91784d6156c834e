"""Records as they were read become batches: one per schema, rows and records side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

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
        """The rows from `start` up to, not including, `stop`."""
        batch, length = self.batch, stop - start
        cut = Batch(batch.schema, batch.table.slice(start, length), batch.meta.slice(start, length))
        return DecodedBatch(cut, self.records[start:stop])

    def take(self, rows: Sequence[int]) -> DecodedBatch:
        """These rows, in this order."""
        batch, indices = self.batch, pa.array(rows, pa.int64())
        cut = Batch(batch.schema, batch.table.take(indices), batch.meta.take(indices))
        return DecodedBatch(cut, [self.records[row] for row in rows])


def decode(codec: Codec, schema: str, records: Sequence[Message]) -> tuple[DecodedBatch, list[DeadLetter]]:
    """The records that can be read, in their order; for the others a dead letter with the reason."""
    decoded = codec.decode(schema, [record.value() for record in records])
    dead = [DeadLetter(records[fault.index], fault.reason) for fault in decoded.faults]
    dead += [DeadLetter(records[index], "null-value") for index in decoded.tombstones]
    table, kept = decoded.table, [records[index] for index in decoded.row_indices.to_pylist()]
    # Looked at all at once; one by one only where any is something else.
    named = (
        range(len(kept)) if _are_text(kept) else [at for at, one in enumerate(kept) if _is_text(one.key())]
    )
    if len(named) < len(kept):
        unnamed = set(range(len(kept))).difference(named)
        dead += [DeadLetter(kept[index], "key-not-text") for index in sorted(unnamed)]
        table, kept = table.take(pa.array(named, pa.int64())), [kept[index] for index in named]
    return DecodedBatch(Batch(schema, table, _meta(kept)), kept), dead


def by_schema(
    groups: Mapping[Partition, Sequence[Message]], schemas: Mapping[str, str]
) -> dict[str, list[Message]]:
    """Records of several partitions joined by schema; `schemas` by topic. Each partition's order is kept."""
    joined: dict[str, list[Message]] = {}
    for (topic, _), records in groups.items():
        joined.setdefault(schemas[topic], []).extend(records)
    return joined


def by_partition(records: Iterable[Message]) -> dict[Partition, list[Message]]:
    """Records by the partition they stand in, in their order."""
    groups: dict[tuple[str | None, int | None], list[Message]] = {}
    for record in records:
        place = record.topic(), record.partition()
        group = groups.get(place)
        if group is None:
            groups[place] = [record]
        else:
            group.append(record)
    return {partition_of(of[0]): of for of in groups.values()}


def partition_of(record: Message) -> Partition:
    """The partition that a record stands in; ValueError for a message that stands nowhere."""
    topic, partition = record.topic(), record.partition()
    if topic is None or partition is None:
        raise ValueError("a message without topic and partition")
    return topic, partition


def offset_of(record: Message) -> int:
    """Where a record stands in its partition; ValueError for a message that stands nowhere."""
    offset = record.offset()
    if offset is None:
        raise ValueError("a message without offset")
    return offset


def _are_text(records: Sequence[Message]) -> bool:
    try:
        # Between two keys stands a character of its own: no two pieces make one that is whole.
        b"\0".join([record.key() or b"" for record in records]).decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_text(key: bytes | None) -> bool:
    try:
        return key is None or key.decode() is not None
    except UnicodeDecodeError:
        return False


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
