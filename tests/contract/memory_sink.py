"""A sink into a store in memory that applies one record after the other: the reference for every other sink.

It is the smallest sink that passes the suite, and the model with which `test_postgres_sequences.py` (integration tests)
compares the PostgreSQL sink after any sequence of changes and commands. It promises nothing about transactions: no
locks, no retries, no lost connections. `tests/simulation/postgres.py` promises those, and nothing about the rows that
must result: it executes the statements of the PostgreSQL sink.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from connectors.errors import NotOpenError, SinkFencedError
from connectors.postgres.dlq_table import BLOCKED, DEAD_LETTER
from connectors.sink import Record, SinkBatch, batch_of
from streams.clients import LocalMessage
from streams.command_handler import CommandType, DeadLetterCommand
from streams.dead_letter_queue import dead_letter_id
from streams.dead_letters import seal_context
from streams.sealing import Coding

#: Longest code of a row: this store rejects what PostgreSQL rejects.
_CODE_LENGTH_MAX = 2_000

RowKey = tuple[str, str, str]
Position = tuple[int, int]
PersonKey = tuple[str, str | None]


@dataclass
class QueuedRecord:
    """A record in the dead-letter queue: its person, and its id if it is a dead letter."""

    person: PersonKey | None
    digest: str | None


@dataclass
class MemoryStore:
    """The content of a store.

    `rows` are contents (None: deleted) and revisions by entity, code and municipality; `queue` is the DLQ.
    """

    rows: dict[RowKey, tuple[Mapping[str, Any] | None, int]] = field(default_factory=dict)
    offsets: dict[int, int] = field(default_factory=dict)
    receipts: list[tuple[str, str, int]] = field(default_factory=list)
    published_dead_letters: list[tuple[int, int, bytes | None]] = field(default_factory=list)
    queue: dict[Position, QueuedRecord] = field(default_factory=dict)
    commands_done: set[str] = field(default_factory=set)
    #: Last revision by code whose address is withdrawn, and the offsets of the withdrawals.
    withdrawn: dict[str, int] = field(default_factory=dict)
    withdrawal_offsets: dict[int, int] = field(default_factory=dict)

    def rows_of(self, entity: str, column: str) -> dict[tuple[str, str], tuple[str | None, int]]:
        """Return one column and the revision of an entity's rows, by code and municipality."""
        return {
            (code, municipality): (content[column], revision)
            for (row_entity, code, municipality), (content, revision) in self.rows.items()
            if row_entity == entity and content is not None
        }

    def queue_kinds(self) -> list[tuple[int, str]]:
        """Return offset and kind of the records in the dead-letter queue, by position."""
        return [
            (offset, DEAD_LETTER if queued.digest else BLOCKED)
            for (_, offset), queued in sorted(self.queue.items(), key=lambda item: item[0])
        ]

    def affected(self, digest: str) -> list[Position]:
        """Return the positions of the dead letters with this id and of the records blocked behind them."""
        persons = {queued.person for queued in self.queue.values() if queued.digest == digest} - {None}
        return sorted(
            position
            for position, queued in self.queue.items()
            if queued.digest == digest or queued.person in persons
        )


