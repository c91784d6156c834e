"""Ids where the registry may be away."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka.schema_registry import Schema as RegistrySchema
from confluent_kafka.schema_registry import SchemaRegistryError

from streams.errors import UnavailableError
from streams.registry import RegistrySchemaIds
from tests.unit.streams import toys

TEXT = '{"type": "record", "name": "Item", "fields": []}'


class FakeRegistry:
    """Knows one foreign schema, by id 70; down when told."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.down = False

    def get_schema(self, schema_id: int) -> RegistrySchema:
        """As a client of Confluent's does."""
        self.asked.append(schema_id)
        if self.down:
            raise OSError("refused")
        if schema_id != 70:
            raise SchemaRegistryError(404, 40403, "no such schema")
        return RegistrySchema(TEXT, "AVRO")


def ids(registry: FakeRegistry, file: Path, now: list[float]) -> RegistrySchemaIds:
    """Ids of the toys' catalogue, 50 for the item."""
    return RegistrySchemaIds(toys.CATALOGUE, {("item", 1): 50}, registry, file, lambda: now[0])


def test_what_is_known_asks_nobody(tmp_path: Path) -> None:
    """The catalogue's own ids, and what an earlier worker asked for, while the registry is down."""
    registry, file = FakeRegistry(), tmp_path / "kept" / "schemas.json"
    first = ids(registry, file, [0.0])
    found = first.writer(70)
    assert found is not None
    assert found.text == TEXT
    registry.down = True
    later = ids(registry, file, [0.0])
    assert later.id_of("item", 1) == 50
    assert later.writer(50) is toys.CATALOGUE.schema("item")
    assert later.writer(70) == found
    assert registry.asked == [70]


def test_an_id_nobody_knows_is_asked_for_again_later(tmp_path: Path) -> None:
    """Records with made-up ids can't keep the registry busy; one that is registered later is found."""
    registry, now = FakeRegistry(), [100.0]
    found = ids(registry, tmp_path / "kept.json", now)
    assert [found.writer(71), found.writer(71)] == [None, None]
    now[0] += 11
    assert found.writer(71) is None
    assert registry.asked == [71, 71]


def test_a_registry_away_is_no_fault_of_the_record(tmp_path: Path) -> None:
    """Not known is another thing than not there."""
    registry = FakeRegistry()
    registry.down = True
    with pytest.raises(UnavailableError):
        ids(registry, tmp_path / "kept.json", [0.0]).writer(70)


def test_a_spoiled_file_is_only_a_cache(tmp_path: Path) -> None:
    """It is written anew."""
    file = tmp_path / "kept.json"
    file.write_bytes(b"\x00{")
    registry = FakeRegistry()
    assert ids(registry, file, [0.0]).writer(70) is not None
    registry.down = True
    assert ids(registry, file, [0.0]).writer(70) is not None
