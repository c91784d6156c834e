"""An agency needs nothing of ours: confluent-kafka's own serializers read and write the same bytes."""

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


class MockedRegistry:
    """Ids of confluent-kafka's registry in memory."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def id_of(self, name: str, version: int) -> int:
        """Registers the schema, as its own serializer does."""
        text = CATALOGUE.schema(name, version).text
        found: int = self._client.register_schema(f"{name}-value", Registered(text, "AVRO"))
        return found

    def writer(self, schema_id: int) -> Schema | None:
        """What is registered under the id."""
        return Schema(self._client.get_schema(schema_id).schema_str)


CLIENT = SchemaRegistryClient.new_client({"url": "mock://"})
CODEC = Codec(CATALOGUE, MockedRegistry(CLIENT))
DESERIALIZER: Any = AvroDeserializer(CLIENT)


@cache
def serializer(name: str) -> Any:
    """Of an agency that writes by what is registered."""
    registered = {"auto.register.schemas": False, "use.latest.version": True}
    return AvroSerializer(CLIENT, CATALOGUE.schema(name).text, conf=registered)


@pytest.mark.parametrize("name", CATALOGUE.names)
@given(data=st.data())
@settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow])
def test_same_bytes_as_confluents(name: str, data: st.DataObject) -> None:
    """What its serializer writes is what we write, and its deserializer reads ours."""
    written = data.draw(rows(CATALOGUE.schema(name).type, max_size=4))
    context = SerializationContext(name, MessageField.VALUE)
    table = table_from_rows(name, written)
    ours = CODEC.encode(name, table).to_pylist()
    theirs = [serializer(name)(row, context) for row in written]
    assert ours == theirs
    assert CODEC.decode(name, theirs).table.equals(table)
    assert [DESERIALIZER(value, context) for value in ours] == written
