"""What a processor is given and what it gives back: the contract between `streams` and `processors`.

A processor is pure: batches (and state) in, a `Result` out. It never sends, never reads a clock, never draws a random
number; what it needs of time is in its input. The pipeline publishes a result's outputs, its state changes, its dead
letters and the offsets of its input in one Kafka transaction, so a processor may be run again on the same input.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

#: Columns of `Batch.meta`, one row per record, in the order of the batch.
META = pa.schema(
    [
        pa.field("topic", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp_ms", pa.int64(), nullable=False),
        pa.field("key", pa.string()),
    ]
)


@dataclass(frozen=True)
class Batch:
    """Decoded records of one schema; within each topic and partition in the order of their offsets.

    `schema` is a name of the catalogue, `table` has that schema's newest version as columns, `meta` has `META`, and
    both have a row per record.
    """

    schema: str
    table: pa.Table
    meta: pa.Table


@dataclass(frozen=True)
class Output:
    """Records for one topic: `table` (columns of `schema`) and `key` have a row per record.

    `timestamps_ms` (int64) is the records' Kafka timestamp; None leaves it to the producer. What a domain can see is
    stamped with its day of effect, as a moment of arrival would join two domains' records of one person.
    """

    topic: str
    schema: str
    table: pa.Table
    key: pa.Array
    timestamps_ms: pa.Array | None = None


@dataclass(frozen=True)
class Poison:
    """A record that can't be processed: the row `index` of the batch numbered `batch` goes to the dead letters.

    `reason` is a short code without personal data.
    """

    batch: int
    index: int
    reason: str


@dataclass(frozen=True)
class Result:
    """All that follows from the batches given; state changes are in the `State`."""

    outputs: Sequence[Output] = ()
    poison: Sequence[Poison] = field(default=())


class StateStore(Protocol):
    """One store of a stateful step in one partition: string keys, values as dicts of the store's Avro schema."""

    def get_many(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The values of those keys that have one. They must not be changed in place: put a new value."""

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Sets a value; it is published with the transaction, and seen by later reads at once."""

    def delete(self, key: str) -> None:
        """Forgets a key (a tombstone on the changelog)."""


class State(Protocol):
    """The stores of one partition, by the names that the processor declares."""

    def __getitem__(self, store: str) -> StateStore: ...


@dataclass(frozen=True)
class OrderingKeys:
    """What must stay in order with a record, by names of the processor's own, within the record's topic.

    While a record is set aside it holds `holds`; a later one that waits for any of them is parked behind it. Where
    neither has any, the record is nobody's, and parks nobody.

    A processor that has a method `strands(batch, state)` says so for each row of the batch, given the state (None for
    a stateless one) before them. It must not change the state. Without the method a record's strand is its key.
    """

    waits_for: Sequence[str] = ()
    blocks: Sequence[str] = ()


class StatelessProcessor(Protocol):
    """Intake, conversion: any records, from any partitions."""

    def process(self, batches: Sequence[Batch]) -> Result:
        """What follows from these batches."""


class StatefulProcessor(Protocol):
    """Household, fan-out: one input topic, one partition at a time, with that partition's state.

    `stores` maps each store's name to its schema in the catalogue; its changelog is `state.<step>.<store>`, compacted,
    and written to the partition number of the input.
    """

    @property
    def stores(self) -> Mapping[str, str]:
        """Schema of each store by its name."""

    def process(self, batch: Batch, state: State) -> Result:
        """What follows from this batch, given this state; what changes is put into the state."""
