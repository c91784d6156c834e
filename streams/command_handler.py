"""An officer's act on a dead letter: it and what is parked behind it are processed in their order, at once."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import structlog

from streams.bisection import BisectingRunner
from streams.clients import LocalMessage, Message, Partition
from streams.dead_letter_queue import BlockedKeys, DeadLetterQueue, EntryKind, QueueEntry
from streams.dead_letter_router import DeadLetterRouter, StepContext, StepOutput
from streams.dead_letters import DeadLetter, seal_context
from streams.decoding import decode
from streams.sealing import SealedError
from streams.task import TaskState

log = structlog.get_logger()

#: Reasons of letters that could not even be tried.
RECORD_DELETED, REPAIR_UNREADABLE = "record-deleted", "repair-unreadable"


class CommandType(StrEnum):
    """What an officer does; as the schema has it."""

    RETRY = "RETRY"
    REPAIR = "REPAIR"
    DISMISS = "DISMISS"


#: What a letter is after a deed that went well.
STATUS_AFTER = {
    CommandType.RETRY: "RETRIED",
    CommandType.REPAIR: "REPAIRED",
    CommandType.DISMISS: "DISMISSED",
}


@dataclass(frozen=True)
class DeadLetterCommand:
    """An act on the letters named `digest`. `value` is what to process instead: sealed, base64."""

    id: str
    type: CommandType
    digest: str
    reason: str | None = None
    value: str | None = None


def affected_entries(parked: DeadLetterQueue, digest: str) -> list[QueueEntry]:
    """The letters of this name and all that is parked behind them, in the order of their offsets."""
    return [
        entry
        for entry in parked.entries
        if (entry.kind is EntryKind.DEAD_LETTER and entry.digest == digest) or digest in entry.blocked_by
    ]


class CommandHandler:
    """One act on one partition."""

    def __init__(self, shop: StepContext, partition: Partition, kept: TaskState, outcome: StepOutput) -> None:
        self._context, self._partition, self._task_state, self._output = shop, partition, kept, outcome
        self._router = DeadLetterRouter(shop, {partition: kept}, BlockedKeys(), outcome)
        state = kept.state if shop.step.stores else None
        self._attempts = BisectingRunner(shop, state, self._router, outcome)

    def handle(self, act: DeadLetterCommand, records: Mapping[int, Message]) -> None:
        """All that follows from it; that it was done is remembered with it."""
        entries, moved = (
            self._task_state.dead_letters.entries,
            affected_entries(self._task_state.dead_letters, act.digest),
        )
        freed = set(moved)
        for entry in moved:
            self._task_state.dead_letters.remove(entry)
        waiting: list[QueueEntry] = []
        for entry in entries:
            if entry in freed and entry.kind is EntryKind.BLOCKED:
                waiting.append(entry)
                continue
            self._reprocess_blocked(waiting, records)
            waiting = []
            if entry in freed:
                self._handle_dead_letter(act, entry, records.get(entry.offset))
            else:
                self._router.blocked_keys.add(entry)
        self._reprocess_blocked(waiting, records)
        self._task_state.dead_letters.mark_done(act.id)

    def _handle_dead_letter(self, act: DeadLetterCommand, letter: QueueEntry, record: Message | None) -> None:
        tried = record or LocalMessage(self._partition, letter.offset)
        failed = None if act.type is CommandType.DISMISS else self._retry(act, letter, record)
        if failed is None:
            status = STATUS_AFTER[act.type]
            self._output.dead_letters.append(
                DeadLetter(tried, letter.reason, letter.digest, status, act.id, act.reason)
            )
            log.info(
                "dead-letter.resolved", step=self._context.step.name, digest=letter.digest, status=status
            )
        else:
            self._router.reopen(tried, letter, failed)

    def _retry(self, act: DeadLetterCommand, letter: QueueEntry, record: Message | None) -> str | None:
        """Why it can't be processed still; None where it was."""
        if act.type is CommandType.REPAIR:
            record = self._repaired_record(act, letter, record)
            if record is None:
                return REPAIR_UNREADABLE
        if record is None:
            return RECORD_DELETED
        part, dead = decode(self._context.codec, self._context.step.schema_of(letter.topic), [record])
        return dead[0].reason if dead else self._attempts.run_one(part)

    def _repaired_record(
        self, act: DeadLetterCommand, letter: QueueEntry, record: Message | None
    ) -> Message | None:
        """The record with the value of the act; None where that can't be opened."""
        place = seal_context(self._context.step.name, letter.digest, "repair")
        try:
            value = self._context.sealer.open(base64.b64decode(act.value or "", validate=True), place)
        except (binascii.Error, SealedError):
            return None
        key, stamp = (None, 0) if record is None else (record.key(), record.timestamp()[1])
        return LocalMessage(
            self._partition, letter.offset, key_bytes=key, value_bytes=value, timestamp_ms=stamp
        )

    def _reprocess_blocked(self, waiting: Sequence[QueueEntry], records: Mapping[int, Message]) -> None:
        """What was parked is processed, or parked again behind whatever holds it now."""
        there = [records[entry.offset] for entry in waiting if entry.offset in records]
        for entry in waiting:
            if entry.offset not in records:
                # It can't follow: from now on it is a letter itself.
                lost = replace(
                    entry, kind=EntryKind.DEAD_LETTER, digest=self._new_dead_letter_id(entry), blocked_by=()
                )
                self._router.reopen(LocalMessage(self._partition, entry.offset), lost, RECORD_DELETED)
        if there:
            schema = self._context.step.schema_of(self._partition[0])
            part, dead = decode(self._context.codec, schema, there)
            self._router.route_undecodable(dead)
            self._attempts.run([part])

    def _new_dead_letter_id(self, entry: QueueEntry) -> str:
        place = f"{self._partition[0]}/{self._partition[1]}/{entry.offset}"
        return self._context.sealer.digest(place.encode())


def parse_command(row: Mapping[str, Any]) -> DeadLetterCommand | None:
    """An act as the topic has it; None for one that this version doesn't know."""
    if row["command"] not in set(CommandType):
        return None
    return DeadLetterCommand(
        row["id"], CommandType(row["command"]), row["digest"], row["reason"], row["value"]
    )
