"""Read the committed records of a topic, and print each as a line of JSON.

    python read_records.py [TOPIC] [--end]

It needs the packages confluent-kafka and fastavro, and `client.json` beside it, which has the address, the login, the
group and the registry. `--end` stops at the end of the topic; without it the program waits for more. The group's offset
is committed after the records were printed, so after a failure the last ones may be printed a second time: apply a
record only if its `revision` is newer than what you have for its code.

A record's value is in Confluent's wire format: a zero byte, the ID of the writer's schema in the registry (4 bytes),
and the record in Avro. The program reads by the writer's schema and, if there is a file TOPIC.avsc beside it, returns
the record in the form of that file: fields that are newer than the file are left out, and a symbol of an enum that is
newer is the enum's default. So the program goes on when the mesh begins to write a newer version.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import sys
import urllib.request
from functools import cache
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka import Consumer, KafkaError, Message

HERE = Path(__file__).parent


def main() -> None:
    """Read a topic to its end, or until Ctrl-C."""
    settings = json.loads((HERE / "client.json").read_text("utf-8"))
    arguments = argparse.ArgumentParser(description="Read a topic, and print each record as a line of JSON.")
    arguments.add_argument("topic", nargs="?", default=settings["read"], help="by default the user's own")
    arguments.add_argument("--end", action="store_true", help="stop at the end of the topic")
    options = arguments.parse_args()
    if options.topic is None:
        arguments.error("name a topic")
    consumer = Consumer({**settings["connection"], **settings["consumer"], "enable.partition.eof": True})
    try:
        consumer.subscribe([options.topic])
        read(consumer, settings["registry"], options.end)
    except KeyboardInterrupt:
        pass
    finally:
        consumer.close()


def read(consumer: Consumer, registry: str, until_end: bool) -> None:
    """Print what the consumer receives; return at the end of all its partitions if `until_end`."""
    at_end: set[int | None] = set()
    while True:
        messages = consumer.consume(500, 1.0)
        for message in messages:
            error = message.error()
            if error is None:
                print(json.dumps(record(message, registry), default=as_text), flush=True)
            elif error.code() == KafkaError._PARTITION_EOF:
                at_end.add(message.partition())
            else:
                sys.exit(f"{error.name()}: {error.str()}")
        if any(message.error() is None for message in messages):
            consumer.commit(asynchronous=False)
        assigned = {partition.partition for partition in consumer.assignment()}
        if until_end and assigned and at_end >= assigned:
            return


def record(message: Message, registry: str) -> dict[str, Any]:
    """Return position, key and decoded value of a record."""
    key, value, topic = message.key(), message.value(), str(message.topic())
    return {
        "topic": topic,
        "partition": message.partition(),
        "offset": message.offset(),
        "key": key.decode("utf-8", "replace") if isinstance(key, bytes) else key,
        "value": decoded(value, topic, registry) if isinstance(value, bytes) else None,
    }


def decoded(value: bytes, topic: str, registry: str) -> Any:
    """Return the content of a value in Confluent's wire format."""
    if len(value) < 5 or value[0] != 0:
        raise ValueError("the value is not in Confluent's wire format")
    schema = writer_schema(int.from_bytes(value[1:5], "big"), registry)
    return fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, reader_schema(topic))


@cache
def writer_schema(schema_id: int, registry: str) -> Any:
    """Return the schema of this ID; it never changes, so it is fetched once."""
    with urllib.request.urlopen(f"{registry}/schemas/ids/{schema_id}", timeout=30) as response:
        return fastavro.parse_schema(json.loads(json.load(response)["schema"]))


@cache
def reader_schema(topic: str) -> Any:
    """Return the schema in the file TOPIC.avsc; None if there is no such file."""
    file = HERE / f"{topic}.avsc"
    return fastavro.parse_schema(json.loads(file.read_text("utf-8"))) if file.is_file() else None


def as_text(value: object) -> str:
    """Return what JSON has no type for: bytes in base64, days and times in ISO 8601."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


if __name__ == "__main__":
    main()
