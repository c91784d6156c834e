"""The codec and confluent-kafka's own serializers read and write the same bytes, so agencies can use any client."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema as Registered
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.catalogue import Schema, catalogue
from schemas.codec import Codec
from schemas.tables import table_from_rows
from tests.unit.schemas.generated import rows

pytestmark = [pytest.mark.unit, pytest.mark.property]
CATALOGUE = catalogue()


class MockRegistry:
    """Schema IDs of confluent-kafka's registry in memory."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def id_of(self, name: str, version: int) -> int:
        """Register the schema, as confluent-kafka's serializer does, and return its ID."""
        text = CATALOGUE.schema(name, version).text
        schema_id: int = self._client.register_schema(f"{name}-value", Registered(text, "AVRO"))
        return schema_id

    def writer(self, schema_id: int) -> Schema | None:
        """Return the schema registered under the ID."""
        return Schema(self._client.get_schema(schema_id).schema_str)


CLIENT = SchemaRegistryClient.new_client({"url": "mock://"})
CODEC = Codec(CATALOGUE, MockRegistry(CLIENT))
DESERIALIZER: Any = AvroDeserializer(CLIENT)


@cache
def serializer(name: str) -> Any:
    """Return an agency's serializer, which uses the registered schema."""
    registered = {"auto.register.schemas": False, "use.latest.version": True}
    return AvroSerializer(CLIENT, CATALOGUE.schema(name).text, conf=registered)


@pytest.mark.parametrize("name", CATALOGUE.names)
@given(data=st.data())
@settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow])
def test_bytes_equal_those_of_confluents_serializer(name: str, data: st.DataObject) -> None:
    """Both serializers write the same bytes, and each deserializer reads those of the other."""
    written = data.draw(rows(CATALOGUE.schema(name).type, max_size=4))
    context = SerializationContext(name, MessageField.VALUE)
    table = table_from_rows(name, written)
    by_codec = CODEC.encode(name, table).to_pylist()
    by_confluent = [serializer(name)(row, context) for row in written]
    assert by_codec == by_confluent
    assert CODEC.decode(name, by_confluent).table.equals(table)
    assert [DESERIALIZER(value, context) for value in by_codec] == written
