"""Processing of a batch of records: decode, process, encode. Nothing is sent.

It adds what a processor may not find out itself: the moment, the current content of its global tables, and which
partitions a topic has.

If the processor raises, the batch is bisected until the records that it can't process are found
(`streams.bisection`). They become dead letters, and state changes of failed attempts are discarded. Records that must
stay in order with a dead letter are blocked behind it (`streams.dead_letter_queue`) until an operator command
resolves it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streams.bisection import BisectingRunner
from streams.clients import Clients, Message, Partition, ProducerRecords
from streams.command_handler import CommandHandler, DeadLetterCommand
from streams.dead_letter_queue import BlockedKeys
from streams.dead_letter_router import DeadLetterRouter, StepOutput
from streams.dead_letters import DeadLetterEncoder
from streams.decoding import by_schema, decode
from streams.global_table import GlobalTables
from streams.sealing import Coding
from streams.settings import PipelineSettings
from streams.step import Step, StepContext
from streams.task import StreamTask

RecordsByPartition = Mapping[Partition, Sequence[Message]]
Tasks = Mapping[Partition, StreamTask]


class Processing:
    """A step's processor with codec and dead-letter handling around it.

    `tables` are the step's global tables; `clients` know the time and the topics.
    """

    def __init__(
        self,
        step: Step,
        coding: Coding,
        settings: PipelineSettings,
        tables: GlobalTables,
        clients: Clients,
    ) -> None:
        codec, sealer = coding.codec, coding.sealer
        self._context = StepContext(
            step, codec, settings, sealer, clients.now_ms, clients.partition_count, tables
        )
        self._dead_letter_encoder = DeadLetterEncoder(step.name, codec, sealer, settings.record_bytes_max)

    def create_task(self, partition: Partition, position: int = 0) -> StreamTask:
        """Return a task for an input partition, with empty stores."""
        context = self._context
        bytes_max = context.settings.record_bytes_max
        return StreamTask.create(context.step, partition, context.codec, bytes_max, position)

    def run(self, records: RecordsByPartition, tasks: Tasks) -> list[ProducerRecords]:
        """Process records and return everything that one transaction publishes: outputs, state changes, dead letters.

        State changes stay pending in `tasks` until the caller commits or rolls them back. Raise BrokenStepError if
        the processor fails on more records than `failures_max`, LargeOutputsError if the outputs have more bytes than
        `output_bytes_max`, UnavailableError if its tables can't be read to their ends; errors of the codec (no
        registry) pass through.
        """
        output = StepOutput(self._context.settings.output_bytes_max)
        active = {partition: tasks[partition] for partition in records}
        if self._context.step.stores:
            for partition, of_partition in records.items():
                self._process({partition: of_partition}, {partition: active[partition]}, output)
        else:
            self._process(records, active, output)
        return self._producer_records(output, active)

    def handle_command(
        self, command: DeadLetterCommand, task: StreamTask, records: Mapping[int, Message]
    ) -> list[ProducerRecords]:
        """Apply an operator's command to the dead letters of one task; return what its transaction publishes.

        `records` are the records of `command_handler.affected_entries` by offset, without those that were deleted.
        """
        output = StepOutput()
        CommandHandler(self._context, task, output).handle(command, records)
        return self._producer_records(output, {task.partition: task})

    def _process(self, records: RecordsByPartition, tasks: Tasks, output: StepOutput) -> None:
        """Process the records of one partition (stateful step) or of all, joined by schema (stateless step)."""
        context = self._context
        blocked = BlockedKeys(entry for task in tasks.values() for entry in task.dead_letters.keyed_entries)
        router = DeadLetterRouter(context, tasks, blocked, output)
        schemas = {topic: context.step.schema_of(topic) for topic, _ in records}
        batches, now_ms = [], context.now_ms()
        for schema, of_schema in by_schema(records, schemas).items():
            batch, undecodable = decode(context.codec, schema, of_schema, now_ms)
            router.route_undecodable(undecodable)
            batches.append(batch)
        state = next(iter(tasks.values())).state if context.step.stores else None
        tables = context.tables_for([batch.batch for batch in batches])
        BisectingRunner(context, state, router, output, tables).run(batches)

    def _producer_records(self, output: StepOutput, tasks: Tasks) -> list[ProducerRecords]:
        dead_letters = self._dead_letter_encoder.encode(output.dead_letters)
        return [*output.outgoing, *self._changelog_records(tasks), *dead_letters]

    def _changelog_records(self, tasks: Tasks) -> list[ProducerRecords]:
        """Return the pending state changes, for the changelog partition with the number of the input partition."""
        return [
            ProducerRecords(
                topic, [key.encode() for key in pending], list(pending.values()), partition=number
            )
            for (_, number), task in tasks.items()
            for topic, pending in task.changes(self._context.step.name)
            if pending
        ]
