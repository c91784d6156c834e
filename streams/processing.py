"""What a step makes of a batch of records: decoded, processed, encoded. No clock, no client, nothing sent.

The pipeline publishes what comes out. A processor that raises is tried again on halves of the batch until the records
it can't take are found; these are dead letters, and the changes of state that a failed attempt made are discarded.
What must stay in order behind a dead letter is parked (`streams.parking`) until an officer's act frees it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.codec import Codec
from streams import dead_letters
from streams.acting import Act, Acting
from streams.attempts import Attempts
from streams.clients import Message, Outgoing, Partition
from streams.decoding import by_schema, decode
from streams.kept import Kept
from streams.parking import Held, Parked
from streams.sealing import Sealer
from streams.setting_aside import Outcome, SettingAside, Workshop
from streams.settings import PipelineSettings
from streams.state import PartitionState
from streams.step import Step

Groups = Mapping[Partition, Sequence[Message]]


class Processing:
    """One step's processor with the codec around it."""

    def __init__(self, step: Step, codec: Codec, settings: PipelineSettings, sealer: Sealer) -> None:
        self._shop = Workshop(step, codec, settings, sealer)
        self._desk = dead_letters.Desk(step.name, codec, sealer, settings.record_bytes_max)

    def new(self, partition: Partition) -> Kept:
        """Empty stores for one partition of the input."""
        codec, bytes_max = self._shop.codec, self._shop.settings.record_bytes_max
        stores = PartitionState(codec, self._shop.step.stores, bytes_max)
        return Kept(stores, Parked(codec, partition[0], bytes_max))

    def run(self, groups: Groups, kept: Mapping[Partition, Kept]) -> list[Outgoing]:
        """All that one transaction publishes, in order: outputs, changes of state, dead letters.

        The changes stay pending in `kept` until told of commit or rollback. Raises BrokenStepError where the
        processor fails on more records than `failures_max`, and what the codec raises for want of a registry.
        """
        outcome, ours = Outcome(), {partition: kept[partition] for partition in groups}
        if self._shop.step.stores:
            for partition, records in groups.items():
                self._records({partition: records}, {partition: ours[partition]}, outcome)
        else:
            self._records(groups, ours, outcome)
        return self._published(outcome, ours)

    def act(
        self, act: Act, partition: Partition, kept: Kept, records: Mapping[int, Message]
    ) -> list[Outgoing]:
        """As `run`, for an officer's act on letters of this partition.

        `records` are those of `acting.concerned` by their offset, without those that aren't there any more.
        """
        outcome = Outcome()
        Acting(self._shop, partition, kept, outcome).do(act, records)
        return self._published(outcome, {partition: kept})

    def _records(self, groups: Groups, kept: Mapping[Partition, Kept], outcome: Outcome) -> None:
        """Stateful: of one partition. Stateless: of all, joined by schema."""
        held = Held(entry for each in kept.values() for entry in each.parked.entries)
        aside = SettingAside(self._shop, kept, held, outcome)
        schemas, parts = {topic: self._shop.step.schema_of(topic) for topic, _ in groups}, []
        for schema, records in by_schema(groups, schemas).items():
            part, dead = decode(self._shop.codec, schema, records)
            aside.nobodys(dead)
            parts.append(part)
        state = next(iter(kept.values())).state if self._shop.step.stores else None
        Attempts(self._shop, state, aside, outcome).attempt(parts)

    def _published(self, outcome: Outcome, kept: Mapping[Partition, Kept]) -> list[Outgoing]:
        letters = dead_letters.outgoing(self._desk, outcome.dead)
        return [*outcome.outgoing, *self._changes(kept), *letters]

    def _changes(self, kept: Mapping[Partition, Kept]) -> list[Outgoing]:
        """Changelog records: to the partition number of the input, not by a hash of the key."""
        return [
            Outgoing(topic, [key.encode() for key in pending], list(pending.values()), partition=number)
            for (_, number), each in kept.items()
            for topic, pending in each.changes(self._shop.step.name)
            if pending
        ]
