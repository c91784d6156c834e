"""Whole topics as tables, read as the auditor: committed records only, up to the ends of now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.codec import Codec
from streams.clients import Reader
from streams.kafka import reader_properties

#: No record and no end of a partition for so long: the brokers don't answer.
SILENCE_TIMEOUT_S = 15.0
CHUNK_RECORDS = 10_000


def read_topic(connection: Mapping[str, Any], codec: Codec, topic: str, schema: str) -> pa.Table:
    """Every record of a topic, a row each. TimeoutError where the brokers don't answer."""
    tables = [codec.decode(schema, values).table for values in _values(connection, topic)]
    return pa.concat_tables(tables) if tables else codec.catalogue.arrow_schema(schema).empty_table()


def _values(connection: Mapping[str, Any], topic: str) -> Iterator[list[bytes | None]]:
    consumer = Consumer(reader_properties(connection, "auditor"))
    try:
        known = consumer.list_topics(topic, timeout=SILENCE_TIMEOUT_S).topics[topic]
        consumer.assign([TopicPartition(topic, number, 0) for number in known.partitions])
        yield from _to_the_ends(cast("Reader", consumer), set(known.partitions))
    finally:
        consumer.close()


def _to_the_ends(reader: Reader, unread: set[int]) -> Iterator[list[bytes | None]]:
    while unread:
        values: list[bytes | None] = []
        messages = reader.consume(CHUNK_RECORDS, SILENCE_TIMEOUT_S if not values else 1)
        if not messages:
            raise TimeoutError("the brokers don't answer")
        for message in messages:
            error = message.error()
            if error is None:
                values.append(message.value())
            elif error.code() == KafkaError._PARTITION_EOF:
                unread.discard(cast("int", message.partition()))
            else:
                raise KafkaException(error)
        if values:
            yield values
