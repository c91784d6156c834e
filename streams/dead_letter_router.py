"""Puts records aside: letters with their content for the step's dead letters, entries for what is parked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from schemas.codec import Codec
from streams.clients import Message, Partition, ProducerRecords
from streams.contract import OrderingKeys
from streams.dead_letter_queue import BlockedKeys, EntryKind, QueueEntry, dead_letter_id
from streams.dead_letters import DeadLetter
from streams.decoding import offset_of, partition_of
from streams.sealing import Sealer
from streams.settings import PipelineSettings
from streams.step import Step
from streams.task import TaskState

log = structlog.get_logger()


@dataclass(frozen=True)
class StepContext:
    """What the work on any batch of a step needs."""

    step: Step
    codec: Codec
    settings: PipelineSettings
    sealer: Sealer


@dataclass
class StepOutput:
    """All that follows from some records but state: outputs, encoded, and letters."""

    outgoing: list[ProducerRecords] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)


class DeadLetterRouter:
    """Sets records of partitions that are ours aside. `held` are the strands on which later records wait."""

    def __init__(
        self, shop: StepContext, kept: Mapping[Partition, TaskState], held: BlockedKeys, outcome: StepOutput
    ) -> None:
        self._context, self._task_states, self._outcome = shop, kept, outcome
        self.blocked_keys = held

    def route_failed(
        self, record: Message, row: Mapping[str, Any], strands: OrderingKeys, reason: str
    ) -> None:
        """A record that failed: a letter, or parked where it waits for one."""
        if not self.block(record, strands):
            digest = dead_letter_id(self._context.sealer, record, row)
            self._add_dead_letter(
                record, self._entry(EntryKind.DEAD_LETTER, record, strands, digest=digest, reason=reason)
            )

    def route_undecodable(self, letters: Sequence[DeadLetter]) -> None:
        """Records that can't be decoded: nothing waits behind them."""
        for each in letters:
            digest = dead_letter_id(self._context.sealer, each.record)
            entry = self._entry(
                EntryKind.DEAD_LETTER, each.record, OrderingKeys(), digest=digest, reason=each.reason
            )
            self._add_dead_letter(each.record, entry)

    def block(self, record: Message, strands: OrderingKeys) -> bool:
        """Parks a record where it waits for a strand that is held; whether it does."""
        behind = self.blocked_keys.blocked_by(strands.waits_for)
        if behind:
            self.enqueue(
                partition_of(record), self._entry(EntryKind.BLOCKED, record, strands, blocked_by=behind)
            )
        return bool(behind)

    def reopen(self, record: Message, letter: QueueEntry, reason: str) -> None:
        """A letter that was tried in vain holds what it held before, for another reason."""
        self._add_dead_letter(record, replace(letter, reason=reason))

    def enqueue(self, partition: Partition, entry: QueueEntry) -> None:
        """An entry that is there, or comes: later records wait behind it."""
        self._task_states[partition].dead_letters.put(entry)
        self.blocked_keys.add(entry)

    def _add_dead_letter(self, record: Message, entry: QueueEntry) -> None:
        place = partition_of(record)
        self.enqueue(place, entry)
        self._outcome.dead_letters.append(DeadLetter(record, entry.reason, entry.digest))
        log.warning(
            "record.dead-lettered",
            step=self._context.step.name,
            reason=entry.reason,
            topic=place[0],
            partition=place[1],
            offset=entry.offset,
        )

    def _entry(self, kind: EntryKind, record: Message, strands: OrderingKeys, **more: Any) -> QueueEntry:
        topic, _ = partition_of(record)
        waits, holds = tuple(strands.waits_for), tuple(strands.blocks)
        return QueueEntry(kind, topic, offset_of(record), waits_for=waits, blocks=holds, **more)
