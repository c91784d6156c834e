"""Operator commands on dead letters: retry, repair or dismiss them, then process the records blocked behind them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

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

#: Dead letters that one transaction dismisses.
DISMISSED_MAX: Final = 2_000

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
    """A command on the dead letters with id `digest` or, if that is empty, with one of the ids `more_digests`.

    Only DISMISS may have several. `value` (REPAIR) is the new record value: sealed, base64.
    """

    id: str
    type: CommandType
    digest: str
    reason: str | None = None
    value: str | None = None
    more_digests: tuple[str, ...] = ()

    @cached_property
    def digests(self) -> Collection[str]:
        """The ids of the dead letters that it concerns, in their order; `in` takes no time."""
        return dict.fromkeys(self.more_digests or (self.digest,))

    def on(self, digest: str) -> DeadLetterCommand:
        """Return the part of this command that concerns one id."""
        if not self.more_digests:
            return self
        return replace(self, id=f"{self.id}/{digest}", digest=digest, more_digests=())


def affected_entries(queue: DeadLetterQueue, command: DeadLetterCommand) -> list[QueueEntry]:
    """Return the dead letters that a command concerns and all records blocked by them, in the order of their offsets.

    Of those to be dismissed, at most `DISMISSED_MAX`: as many as one transaction should have.
    """
    at_most = DISMISSED_MAX if command.type is CommandType.DISMISS else None
    dead_letters = queue.dead_letters(command.digests, at_most)
    digests = {entry.digest for entry in dead_letters}
    blocked = [entry for entry in queue.keyed_entries if not digests.isdisjoint(entry.blocked_by)]
    return in_order((*dead_letters, *blocked))


def in_order(entries: Iterable[QueueEntry]) -> list[QueueEntry]:
    """Return entries of a queue in the order of their offsets."""
    return sorted(entries, key=lambda entry: entry.offset)


def offsets_to_read(command: DeadLetterCommand, affected: Iterable[QueueEntry]) -> list[int]:
    """Return the offsets of the records that applying the command needs: not of those that it drops."""
    dismisses = command.type is CommandType.DISMISS
    return [entry.offset for entry in affected if not dismisses or entry.kind is EntryKind.BLOCKED]


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
        blocked. A command that dismisses is done when none of its dead letters is left; a record behind one that
        fails now is a new dead letter, even if its content, and so its id, is the same.
        """
        queue = self._task.dead_letters
        affected = affected_entries(queue, command)
        released = set(affected)
        entries = in_order(released.union(queue.keyed_entries))
        for entry in affected:
            queue.remove(entry)
        done = command.type is not CommandType.DISMISS or not queue.has_dead_letter(command.digests)
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
        if done:
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
        row["id"],
        CommandType(row["command"]),
        row["digest"],
        row["reason"],
        row["value"],
        tuple(row["digests"]),
    )
