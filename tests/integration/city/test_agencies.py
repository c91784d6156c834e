"""An agency needs nothing of ours: plain clients of Kafka and its registry hand over and read."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from typing import Any, cast

from confluent_kafka import DeserializingConsumer, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from tests.integration.cluster import CONDITION_TIMEOUT_S, IntegrationCluster

TOPIC = "in.juki.131130"
PERSON = {
    "code": "42990000011",
    "local_number": "1311390000001",
    "name": "試験　一郎",
    "kana": "シケン　イチロウ",
    "birth_date": "1980-05-05",
    "sex": "男",
    "relationship": "世帯主",
    "household": "131139000001",
    "address": "東京都渋谷区道玄坂1丁目1番1号",
    "protected": False,
}
NOTICE = {
    "notice": "13113-990000001",
    "municipality": "131130",
    "reason": "初期登録",
    "effective_on": "2026-02-01",
    "recorded_on": "2026-02-01",
    "persons": [PERSON],
}


def test_agency_hands_over_and_reads_with_plain_clients(place: IntegrationCluster) -> None:
    """A notice published by a plain producer as the register's user is read by a plain consumer as the tax office's."""
    place.begin_anew()
    register, office = exports(place, "juki.131130"), exports(place, "local-tax")
    publish(register, NOTICE)
    place.settle()
    assert [row["kana"] for row in place.table("local_tax", "person")] == [PERSON["kana"]]
    told = first_record(office, "domain.local-tax")
    assert (told["op"], told["municipality"]) == ("UPSERT", "131130")
    assert {name: told["person"][name] for name in ("name", "kana", "address")} == {
        name: PERSON[name] for name in ("name", "kana", "address")
    }
    assert told["person"]["roman"] == "SHIKEN ICHIRO"


def exports(place: IntegrationCluster, user: str) -> dict[str, str]:
    """What `mesh local env --user` prints, by name."""
    printed = place.mesh("local", "env", "--user", user)
    assert printed.returncode == 0, printed.stderr
    words = [word for line in printed.stdout.splitlines() for word in shlex.split(line)]
    return dict(word.split("=", 1) for word in words if word.startswith("MESH_"))


def connection(env: Mapping[str, str]) -> dict[str, Any]:
    """The properties of any client of Kafka, out of the environment."""
    return {
        "bootstrap.servers": env["MESH_KAFKA_BOOTSTRAP"],
        "security.protocol": env["MESH_KAFKA_SECURITY_PROTOCOL"],
        "sasl.mechanism": env["MESH_KAFKA_SASL_MECHANISM"],
        "sasl.username": env["MESH_KAFKA_SASL_USERNAME"],
        "sasl.password": env["MESH_KAFKA_SASL_PASSWORD"],
    }


def publish(env: Mapping[str, str], notice: Mapping[str, Any]) -> None:
    """Publish with the schema that the registry has last, and wait for the broker."""
    registry = SchemaRegistryClient({"url": env["MESH_REGISTRY_URL"]})
    write = AvroSerializer(registry, conf={"auto.register.schemas": False, "use.latest.version": True})
    producer = Producer(connection(env))
    refused: list[object] = []
    value = write(notice, SerializationContext(TOPIC, MessageField.VALUE))
    registry.close()
    producer.produce(
        TOPIC,
        value,
        on_delivery=lambda error, _: refused.append(error),
    )
    assert producer.flush(CONDITION_TIMEOUT_S) == 0
    assert refused == [None]


def first_record(env: Mapping[str, str], topic: str) -> dict[str, Any]:
    """The first record of a topic that is there or comes, as the plain deserializer reads it."""
    registry = SchemaRegistryClient({"url": env["MESH_REGISTRY_URL"]})
    consumer = DeserializingConsumer(
        connection(env)
        | {
            "group.id": "local-tax.office",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "value.deserializer": AvroDeserializer(registry),
        }
    )
    try:
        consumer.subscribe([topic])
        deadline = time.monotonic() + CONDITION_TIMEOUT_S
        while time.monotonic() < deadline:
            message = consumer.poll(1.0)
            if message is not None:
                return cast("dict[str, Any]", message.value())
    finally:
        consumer.close()
        registry.close()
    raise AssertionError(f"nothing came in {topic}")
