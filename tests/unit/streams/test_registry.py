"""Schema ids stay available while the schema registry is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka.schema_registry import Schema as RegistrySchema
from confluent_kafka.schema_registry import SchemaRegistryError

from streams.errors import UnavailableError
from streams.registry import UNKNOWN_TTL_S, RegistrySchemaIds
from tests.unit.streams import toys

SCHEMA_TEXT = '{"type": "record", "name": "Item", "fields": []}'


class FakeRegistry:
    """A registry with one foreign schema, under id 70; unavailable while `down`."""

    def __init__(self) -> None:
        self.requested_ids: list[int] = []
        self.down = False

    def get_schema(self, schema_id: int) -> RegistrySchema:
        """Return the schema or raise, as Confluent's client does."""
        self.requested_ids.append(schema_id)
        if self.down:
            raise OSError("connection refused")
        if schema_id != 70:
            raise SchemaRegistryError(404, 40403, "no such schema")
        return RegistrySchema(SCHEMA_TEXT, "AVRO")


def create_ids(registry: FakeRegistry, file: Path, now_s: list[float]) -> RegistrySchemaIds:
    """Return the ids of the toy steps' catalogue, in which `item` has id 50."""
    return RegistrySchemaIds(toys.CATALOGUE, {("item", 1): 50}, registry, file, lambda: now_s[0])


def test_a_known_schema_is_not_requested(tmp_path: Path) -> None:
    """The catalogue's schemas, and those that an earlier worker has requested, are available without the registry."""
    registry, file = FakeRegistry(), tmp_path / "cache" / "schemas.json"
    requested = create_ids(registry, file, [0.0]).writer(70)
    assert requested is not None
    assert requested.text == SCHEMA_TEXT
    registry.down = True
    restarted = create_ids(registry, file, [0.0])
    assert restarted.id_of("item", 1) == 50
    assert restarted.writer(50) is toys.CATALOGUE.schema("item")
    assert restarted.writer(70) == requested
    assert registry.requested_ids == [70]


def test_an_unknown_id_is_requested_again_later(tmp_path: Path) -> None:
    """Records with invented ids can't overload the registry; an id that is registered later will be found."""
    registry, now_s = FakeRegistry(), [100.0]
    ids = create_ids(registry, tmp_path / "schemas.json", now_s)
    assert [ids.writer(71), ids.writer(71)] == [None, None]
    now_s[0] += UNKNOWN_TTL_S + 1
    assert ids.writer(71) is None
    assert registry.requested_ids == [71, 71]


def test_an_unavailable_registry_is_not_the_records_fault(tmp_path: Path) -> None:
    """`writer` raises UnavailableError, which stops the worker.

    Reporting an unknown schema would make dead letters of good records.
    """
    registry = FakeRegistry()
    registry.down = True
    with pytest.raises(UnavailableError):
        create_ids(registry, tmp_path / "schemas.json", [0.0]).writer(70)


def test_a_damaged_cache_file_is_replaced(tmp_path: Path) -> None:
    """Request the schema, and write the file again."""
    file = tmp_path / "schemas.json"
    file.write_bytes(b"\x00{")
    registry = FakeRegistry()
    assert create_ids(registry, file, [0.0]).writer(70) is not None
    registry.down = True
    assert create_ids(registry, file, [0.0]).writer(70) is not None
