"""Records of whole topics, or one at its place; committed ones only, up to the ends of now."""

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


def table(environment: Environment, codec: Codec, schema: str, topics: Collection[str]) -> pa.Table:
    """Every record of topics of one schema, decoded. Of records with the same key in a topic all are there."""
    return codec.decode(schema, [message.value() for message in messages(environment, topics)]).table


def rows(environment: Environment, codec: Codec, schema: str, topics: Collection[str]) -> list[Row]:
    """As `table`, by rows."""
    found: list[Row] = table(environment, codec, schema, topics).to_pylist()
    return found


def latest(found: Collection[Row], key: str) -> list[Row]:
    """The last row of each key, in the order in which keys came first: what compaction would leave."""
    return list({row[key]: row for row in found}.values())


def with_positions(environment: Environment, codec: Codec, schema: str, topics: Collection[str]) -> list[Row]:
    """As `rows`, each with its place: `at_topic`, `at_partition`, `at_offset`."""
    found = list(messages(environment, topics))
    decoded = codec.decode(schema, [message.value() for message in found])
    places = [found[index] for index in decoded.row_indices.to_pylist()]
    return [
        {"at_topic": at.topic(), "at_partition": at.partition(), "at_offset": at.offset(), **row}
        for at, row in zip(places, decoded.table.to_pylist(), strict=True)
    ]


def last(environment: Environment, codec: Codec, schema: str, topics: Collection[str]) -> list[Row]:
    """What compaction would leave of topics: the last row of each key in each partition, without tombstones."""
    values: dict[tuple[str | None, int | None, bytes | None], bytes | None] = {}
    for message in messages(environment, topics):
        values[message.topic(), message.partition(), message.key()] = message.value()
    left = [value for value in values.values() if value is not None]
    found: list[Row] = codec.decode(schema, left).table.to_pylist()
    return found


def value_at(environment: Environment, place: Partition, offset: int) -> bytes:
    """The value of the record at a place. OperatorError: there is none."""
    with _reader(environment) as reader:
        reader.assign([TopicPartition(*place, offset)])
        for message in reader.consume(1, TIMEOUT_S):
            value = message.value()
            if message.error() is None and message.offset() == offset and value is not None:
                return value
    raise OperatorError(f"there is no record at {place[0]}/{place[1]}/{offset}", code=1)


def messages(environment: Environment, topics: Collection[str]) -> Iterator[Message]:
    """Every committed record of topics, tombstones too; within a partition in order. OperatorError: no answer."""
    with _reader(environment) as reader:
        known = reader.list_topics(timeout=TIMEOUT_S).topics
        unread = {(name, number) for name in topics if name in known for number in known[name].partitions}
        reader.assign([TopicPartition(*partition, 0) for partition in sorted(unread)])
        while unread:
            yield from _chunk(reader, unread)


def _chunk(reader: Consumer, unread: set[Partition]) -> Iterator[Message]:
    """Some records; partitions that are at their end are taken out of `unread`."""
    found = reader.consume(CHUNK_RECORDS, 0.2) or reader.consume(1, TIMEOUT_S)
    if not found:
        raise OperatorError("the brokers don't answer", code=1)
    for message in found:
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
