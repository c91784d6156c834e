"""The rules that every Avro file of the catalogue follows."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse

from schemas import released
from schemas.catalogue import catalogue
from schemas.types import AvroType, UnsupportedSchemaError, parse_type
from tests.unit.schemas.generated import evolved

pytestmark = pytest.mark.unit
CATALOGUE = catalogue()


def fully_compatible(texts: list[str]) -> bool:
    """Return whether the versions are FULL_TRANSITIVE: each one reads records of every other."""
    parsed = [parse(text) for text in texts]
    checker: Any = ReaderWriterCompatibilityChecker
    return all(
        checker().get_compatibility(reader, writer).compatibility is SchemaCompatibilityType.compatible
        for reader, writer in itertools.permutations(parsed, 2)
    )


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every record, enum and field that a schema defines."""
    if isinstance(schema, dict):
        yield schema
        for key in ("type", "items", "values", "fields"):
            yield from nodes(schema.get(key))
    elif isinstance(schema, list):
        for item in schema:
            yield from nodes(item)


@pytest.mark.parametrize("name", CATALOGUE.names)
def test_every_version_reads_every_other(name: str) -> None:
    """All versions of a name are compatible with each other (FULL_TRANSITIVE)."""
    assert fully_compatible([CATALOGUE.schema(name, version).text for version in CATALOGUE.versions(name)])


@pytest.mark.parametrize("name", CATALOGUE.names)
def test_fields_can_be_added_and_removed(name: str) -> None:
    """A typical next version of every schema is compatible, because all fields that need a default have one."""
    schema = CATALOGUE.schema(name)
    assert fully_compatible([schema.text, json.dumps(evolved(schema.json))])


@pytest.mark.parametrize(
    "incompatible",
    [
        {"name": "added", "type": "string"},
        {"name": "revision", "type": "string"},
        {"name": "revision", "type": "int"},
    ],
)
def test_incompatible_changes_are_detected(incompatible: dict[str, Any]) -> None:
    """The check detects an added field without a default, another type, and a narrower type."""
    schema = CATALOGUE.schema("receipt")
    fields = [field for field in schema.json["fields"] if field["name"] != incompatible["name"]]
    assert not fully_compatible([schema.text, json.dumps({**schema.json, "fields": [*fields, incompatible]})])


def test_an_enum_without_a_default_is_detected() -> None:
    """A new symbol is only compatible if the older reader's enum has a default."""
    schema = CATALOGUE.schema("rejected")
    old = json.loads(schema.text)
    for node in nodes(old):
        if node.get("type") == "enum":
            del node["default"]
    assert not fully_compatible([json.dumps(old), json.dumps(evolved(old))])


def test_released_files_are_unchanged() -> None:
    """No released file has changed, and only the newest version of a name may be unreleased."""
    assert released.changed_files() == []
    unreleased = released.current_hashes().keys() - released.released_hashes().keys()
    newest = {f"{name}/v{CATALOGUE.versions(name)[-1]}" for name in CATALOGUE.names}
    assert unreleased <= newest


def test_a_changed_or_missing_file_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison detects a file with other content, and a missing one."""
    now = released.current_hashes()
    monkeypatch.setattr(released, "released_hashes", lambda: now)
    assert released.changed_files() == []
    monkeypatch.setattr(released, "current_hashes", lambda: {**now, "notice/v1": "another"})
    assert released.changed_files() == ["notice/v1"]
    monkeypatch.setattr(released, "current_hashes", dict)
    assert released.changed_files() == sorted(now)


@pytest.mark.parametrize("name", CATALOGUE.names)
def test_every_name_has_a_doc(name: str) -> None:
    """Every record, enum and field has a `doc` that ends with a full stop."""
    for version in CATALOGUE.versions(name):
        for node in nodes(CATALOGUE.schema(name, version).json):
            if "name" in node:
                assert node.get("doc", "").endswith("."), f"{name}/v{version}: {node['name']}"


@pytest.mark.parametrize("name", CATALOGUE.names)
def test_enums_have_a_default(name: str) -> None:
    """Every enum has a default, so an older reader can read a symbol that it doesn't know."""
    for version in CATALOGUE.versions(name):
        for node in nodes(CATALOGUE.schema(name, version).json):
            if node.get("type") == "enum":
                assert node.get("default") in node["symbols"], f"{name}/v{version}: {node['name']}"


@pytest.mark.parametrize("name", CATALOGUE.names)
def test_every_file_is_a_supported_record(name: str) -> None:
    """Each file is valid Avro without any other file, and pyruhvro supports all of them except those with bytes."""
    for version in CATALOGUE.versions(name):
        schema = CATALOGUE.schema(name, version)
        assert schema.fastavro["name"].startswith("jp.psm.")
        assert schema.engine == ("fastavro" if "bytes" in _kinds(schema.type) else "pyruhvro")


def _kinds(avro: AvroType) -> set[str]:
    inner = [field.type for field in avro.fields] + ([avro.items] if avro.items else [])
    return {avro.kind}.union(*map(_kinds, inner))


def test_the_newest_version_is_the_default() -> None:
    """A schema without a version number is the newest; an unknown name is a KeyError with the names that exist."""
    assert CATALOGUE.versions("notice")[0] == 1
    assert CATALOGUE.schema("notice").version == CATALOGUE.versions("notice")[-1]
    with pytest.raises(KeyError, match="no schema has the name motice"):
        CATALOGUE.schema("motice")


@pytest.mark.parametrize(
    "schema",
    [
        ["null", "string", "int"],
        {"type": "bytes", "logicalType": "decimal", "precision": 4},
        {"type": "record", "name": "R", "fields": [{"name": "again", "type": ["null", "R"]}]},
        {"type": "record", "name": "R"},
        {"type": "string", "logicalType": "uuid"},
        7,
    ],
)
def test_unsupported_schemas_are_rejected(schema: Any) -> None:
    """Unions of several types, decimals, recursion and other JSON all raise UnsupportedSchemaError."""
    with pytest.raises(UnsupportedSchemaError):
        parse_type(schema)
