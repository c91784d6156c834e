"""Operator commands on dead letters: retry, repair or dismiss one, then process the records blocked behind it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import structlog

from streams.bisection import BisectingRunner
from streams.clients import LocalMessage, Message
from streams.dead_letter_queue import BlockedKeys, DeadLetterQueue, EntryKind, QueueEntry
from streams.dead_letter_router import DeadLetterRouter, StepOutput
from streams.dead_letters import DeadLetter, seal_context
from streams.decoding import decode
from streams.sealing import SealedError
from streams.step import StepContext
from streams.task import StreamTask

log = structlog.get_logger()

#: Reasons of dead letters that could not be tried again.
RECORD_DELETED, REPAIR_UNREADABLE = "record-deleted", "repair-unreadable"


class CommandType(StrEnum):
    """What the operator wants done, as the schema `dead-letter-command` names it."""

    RETRY = "RETRY"
    REPAIR = "REPAIR"
    DISMISS = "DISMISS"


#: Status of a dead letter after a command succeeded.
STATUS_AFTER = {
    CommandType.RETRY: "RETRIED",
    CommandType.REPAIR: "REPAIRED",
    CommandType.DISMISS: "DISMISSED",
}


@dataclass(frozen=True)
class DeadLetterCommand:
    """A command on the dead letters with id `digest`. `value` (REPAIR) is the new record value: sealed, base64."""

    id: str
    type: CommandType
    digest: str
    reason: str | None = None
    value: str | None = None


def affected_entries(queue: DeadLetterQueue, digest: str) -> list[QueueEntry]:
    """Return the dead letters with this id and all records blocked by them, in the order of their offsets."""
    return [
        entry
        for entry in queue.entries
        if (entry.kind is EntryKind.DEAD_LETTER and entry.digest == digest) or digest in entry.blocked_by
    ]


class CommandHandler:
    """Applies one command to the dead-letter queue of one task."""

    def __init__(self, context: StepContext, task: StreamTask, output: StepOutput) -> None:
        self._context, self._task, self._output = context, task, output
        self._router = DeadLetterRouter(context, {task.partition: task}, BlockedKeys(), output)
        state = task.state if context.step.stores else None
        self._runner = BisectingRunner(context, state, self._router, output, context.current_tables())

    def handle(self, command: DeadLetterCommand, records: Mapping[int, Message]) -> None:
        """Apply the command, then remember it as done, so that it is never applied twice.

        All affected entries leave the queue first; then the queue is walked in the order of offsets, so that a record
        is tried again only after every earlier one with its keys. Entries of other dead letters keep their keys
        blocked.
        """
        queue = self._task.dead_letters
        entries, affected = queue.entries, affected_entries(queue, command.digest)
        released = set(affected)
        for entry in affected:
            queue.remove(entry)
        unblocked: list[QueueEntry] = []
        for entry in entries:
            if entry in released and entry.kind is EntryKind.BLOCKED:
                unblocked.append(entry)
                continue
            self._reprocess(unblocked, records)
            unblocked = []
            if entry in released:
                self._handle_dead_letter(command, entry, records.get(entry.offset))
            else:
                self._router.blocked_keys.add(entry)
        self._reprocess(unblocked, records)
        queue.mark_done(command.id)

    def _handle_dead_letter(
        self, command: DeadLetterCommand, entry: QueueEntry, record: Message | None
    ) -> None:
        source = record or LocalMessage(self._task.partition, entry.offset)
        failure = None if command.type is CommandType.DISMISS else self._retry(command, entry, record)
        if failure is None:
            status = STATUS_AFTER[command.type]
            self._output.dead_letters.append(
                DeadLetter(source, entry.reason, entry.digest, status, command.id, command.reason)
            )
            log.info("dead-letter.resolved", step=self._context.step.name, digest=entry.digest, status=status)
        else:
            self._router.reopen(source, entry, failure)

    def _retry(self, command: DeadLetterCommand, entry: QueueEntry, record: Message | None) -> str | None:
        """Process the record again, with the command's value if it is a repair; return the reason if it failed."""
        if command.type is CommandType.REPAIR:
            record = self._repaired_record(command, entry, record)
            if record is None:
                return REPAIR_UNREADABLE
        if record is None:
            return RECORD_DELETED
        schema = self._context.step.schema_of(entry.topic)
        batch, undecodable = decode(self._context.codec, schema, [record], self._context.now_ms())
        return undecodable[0].reason if undecodable else self._runner.run_one(batch)

    def _repaired_record(
        self, command: DeadLetterCommand, entry: QueueEntry, record: Message | None
    ) -> Message | None:
        """Return the record with the command's value, or None if that can't be opened."""
        context = seal_context(self._context.step.name, entry.digest, "repair")
        try:
            sealed = base64.b64decode(command.value or "", validate=True)
            value = self._context.sealer.open(sealed, context)
        except (binascii.Error, SealedError):
            return None
        key, timestamp_ms = (None, 0) if record is None else (record.key(), record.timestamp()[1])
        return LocalMessage(
            self._task.partition, entry.offset, key_bytes=key, value_bytes=value, timestamp_ms=timestamp_ms
        )

    def _reprocess(self, unblocked: Sequence[QueueEntry], records: Mapping[int, Message]) -> None:
        """Process records that were blocked.

        One that still waits is blocked again; one that no longer exists or can't be decoded becomes a dead letter.
        """
        for entry in unblocked:
            if entry.offset not in records:
                # The record was deleted from the topic, so it can't be processed: it becomes a dead letter itself.
                lost = replace(
                    entry, kind=EntryKind.DEAD_LETTER, digest=self._new_dead_letter_id(entry), blocked_by=()
                )
                self._router.reopen(LocalMessage(self._task.partition, entry.offset), lost, RECORD_DELETED)
        present = [records[entry.offset] for entry in unblocked if entry.offset in records]
        if present:
            schema = self._context.step.schema_of(self._task.partition[0])
            batch, undecodable = decode(self._context.codec, schema, present, self._context.now_ms())
            self._router.route_undecodable(undecodable)
            self._runner.run([batch])

    def _new_dead_letter_id(self, entry: QueueEntry) -> str:
        topic, number = self._task.partition
        return self._context.sealer.digest(f"{topic}/{number}/{entry.offset}".encode())


def parse_command(row: Mapping[str, Any]) -> DeadLetterCommand | None:
    """Return the command of a row of schema `dead-letter-command`, or None if its type is unknown to this version."""
    if row["command"] not in set(CommandType):
        return None
    return DeadLetterCommand(
        row["id"], CommandType(row["command"]), row["digest"], row["reason"], row["value"]
    )
