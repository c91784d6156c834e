"""Submit records: each line of a file is one record of the input topic's schema, as JSON.

    python submit_records.py FILE.jsonl

It needs the packages confluent-kafka and fastavro, and `client.json` beside it, which has the address, the login, the
topic and the registry. It fetches the newest schema of the topic, encodes all lines before it sends the first, and
prints the position of each record (topic/partition/offset), by which a rejection names it. A line may leave out any
field that has a default, and must have no other fields than the schema's.

It exits with 1 if a record may not have arrived. Submit the file again then: what is in already is a duplicate, which
changes nothing.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka import KafkaError, Message, Producer

HERE = Path(__file__).parent
TIMEOUT_S = 60.0


def main() -> None:
    """Submit every line of a file."""
    arguments = argparse.ArgumentParser(description="Submit each line of a file of JSON as a record.")
    arguments.add_argument("file", type=Path)
    options = arguments.parse_args()
    settings = json.loads((HERE / "client.json").read_text("utf-8"))
    topic = settings["submit"]
    schema_id, schema = newest_schema(topic, settings["registry"])
    lines = enumerate(options.file.read_text("utf-8").split("\n"), start=1)
    values = [encoded(line, number, schema_id, schema) for number, line in lines if line.strip()]
    producer = Producer({**settings["connection"], **settings["producer"]})
    undelivered = submit(producer, topic, values)
    if undelivered:
        sys.exit(f"{len(undelivered)} of {len(values)} records did not arrive: {undelivered[0]}")


def submit(producer: Producer, topic: str, values: list[bytes]) -> list[str]:
    """Send values, print the position of each, and return the errors of those that did not arrive."""
    errors: list[str] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is None:
            print(f"{message.topic()}/{message.partition()}/{message.offset()}", flush=True)
        else:
            errors.append(error.name())

    for value in values:
        producer.produce(topic, value, on_delivery=delivered)
        producer.poll(0)
    left = producer.flush(TIMEOUT_S)
    return [*errors, *["no answer"] * left]


def newest_schema(topic: str, registry: str) -> tuple[int, Any]:
    """Return ID and content of the newest schema of a topic."""
    url = f"{registry}/subjects/{topic}-value/versions/latest"
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
        answer = json.load(response)
    return int(answer["id"]), fastavro.parse_schema(json.loads(answer["schema"]))


def encoded(line: str, number: int, schema_id: int, schema: Any) -> bytes:
    """Return a line's record in Confluent's wire format: a zero byte, the schema's ID, and the record in Avro."""
    buffer = io.BytesIO(b"\x00" + schema_id.to_bytes(4, "big"))
    buffer.seek(5)
    try:
        fastavro.schemaless_writer(buffer, schema, json.loads(line), strict_allow_default=True)
    except (ValueError, TypeError, AttributeError) as error:
        sys.exit(f"line {number} is not a record of the topic's schema ({error}); nothing was sent")
    return buffer.getvalue()


if __name__ == "__main__":
    main()
