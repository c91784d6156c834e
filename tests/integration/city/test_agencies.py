"""An agency needs no code of the mesh: it produces and consumes with plain clients of Kafka and the registry."""

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


def test_an_agency_produces_and_consumes_with_plain_clients(cluster: IntegrationCluster) -> None:
    """A plain producer publishes a notice as the register's user; a plain consumer reads it as the tax office's."""
    cluster.start_empty()
    register, tax_office = exports(cluster, "juki.131130"), exports(cluster, "local-tax")
    publish(register, NOTICE)
    cluster.wait_idle()
    assert [row["kana"] for row in cluster.table("local_tax", "person")] == [PERSON["kana"]]
    change = first_record(tax_office, "domain.local-tax")
    assert (change["op"], change["municipality"]) == ("UPSERT", "131130")
    assert {name: change["person"][name] for name in ("name", "kana", "address")} == {
        name: PERSON[name] for name in ("name", "kana", "address")
    }
    assert change["person"]["roman"] == "SHIKEN ICHIRO"


def exports(cluster: IntegrationCluster, user: str) -> dict[str, str]:
    """Return the variables that `mesh local env --user` prints."""
    process = cluster.mesh("local", "env", "--user", user)
    assert process.returncode == 0, process.stderr
    words = [word for line in process.stdout.splitlines() for word in shlex.split(line)]
    return dict(word.split("=", 1) for word in words if "=" in word)


def connection(env: Mapping[str, str]) -> dict[str, Any]:
    """Return the properties of a Kafka client for these variables."""
    return {
        "bootstrap.servers": env["MESH_KAFKA_BOOTSTRAP"],
        "security.protocol": env["MESH_KAFKA_SECURITY_PROTOCOL"],
        "sasl.mechanism": env["MESH_KAFKA_SASL_MECHANISM"],
        "sasl.username": env["MESH_KAFKA_SASL_USERNAME"],
        "sasl.password": env["MESH_KAFKA_SASL_PASSWORD"],
    }


def publish(env: Mapping[str, str], notice: Mapping[str, Any]) -> None:
    """Publish a notice with the latest schema of the registry, and wait for the broker."""
    registry = SchemaRegistryClient({"url": env["MESH_REGISTRY_URL"]})
    serialize = AvroSerializer(registry, conf={"auto.register.schemas": False, "use.latest.version": True})
    producer = Producer(connection(env))
    errors: list[object] = []
    value = serialize(notice, SerializationContext(TOPIC, MessageField.VALUE))
    registry.close()
    producer.produce(
        TOPIC,
        value,
        on_delivery=lambda error, _: errors.append(error),
    )
    assert producer.flush(CONDITION_TIMEOUT_S) == 0
    assert errors == [None]


def first_record(env: Mapping[str, str], topic: str) -> dict[str, Any]:
    """Return the first record of a topic as the plain deserializer returns it; wait for it if necessary."""
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
    raise AssertionError(f"no record in {topic} within {CONDITION_TIMEOUT_S} s")
