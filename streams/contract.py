"""The contract between `streams` and `processors`: the input of a processor, and its result.

A processor is pure: batches (and state) in, a `Result` out. It never sends, never reads a clock, never draws a random
number; every time that it needs is in its input. The pipeline publishes a result's outputs, its state changes, its dead
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
    both have a row per record. `processed_at_ms` is the moment at which the pipeline processes the batch, in
    milliseconds since 1970: nothing but a record of what happened may depend on it, because a replay gives another.
    """

    schema: str
    table: pa.Table
    meta: pa.Table
    processed_at_ms: int = 0


@dataclass(frozen=True)
class Output:
    """Records for one topic: `table` (columns of `schema`) and `key` have a row per record.

    `timestamps_ms` (int64) is the records' Kafka timestamp; None leaves it to the producer. Records that a domain can
    read have their day of effect as timestamp: by a time of arrival two domains could join their records of one person.

    A record goes to the partition of its key; with `partition` all go to that one, with `broadcast` each goes to every
    partition of the topic. With `partition_key` each goes to the partition that this key has: so a sealed record, whose
    own key is a digest, is in the partition of the person. A step may write to its own input topic: it reads those
    records after their transaction.
    """

    topic: str
    schema: str
    table: pa.Table
    key: pa.Array
    timestamps_ms: pa.Array | None = None
    partition: int | None = None
    broadcast: bool = False
    partition_key: pa.Array | None = None

    def __post_init__(self) -> None:
        ways = (self.partition is not None) + self.broadcast + (self.partition_key is not None)
        if ways > 1 or (self.partition is not None and self.partition < 0):
            raise ValueError(f"output for {self.topic}: one partition from 0 on, all, or those of a key")


@dataclass(frozen=True)
class Poison:
    """A record that can't be processed: row `index` of the batch numbered `batch` becomes a dead letter.

    `reason` is a short code without personal data.
    """

    batch: int
    index: int
    reason: str


@dataclass(frozen=True)
class Result:
    """The outputs and the poison of some batches; state changes are in the `State`."""

    outputs: Sequence[Output] = ()
    poison: Sequence[Poison] = field(default=())


class StateStore(Protocol):
    """One store of a stateful step in one partition: text keys, values as dicts of the store's Avro schema."""

    def get_many(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the values of those keys that have one. Don't change a value in place: put a new one."""

    def first_keys(self, until: str, limit: int) -> list[str]:
        """Return up to `limit` keys `<group>/<rest>` of groups up to and including `until`, groups compared as texts.

        They are ordered by group, then by key; changes of this attempt count.
        """

    def keys_after(self, key: str, limit: int) -> list[str]:
        """Return up to `limit` keys that come after this one, in the order of `first_keys`; "" is before all."""

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Set a value: later reads return it at once; the transaction of the batch publishes it."""

    def delete(self, key: str) -> None:
        """Delete a key (a tombstone on the changelog)."""


class State(Protocol):
    """The stores of one partition, by the name that the processor declares."""

    def __getitem__(self, store: str) -> StateStore: ...


@dataclass(frozen=True)
class OrderingKeys:
    """Ordering keys of a record within its topic: names that the processor chooses.

    While the record is in the dead-letter queue, its `blocks` are blocked; a later record with one of them in
    `waits_for` is blocked behind it. A record without keys neither blocks nor is blocked.

    A processor may have a method `ordering_keys(batch, state)`: it returns the keys of each row of the batch, given
    the state before the batch (None for a stateless processor), and must not change the state. Without that method a
    record's only ordering key is topic and record key (up to 512 bytes).
    """

    waits_for: Sequence[str] = ()
    blocks: Sequence[str] = ()


class LookupTable(Protocol):
    """A topic as a table: the last value of each key, as a dict of the topic's schema. No processor changes it."""

    def get_many(self, keys: Iterable[str]) -> Mapping[str, Mapping[str, Any] | None]:
        """Return the values of those keys that have one; None where the value can't be decoded."""


#: The tables of a processor by topic.
Tables = Mapping[str, LookupTable]


class StatelessProcessor(Protocol):
    """A processor without state, such as intake or conversion: records of any schemas, from any partitions."""

    def process(self, batches: Sequence[Batch]) -> Result:
        """Return the outputs and the poison of these batches, one batch per schema."""


class TableReadingProcessor(Protocol):
    """A processor without state that also needs the whole content of some topics.

    Before `process`, the pipeline reads each table to the end that its topic had after the batch was polled.
    """

    @property
    def tables(self) -> Mapping[str, str]:
        """The schema in the catalogue of each table, by topic."""

    def needs_tables(self, batches: Sequence[Batch]) -> bool:
        """Return whether these batches can't be processed without current tables."""

    def process(self, batches: Sequence[Batch], tables: Tables) -> Result:
        """Return the outputs and the poison of these batches, one batch per schema.

        Raise UnavailableError if a table lacks what a record of the batch depends on: nothing is processed then.
        """


class StatefulProcessor(Protocol):
    """A processor with state, such as household or fan-out: one input topic, one partition at a time."""

    @property
    def stores(self) -> Mapping[str, str]:
        """Schema (a name of the catalogue) of each store by the store's name.

        The changelog of a store is `state.<step>.<store>`: compacted, and written to the partition with the number of
        the input partition.
        """

    def process(self, batch: Batch, state: State) -> Result:
        """Return the outputs and the poison of this batch; put changes of the partition's state into `state`.

        The batch has a record or more, all of one partition: that of `state`.
        """
