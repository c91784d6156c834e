"""Routing of records that can't be processed: dead letters, and records blocked behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from streams.clients import Message, Partition, ProducerRecords
from streams.contract import OrderingKeys
from streams.dead_letter_queue import BlockedKeys, EntryKind, QueueEntry, dead_letter_id
from streams.dead_letters import DeadLetter
from streams.decoding import offset_of, partition_of
from streams.errors import LargeOutputsError
from streams.step import StepContext
from streams.task import StreamTask

log = structlog.get_logger()


@dataclass
class StepOutput:
    """Everything that follows from some records except state changes: encoded output records and dead letters.

    `bytes_max` limits the values of all output records together; None: there is no limit.
    """

    bytes_max: int | None = None
    outgoing: list[ProducerRecords] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    _size_bytes: int = 0

    def add(self, outgoing: Sequence[ProducerRecords]) -> None:
        """Add output records. Raise LargeOutputsError if all together are larger than one transaction should be."""
        self._size_bytes += sum(records.size_bytes for records in outgoing)
        if self.bytes_max is not None and self._size_bytes > self.bytes_max:
            raise LargeOutputsError
        self.outgoing.extend(outgoing)


class DeadLetterRouter:
    """Puts failed records into the dead-letter queue of their task, and blocks later records with the same keys."""

    def __init__(
        self,
        context: StepContext,
        tasks: Mapping[Partition, StreamTask],
        blocked_keys: BlockedKeys,
        output: StepOutput,
    ) -> None:
        self._context, self._tasks, self._output = context, tasks, output
        self.blocked_keys = blocked_keys

    def route_failed(self, record: Message, row: Mapping[str, Any], keys: OrderingKeys, reason: str) -> None:
        """Block a failed record if it waits for a blocked key, else make it a dead letter with content `row`."""
        if not self.block(record, keys):
            digest = dead_letter_id(self._context.sealer, record, row)
            entry = _entry(EntryKind.DEAD_LETTER, record, keys, digest=digest, reason=reason)
            self._add_dead_letter(record, entry)

    def route_undecodable(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Send undecodable records to the dead-letter queue. Without ordering keys they block nothing."""
        for each in dead_letters:
            digest = dead_letter_id(self._context.sealer, each.record)
            entry = _entry(
                EntryKind.DEAD_LETTER, each.record, OrderingKeys(), digest=digest, reason=each.reason
            )
            self._add_dead_letter(each.record, entry)

    def block(self, record: Message, keys: OrderingKeys) -> bool:
        """Block a record if it waits for a blocked key; return whether it was blocked."""
        blocked_by = self.blocked_keys.blocked_by(keys.waits_for)
        if blocked_by:
            self.enqueue(partition_of(record), _entry(EntryKind.BLOCKED, record, keys, blocked_by=blocked_by))
        return bool(blocked_by)

    def reopen(self, record: Message, entry: QueueEntry, reason: str) -> None:
        """Put a dead letter back after a retry failed: it blocks the same keys, now for `reason`."""
        self._add_dead_letter(record, replace(entry, reason=reason))

    def enqueue(self, partition: Partition, entry: QueueEntry) -> None:
        """Add an entry to the partition's dead-letter queue; later records with its keys are blocked."""
        self._tasks[partition].dead_letters.put(entry)
        self.blocked_keys.add(entry)

    def _add_dead_letter(self, record: Message, entry: QueueEntry) -> None:
        topic, number = partition_of(record)
        self.enqueue((topic, number), entry)
        self._output.dead_letters.append(DeadLetter(record, entry.reason, entry.digest))
        log.warning(
            "record.dead-lettered",
            step=self._context.step.name,
            reason=entry.reason,
            topic=topic,
            partition=number,
            offset=entry.offset,
        )


def _entry(kind: EntryKind, record: Message, keys: OrderingKeys, **fields: Any) -> QueueEntry:
    topic, _ = partition_of(record)
    waits_for, blocks = tuple(keys.waits_for), tuple(keys.blocks)
    return QueueEntry(kind, topic, offset_of(record), waits_for=waits_for, blocks=blocks, **fields)
