"""An agency needs nothing of ours: Confluent's own client, serializer and deserializer, and the registry."""

from __future__ import annotations

from typing import Any

from confluent_kafka import DeserializingConsumer, SerializingProducer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer

from infra.look.waiting import wait_idle
from tests.integration.mesh.conftest import Mesh

TIMEOUT_S = 60.0
NOTICE: dict[str, Any] = {
    "notice": "13113-000000001",
    "municipality": "131130",
    "reason": "初期登録",
    "effective_on": "2026-02-01",
    "recorded_on": "2026-02-01",
    "persons": [
        {
            "code": "42001821373",
            "local_number": "0000000000001",
            "name": "公証　人",
            "kana": "コウショウ　ジン",
            "birth_date": "1942-04-23",
            "sex": "男",
            "relationship": "世帯主",
            "household": "000000000001",
            "address": "東京都渋谷区道玄坂5丁目28番13号",
            "protected": False,
        }
    ],
}


def publish(mesh: Mesh, registry: SchemaRegistryClient, topic: str, event: dict[str, Any]) -> None:
    """As the system's own user, by the schema that the registry has."""
    schema = registry.get_latest_version(f"{topic}-value").schema
    settings = {"auto.register.schemas": False, "use.latest.version": True}
    serializer = AvroSerializer(registry, schema.schema_str, conf=settings)
    producer = SerializingProducer(
        {**mesh.environment.kafka(topic.removeprefix("in.")), "value.serializer": serializer}
    )
    producer.produce(topic, value=event)
    assert producer.flush(TIMEOUT_S) == 0


def first(mesh: Mesh, registry: SchemaRegistryClient, domain: str) -> dict[str, Any]:
    """What a domain's own program reads first."""
    consumer = DeserializingConsumer(
        {
            **mesh.environment.kafka(domain),
            "group.id": f"{domain}.agency",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "value.deserializer": AvroDeserializer(registry),
        }
    )
    try:
        consumer.subscribe([f"domain.{domain}"])
        message = consumer.poll(TIMEOUT_S)
        assert message is not None
        value: Any = message.value()
    finally:
        consumer.close()
    return dict(value)


def test_an_agency_publishes_and_reads_with_plain_clients(mesh: Mesh) -> None:
    """A notice goes in as the register's user; the tax office reads of it in its own code, and no more than its due."""
    mesh.begin_anew(workers=1)
    with SchemaRegistryClient({"url": mesh.environment.registry_url}) as registry:
        publish(mesh, registry, "in.juki.131130", NOTICE)
        wait_idle(mesh.environment, mesh.installation, timeout_s=TIMEOUT_S)
        told = first(mesh, registry, "local-tax")
    assert told["person"]["roman"] == "KOSHO JIN"
    assert told["municipality"] == "131130"
    assert told["code"] != NOTICE["persons"][0]["code"]
    assert "sex" not in told["person"]
