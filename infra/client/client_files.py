"""The files of each kind of client, by name: what `mesh client` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from infra.client.file_formats import comment, java_connection, java_lines, librdkafka_lines
from infra.client.kafka_access import CONSUMER, PRODUCER, KafkaAccess
from schemas.catalogue import catalogue

#: Contents of files by name.
Files = Mapping[str, str]

_PROGRAMS: Final = Path(__file__).parent / "programs"
_WARNING: Final = "This file has a password: keep it readable by its owner only."


def kcat_files(access: KafkaAccess) -> Files:
    """Return a configuration to read with, if the user reads anything, and one to submit with, if it submits."""
    old = "kcat needs librdkafka 2.6.1 or newer (`kcat -V`): that of Debian 12 can't log in to Kafka 4."
    files = {}
    if access.reads:
        group, topic = access.group("kcat"), _topic_in_examples(access)
        examples = (
            "To read a topic from its beginning to its end, decoded by the registry's schemas:",
            f"  kcat -F read.conf -C -t {topic} -o beginning -e -s value=avro -r {access.registry_url}",
            "To read on from where the group stopped:",
            f"  kcat -F read.conf -G {group} -s value=avro -r {access.registry_url} {topic}",
        )
        settings = {**access.connection, "group.id": group, **CONSUMER}
        files["read.conf"] = comment((_WARNING, old, *examples)) + librdkafka_lines(settings)
    if access.writes:
        topic = access.writes[0].name
        examples = (
            "To see whether the login works:",
            f"  kcat -F submit.conf -L -t {topic}",
            "kcat can't write Avro. To submit a file that is one record in Confluent's wire format:",
            f"  kcat -F submit.conf -P -t {topic} record.avro",
        )
        files["submit.conf"] = comment((_WARNING, old, *examples)) + librdkafka_lines(
            {**access.connection, **PRODUCER}
        )
    return files


def python_files(access: KafkaAccess) -> Files:
    """Return the settings as JSON, a program for what the user may do, and the schemas in whose form it reads."""
    settings: dict[str, object] = {"connection": access.connection, "registry": access.registry_url}
    files = {}
    if access.reads:
        settings["consumer"] = {"group.id": access.group("python"), **CONSUMER, "enable.auto.commit": "false"}
        settings["read"] = None if access.reads_everything else access.reads[0].name
        files["read_records.py"] = _program("read_records")
        if not access.reads_everything:
            files |= {f"{topic.name}.avsc": catalogue().schema(topic.schema).text for topic in access.reads}
    if access.writes:
        settings["producer"] = PRODUCER
        settings["submit"] = access.writes[0].name
        files["submit_records.py"] = _program("submit_records")
    return {"client.json": json.dumps(settings, indent=2) + "\n", **files}


def java_files(access: KafkaAccess) -> Files:
    """Return one file of properties, for consumers and producers of Kafka's Java client."""
    settings = java_connection(access.connection)
    settings["schema.registry.url"] = access.registry_url
    if access.reads:
        settings |= {
            "group.id": access.group("java"),
            **CONSUMER,
            "key.deserializer": "org.apache.kafka.common.serialization.StringDeserializer",
            "value.deserializer": "io.confluent.kafka.serializers.KafkaAvroDeserializer",
        }
    if access.writes:
        settings |= {
            **PRODUCER,
            "key.serializer": "org.apache.kafka.common.serialization.StringSerializer",
            "value.serializer": "io.confluent.kafka.serializers.KafkaAvroSerializer",
            # Only `mesh apply` registers schemas.
            "auto.register.schemas": "false",
            "use.latest.version": "true",
        }
    topics = [f"writes {topic.name}" for topic in access.writes]
    topics += [] if access.reads_everything else [f"reads {topic.name}" for topic in access.reads]
    lines = (
        _WARNING,
        *(f"The user {access.user} {topic}." for topic in topics),
        "The serializers are those of io.confluent:kafka-avro-serializer, from Confluent's Maven repository.",
    )
    return {"client.properties": comment(lines) + java_lines(settings)}


def connect_files(access: KafkaAccess, folder: Path, topic: str | None) -> Files:
    """Return a worker and a connector of Kafka Connect, which writes the topic's records to a file in `folder`."""
    read = access.topic_to_read(topic)
    group = access.group("connect")
    worker = {
        **java_connection(access.connection),
        **java_connection(access.connection, "consumer."),
        "consumer.isolation.level": CONSUMER["isolation.level"],
        "consumer.auto.offset.reset": CONSUMER["auto.offset.reset"],
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "io.confluent.connect.avro.AvroConverter",
        "value.converter.schema.registry.url": access.registry_url,
        # By default the worker's interface is open to every machine, and shows the connectors' settings.
        "listeners": "http://127.0.0.1:8083",
        "offset.storage.file.filename": str(folder / "connect.offsets"),
    }
    worker_lines = (
        _WARNING,
        "Start: connect-standalone.sh worker.properties file-sink.properties",
        "plugin.path must have the folder with connect-file-*.jar of Kafka's own libs, and Confluent's AvroConverter.",
    )
    connector = {
        "name": f"{access.user}-file",
        "connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector",
        "tasks.max": "1",
        "topics": read,
        "file": str(folder / f"{read}.txt"),
        "consumer.override.group.id": group,
    }
    connector_lines = (
        f"By default the group of a sink is connect-{connector['name']}, which {access.user} may not use.",
        f"Groups of {access.user} begin with its own name.",
    )
    return {
        "worker.properties": comment(worker_lines) + java_lines(worker),
        "file-sink.properties": comment(connector_lines) + java_lines(connector),
    }


def _program(name: str) -> str:
    return (_PROGRAMS / f"{name}.py").read_text("utf-8")


def _topic_in_examples(access: KafkaAccess) -> str:
    return "TOPIC" if access.reads_everything else access.topic_to_read(None)
