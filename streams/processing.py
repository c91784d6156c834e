"""What a step makes of a batch of records: decoded, processed, encoded. No clock, no client, nothing sent.

The pipeline publishes what comes out. A processor that raises is tried again on halves of the batch until the records
it can't take are found; these are dead letters, and the changes of state that a failed attempt made are discarded.
What must stay in order behind a dead letter is parked (`streams.dead_letter_queue`) until an officer's act frees it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.codec import Codec
from streams import dead_letters
from streams.bisection import BisectingRunner
from streams.clients import Message, Partition, ProducerRecords
from streams.command_handler import CommandHandler, DeadLetterCommand
from streams.dead_letter_queue import BlockedKeys, DeadLetterQueue
from streams.dead_letter_router import DeadLetterRouter, StepContext, StepOutput
from streams.decoding import by_schema, decode
from streams.sealing import Sealer
from streams.settings import PipelineSettings
from streams.state import PartitionState
from streams.step import Step
from streams.task import TaskState

Groups = Mapping[Partition, Sequence[Message]]


class Processing:
    """One step's processor with the codec around it."""

    def __init__(self, step: Step, codec: Codec, settings: PipelineSettings, sealer: Sealer) -> None:
        self._context = StepContext(step, codec, settings, sealer)
        self._dead_letter_encoder = dead_letters.DeadLetterEncoder(
            step.name, codec, sealer, settings.record_bytes_max
        )

    def new(self, partition: Partition) -> TaskState:
        """Empty stores for one partition of the input."""
        codec, bytes_max = self._context.codec, self._context.settings.record_bytes_max
        stores = PartitionState(codec, self._context.step.stores, bytes_max)
        return TaskState(stores, DeadLetterQueue(codec, partition[0], bytes_max))

    def run(self, groups: Groups, kept: Mapping[Partition, TaskState]) -> list[ProducerRecords]:
        """All that one transaction publishes, in order: outputs, changes of state, dead letters.

        The changes stay pending in `kept` until told of commit or rollback. Raises BrokenStepError where the
        processor fails on more records than `failures_max`, and what the codec raises for want of a registry.
        """
        outcome, ours = StepOutput(), {partition: kept[partition] for partition in groups}
        if self._context.step.stores:
            for partition, records in groups.items():
                self._records({partition: records}, {partition: ours[partition]}, outcome)
        else:
            self._records(groups, ours, outcome)
        return self._published(outcome, ours)

    def handle_command(
        self, act: DeadLetterCommand, partition: Partition, kept: TaskState, records: Mapping[int, Message]
    ) -> list[ProducerRecords]:
        """As `run`, for an officer's act on letters of this partition.

        `records` are those of `acting.concerned` by their offset, without those that aren't there any more.
        """
        outcome = StepOutput()
        CommandHandler(self._context, partition, kept, outcome).handle(act, records)
        return self._published(outcome, {partition: kept})

    def _records(self, groups: Groups, kept: Mapping[Partition, TaskState], outcome: StepOutput) -> None:
        """Stateful: of one partition. Stateless: of all, joined by schema."""
        held = BlockedKeys(entry for each in kept.values() for entry in each.dead_letters.entries)
        aside = DeadLetterRouter(self._context, kept, held, outcome)
        schemas, parts = {topic: self._context.step.schema_of(topic) for topic, _ in groups}, []
        for schema, records in by_schema(groups, schemas).items():
            part, dead = decode(self._context.codec, schema, records)
            aside.route_undecodable(dead)
            parts.append(part)
        state = next(iter(kept.values())).state if self._context.step.stores else None
        BisectingRunner(self._context, state, aside, outcome).run(parts)

    def _published(self, outcome: StepOutput, kept: Mapping[Partition, TaskState]) -> list[ProducerRecords]:
        letters = dead_letters.encode_dead_letters(self._dead_letter_encoder, outcome.dead_letters)
        return [*outcome.outgoing, *self._changes(kept), *letters]

    def _changes(self, kept: Mapping[Partition, TaskState]) -> list[ProducerRecords]:
        """Changelog records: to the partition number of the input, not by a hash of the key."""
        return [
            ProducerRecords(
                topic, [key.encode() for key in pending], list(pending.values()), partition=number
            )
            for (_, number), each in kept.items()
            for topic, pending in each.changes(self._context.step.name)
            if pending
        ]
