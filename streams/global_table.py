"""Topics as tables, each read whole by every worker, as Kafka Streams' GlobalKTable.

A table is current for a batch if it has everything that was written to its topic before the batch was polled. So the
worker asks for the end offsets after the poll, and reads committed records up to them. They are the true ends, not the
last stable offsets: the markers of a transaction reach its partitions one after the other, and a record of the batch
may be readable before the table's record of the same transaction is. If a table can't be read to its end, nothing is
processed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import structlog
from confluent_kafka import KafkaError, TopicPartition

from schemas.codec import Codec
from schemas.tables import rows_from_table
from streams.clients import Clients, Clock, Message, Partition, Reader
from streams.decoding import by_partition, offset_of, partition_of
from streams.errors import UnavailableError
from streams.kafka_errors import read_error
from streams.settings import PipelineSettings

log = structlog.get_logger()

_RECORDS_MAX: Final = 10_000
_POLL_S: Final = 0.05


class GlobalTable:
    """The last value of each key of one topic (a `LookupTable`); values stay encoded until they are read."""

    def __init__(self, codec: Codec, topic: str, schema: str) -> None:
        self._codec, self._topic, self._schema = codec, topic, schema
        self._values: dict[str, bytes] = {}

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._values)

    def apply(self, records: Iterable[Message]) -> None:
        """Apply records of one partition, in their order. A key that isn't text is no key of any value."""
        for record in records:
            key, value = (record.key() or b"").decode(errors="replace"), record.value()
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = value

    def get_many(self, keys: Iterable[str]) -> dict[str, dict[str, Any] | None]:
        """Return the values of those keys that have one; None where the value can't be decoded."""
        values = self._values
        encoded = {key: values[key] for key in keys if key in values}
        if not encoded:
            return {}
        decoded = self._codec.decode(self._schema, list(encoded.values()))
        names, rows = list(encoded), dict[str, dict[str, Any] | None](dict.fromkeys(encoded))
        for index, row in zip(decoded.row_indices.to_pylist(), rows_from_table(decoded.table), strict=True):
            rows[names[index]] = row
        if decoded.failures:
            log.error("table.unreadable", topic=self._topic, records=len(decoded.failures))
        return rows


class GlobalTables:
    """All tables of one worker. `tables` are schemas by topic."""

    def __init__(
        self,
        tables: Mapping[str, str],
        clients: Clients,
        codec: Codec,
        settings: PipelineSettings,
        clock: Clock,
    ) -> None:
        self._clients, self._settings, self._clock = clients, settings, clock
        self._tables = {topic: GlobalTable(codec, topic, schema) for topic, schema in tables.items()}
        self._positions: dict[Partition, int] = {}
        self._reader: Reader | None = None

    def current(self) -> Mapping[str, GlobalTable]:
        """Return the tables, with everything that was written before the call.

        Raise UnavailableError if nothing more can be read for `table_stall_timeout_s` and the end isn't reached.
        """
        if not self._tables:
            return {}
        ends = {
            partition: end
            for topic in self._tables
            for partition, end in self._clients.end_offsets(topic).items()
        }
        self._assign(ends)
        deadline = self._clock() + self._settings.table_stall_timeout_s
        while self._is_behind(ends):
            if self._poll():
                deadline = self._clock() + self._settings.table_stall_timeout_s
            elif self._clock() > deadline:
                behind = next(
                    topic for (topic, number), end in ends.items() if self._positions[topic, number] < end
                )
                log.error("table.behind", topic=behind)
                raise UnavailableError(f"{behind} can't be read to its end: nothing is processed")
        return self._tables

    def close(self) -> None:
        """Close the reader."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _is_behind(self, ends: Mapping[Partition, int]) -> bool:
        return any(self._positions[partition] < end for partition, end in ends.items())

    def _assign(self, ends: Mapping[Partition, int]) -> None:
        """Read all partitions, also those that were added since."""
        if self._reader is None:
            self._reader = self._clients.table_reader()
        elif ends.keys() <= self._positions.keys():
            return
        self._positions = {partition: self._positions.get(partition, 0) for partition in ends}
        self._reader.assign([TopicPartition(*each, position) for each, position in self._positions.items()])

    def _poll(self) -> bool:
        """Read a portion and return whether there was anything to read."""
        messages = self._reader.consume(_RECORDS_MAX, _POLL_S) if self._reader is not None else ()
        records = [message for message in messages if message.error() is None]
        for partition, of_partition in by_partition(records).items():
            self._tables[partition[0]].apply(of_partition)
            self._positions[partition] = offset_of(of_partition[-1]) + 1
        self._note_ends(messages)
        return bool(messages)

    def _note_ends(self, messages: Sequence[Message]) -> None:
        for message in messages:
            error = message.error()
            if error is None:
                continue
            if error.code() == KafkaError._PARTITION_EOF:
                # Transaction markers and aborted records occupy offsets, but are never returned.
                partition = partition_of(message)
                self._positions[partition] = max(self._positions[partition], offset_of(message))
            elif stopped := read_error(error):
                raise stopped
