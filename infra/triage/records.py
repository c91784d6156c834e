"""Reading whole topics, or one record: committed records only, up to the end offsets at the start of the call."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from infra.environment import Environment
from infra.errors import OperatorError
from infra.local.kafka_server import AUDITOR
from schemas.codec import Codec
from streams.clients import Message, Partition
from streams.kafka_clients import reader_properties

TIMEOUT_S = 15.0
CHUNK_RECORDS = 10_000

Row = dict[str, Any]


def read_table(environment: Environment, codec: Codec, schema: str, topics: Collection[str]) -> pa.Table:
    """Return every record of topics of one schema, decoded; without compaction, so a key may occur repeatedly."""
    return codec.decode(schema, [message.value() for message in read_messages(environment, topics)]).table


def read_rows(environment: Environment, codec: Codec, schema: str, topics: Collection[str]) -> list[Row]:
    """Return every record of topics of one schema as a dict, as `read_table` does in a table."""
    rows: list[Row] = read_table(environment, codec, schema, topics).to_pylist()
    return rows


def latest_by(rows: Collection[Row], field: str) -> list[Row]:
    """Return the last row of each value of `field`, in the order in which the values first occur."""
    return list({row[field]: row for row in rows}.values())


def read_rows_with_positions(
    environment: Environment, codec: Codec, schema: str, topics: Collection[str]
) -> list[Row]:
    """Return rows as `read_rows` does, each with its position: `at_topic`, `at_partition`, `at_offset`."""
    messages = list(read_messages(environment, topics))
    decoded = codec.decode(schema, [message.value() for message in messages])
    sources = [messages[index] for index in decoded.row_indices.to_pylist()]
    return [
        {"at_topic": at.topic(), "at_partition": at.partition(), "at_offset": at.offset(), **row}
        for at, row in zip(sources, decoded.table.to_pylist(), strict=True)
    ]


def read_compacted(environment: Environment, codec: Codec, schema: str, topics: Collection[str]) -> list[Row]:
    """Return what compaction would leave: the last row of each key in each partition, without tombstones."""
    values: dict[tuple[str | None, int | None, bytes | None], bytes | None] = {}
    for message in read_messages(environment, topics):
        values[message.topic(), message.partition(), message.key()] = message.value()
    rows: list[Row] = codec.decode(
        schema, [value for value in values.values() if value is not None]
    ).table.to_pylist()
    return rows


def value_at(environment: Environment, partition: Partition, offset: int) -> bytes:
    """Return the value of the record at an offset. Raise OperatorError (code 1) where there is none."""
    with _reader(environment) as reader:
        reader.assign([TopicPartition(*partition, offset)])
        for message in reader.consume(1, TIMEOUT_S):
            value = message.value()
            if message.error() is None and message.offset() == offset and value is not None:
                return value
    topic, number = partition
    raise OperatorError(f"there is no record at {topic}/{number}/{offset}; it may have been deleted", code=1)


def read_messages(environment: Environment, topics: Collection[str]) -> Iterator[Message]:
    """Yield every committed record of topics, tombstones included, in order within a partition.

    Raise OperatorError (code 1) where the brokers don't answer.
    """
    with _reader(environment) as reader:
        existing = reader.list_topics(timeout=TIMEOUT_S).topics
        unread = {
            (topic, number) for topic in topics if topic in existing for number in existing[topic].partitions
        }
        reader.assign([TopicPartition(*partition, 0) for partition in sorted(unread)])
        while unread:
            yield from _next_messages(reader, unread)


def _next_messages(reader: Consumer, unread: set[Partition]) -> Iterator[Message]:
    """Yield some records, and remove partitions whose end is reached from `unread`."""
    messages = reader.consume(CHUNK_RECORDS, 0.2) or reader.consume(1, TIMEOUT_S)
    if not messages:
        raise OperatorError("the brokers don't answer; see `mesh local status`", code=1)
    for message in messages:
        error = message.error()
        if error is None:
            yield cast("Message", message)
        elif error.code() == KafkaError._PARTITION_EOF:
            unread.discard((str(message.topic()), int(message.partition() or 0)))
        else:
            raise KafkaException(error)


@contextmanager
def _reader(environment: Environment) -> Iterator[Consumer]:
    reader = Consumer(reader_properties(environment.kafka(AUDITOR) | {"log_level": "2"}, AUDITOR))
    try:
        yield reader
    finally:
        reader.close()
