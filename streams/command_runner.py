"""The part of a worker's loop that applies operator commands to the dead letters of its tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import structlog
from confluent_kafka import KafkaException

from schemas.topics import dlq_topic
from streams.assignment import Assignment
from streams.clients import Clients, Clock, Consumer
from streams.command_handler import DeadLetterCommand, affected_entries, offsets_to_read
from streams.commands import CommandReader, read_records_at
from streams.metrics import StepMetrics
from streams.processing import Processing
from streams.settings import PipelineSettings
from streams.task import StreamTask
from streams.transactions import Transactions

log = structlog.get_logger()

#: Longest pause before a command that keeps failing is tried again; the pause doubles, records are processed meanwhile.
PAUSE_MAX_S: Final = 300.0


class CommandOutcome(NamedTuple):
    """Result of `CommandRunner.run_one`.

    `applied`: a command was committed; `failed`: its transaction failed; `records`: number of records processed.
    """

    applied: bool = False
    failed: bool = False
    records: int = 0


@dataclass
class CommandRunner:
    """Applies commands on dead letters, one at a time, each in a transaction of its own."""

    step: str
    reader: CommandReader
    assignment: Assignment
    processing: Processing
    transactions: Transactions
    consumer: Consumer
    clients: Clients
    metrics: StepMetrics
    settings: PipelineSettings
    clock: Clock
    #: Whether to search for an applicable command: false after a search without result, true again when commands, tasks
    #: or queues change.
    pending: bool = field(default=False, init=False)
    _failed_in_a_row: int = field(default=0, init=False)
    _next_at_s: float = field(default=0.0, init=False)

    def task_changed(self, task: StreamTask) -> None:
        """Search again after a change of this task's queue, if it has dead letters and there are commands."""
        self.pending |= bool(self.reader) and bool(task.dead_letters)

    def run_one(self) -> CommandOutcome:
        """Apply one command whose dead letter is in a running task, unless there is none or a pause is running."""
        if not self.pending or self.clock() < self._next_at_s:
            return CommandOutcome()
        applicable = next(self._applicable(), None)
        self.pending = applicable is not None
        return self._apply(*applicable) if applicable else CommandOutcome()

    def _applicable(self) -> Iterator[tuple[StreamTask, DeadLetterCommand]]:
        for task in self.assignment.running_tasks():
            queue = task.dead_letters
            for command in self.reader.commands if queue else ():
                if not queue.is_done(command.id) and queue.has_dead_letter(command.digests):
                    yield task, command

    def _apply(self, task: StreamTask, command: DeadLetterCommand) -> CommandOutcome:
        """Process the dead letters and everything blocked behind them, in one transaction.

        A command that dismisses many takes several, and leaves the others to the next runs. It doesn't move the task's
        position, but commits it: so a worker that lost the partition is rejected.
        """
        started_s = self.clock()
        offsets = offsets_to_read(command, affected_entries(task.dead_letters, command))
        records = read_records_at(
            self.clients, task.partition, offsets, self.clock, self.settings.request_timeout_s
        )
        try:
            outgoing = self.processing.handle_command(command, task, records)
        except BaseException:
            task.rollback()
            raise
        # A status of an old dead letter isn't a new dead letter, so it isn't counted.
        counted = [each for each in outgoing if each.topic != dlq_topic(self.step)]
        self.metrics.processed(self.clock() - started_s, counted)
        try:
            self.transactions.publish(outgoing, {task.partition: task.position}, self.consumer)
        except KafkaException as failure:
            self.metrics.failed()
            # The committed offset doesn't show whether the transaction was committed, but the changelog does.
            if not self.transactions.recover(failure.args[0]):
                self.assignment.reinitialize([task.partition])
            return self._pause(task)
        self._failed_in_a_row = 0
        task.commit()
        self.task_changed(task)
        topic, number = task.partition
        log.info(
            "command.committed", topic=topic, partition=number, command=command.type, records=len(records)
        )
        return CommandOutcome(applied=True, records=len(records))

    def _pause(self, task: StreamTask) -> CommandOutcome:
        task.rollback()
        self._failed_in_a_row += 1
        if self._failed_in_a_row > 1:
            self._next_at_s = self.clock() + min(PAUSE_MAX_S, 2.0 ** (self._failed_in_a_row - 2))
        return CommandOutcome(failed=True)