class MemorySink:
    """A sink of local tax into a store in memory."""

    def __init__(self, store: MemoryStore, coding: Coding, schema: str, step: str) -> None:
        self._store, self._coding, self._schema, self._step = store, coding, schema, step
        self._positions: dict[int, int] = {}
        self._pending: list[SinkBatch] = []

    @property
    def open_dead_letters(self) -> Collection[str]:
        """Ids of the open dead letters in the open partitions."""
        queue = self._store.queue.items()
        return sorted({q.digest for (partition, _), q in queue if q.digest and partition in self._positions})

    def open(self, partitions: Collection[int]) -> Mapping[int, int]:
        """Return the stored offsets of these partitions."""
        self._pending = []
        self._positions = {partition: self._store.offsets.get(partition, 0) for partition in partitions}
        return dict(self._positions)

    def put(self, batch: SinkBatch) -> None:
        """Keep the batch until `flush`."""
        if not batch.next_offsets.keys() <= self._positions.keys():
            raise NotOpenError("not open")
        self._pending.append(batch)

    def flush(self) -> Mapping[int, int]:
        """Apply one record after the other to a copy of the store, then replace the store by it."""
        batches, self._pending = self._pending, []
        if not batches:
            return dict(self._positions)
        copy, next_offsets = deepcopy(self._store), dict(self._positions)
        for batch in batches:
            self._apply(copy, batch, {})
            next_offsets |= batch.next_offsets
        self._check_fence()
        copy.offsets |= next_offsets
        self._store.__dict__.update(copy.__dict__)
        self._positions = next_offsets
        return dict(next_offsets)

    def affected_offsets(self, dead_letter_id: str) -> Mapping[int, Sequence[int]]:
        """Return the offsets that a command on this dead letter needs, by partition."""
        offsets: dict[int, list[int]] = {}
        for partition, offset in self._store.affected(dead_letter_id):
            if partition in self._positions:
                offsets.setdefault(partition, []).append(offset)
        return offsets

    def handle_command(
        self, command: DeadLetterCommand, partition: int, records: Mapping[int, Record]
    ) -> None:
        """Apply the dead letters and the records blocked behind them, one after the other."""
        self._check_fence()
        positions = [p for p in self._store.affected(command.digest) if p[0] == partition]
        if not positions or command.id in self._store.commands_done:
            return
        removed = {position: self._store.queue.pop(position) for position in positions}
        for position, queued in removed.items():
            record = records[position[1]]
            if queued.digest and command.type is CommandType.DISMISS:
                continue
            if queued.digest and command.type is CommandType.REPAIR:
                record = self._repaired(command, record, position)
            batch = batch_of(self._coding.codec, self._schema, [record], {})
            self._apply(self._store, batch, {position: queued})
        self._store.commands_done.add(command.id)

    def withdrawal_offsets(self, partitions: Collection[int]) -> Mapping[int, int]:
        """Return the stored offsets of withdrawals."""
        return {number: self._store.withdrawal_offsets.get(number, 0) for number in partitions}

    def withdraw(self, batch: SinkBatch) -> None:
        """Remember the highest revision of each code, and take out the addresses up to it."""
        for row in batch.table.to_pylist():
            before = self._store.withdrawn.get(row["code"], 0)
            self._store.withdrawn[row["code"]] = max(before, row["revision"])
        for key, (content, revision) in self._store.rows.items():
            self._store.rows[key] = (
                _without_withdrawn_address(self._store, key, content, revision),
                revision,
            )
        stored = self._store.withdrawal_offsets
        stored |= {number: max(stored.get(number, 0), end) for number, end in batch.next_offsets.items()}

    def close(self) -> None:
        """Discard what was put and not flushed."""
        self._pending = []

    def _repaired(self, command: DeadLetterCommand, record: Record, position: Position) -> Record:
        sealed = base64.b64decode(command.value or "")
        value = self._coding.sealer.open(sealed, seal_context(self._step, command.digest, "repair"))
        return LocalMessage(
            (str(record.topic()), position[0]), position[1], key_bytes=record.key(), value_bytes=value
        )

    def _check_fence(self) -> None:
        stored = self._store.offsets
        if any(stored.get(partition, 0) != offset for partition, offset in self._positions.items()):
            raise SinkFencedError("fenced")

    def _apply(self, store: MemoryStore, batch: SinkBatch, removed: Mapping[Position, QueuedRecord]) -> None:
        """Apply one record after the other; `removed` are the queue's entries of records that a command applies."""
        rows = dict(zip(batch.record_indices, batch.table.to_pylist(), strict=True))
        for index, record in enumerate(batch.records):
            position = (record.partition() or 0, record.offset() or 0)
            row = rows.get(index)
            person = row and (row["code"], row["municipality"])
            if person is not None and person in {queued.person for queued in store.queue.values()}:
                store.queue[position] = QueuedRecord(person, None)
            elif row is None or not _apply_row(store, row):
                known_id = removed[position].digest if position in removed else None
                digest = known_id or dead_letter_id(self._coding.sealer, record, row)  # type: ignore[arg-type]
                store.queue[position] = QueuedRecord(person, digest)
                store.published_dead_letters.append((*position, record.value()))
            else:
                store.receipts.append((row["code"], row["entity"], row["revision"]))


def _apply_row(store: MemoryStore, row: Mapping[str, Any]) -> bool:
    """Write a row that is newer than the stored one; return False if the store rejects it."""
    content = row.get(str(row["entity"]).lower())
    is_upsert = row["op"] == "UPSERT"
    if row["entity"] not in ("PERSON", "ACCOUNT") or row["municipality"] is None:
        return False
    if row["op"] not in ("UPSERT", "DELETE") or (is_upsert and not _is_valid(row["code"], content)):
        return False
    key = (row["entity"], row["code"], row["municipality"])
    if key not in store.rows or store.rows[key][1] < row["revision"]:
        content = _without_withdrawn_address(store, key, content, row["revision"])
        store.rows[key] = (content if is_upsert else None, row["revision"])
    return True


def _without_withdrawn_address(
    store: MemoryStore, key: RowKey, content: Mapping[str, Any] | None, revision: int
) -> Mapping[str, Any] | None:
    """Return the content of a row; without its address if that is withdrawn for this revision."""
    if content is None or key[0] != "PERSON" or revision > store.withdrawn.get(key[1], 0):
        return content
    return {**content, "address": None}


def _is_valid(code: str, content: Mapping[str, Any] | None) -> bool:
    if content is None or len(code) > _CODE_LENGTH_MAX or content["status"] == "unknown":
        return False
    return all("\0" not in value for value in content.values() if isinstance(value, str))
