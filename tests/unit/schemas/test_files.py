"""What every Avro file of the catalogue keeps to."""

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
    """FULL_TRANSITIVE: each version reads what each other one wrote."""
    parsed = [parse(text) for text in texts]
    checker: Any = ReaderWriterCompatibilityChecker
    return all(
        checker().get_compatibility(reader, writer).compatibility is SchemaCompatibilityType.compatible
        for reader, writer in itertools.permutations(parsed, 2)
    )


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Every record, enum and field that a schema defines."""
    if isinstance(schema, dict):
        yield schema
        for key in ("type", "items", "values", "fields"):
            yield from nodes(schema.get(key))
    elif isinstance(schema, list):
        for each in schema:
            yield from nodes(each)


@pytest.mark.parametrize("name", CATALOGUE.names)
def test_versions_are_full_transitive(name: str) -> None:
    """Whatever version wrote a record, every other version reads it."""
    assert fully_compatible([CATALOGUE.schema(name, version).text for version in CATALOGUE.versions(name)])


@pytest.mark.parametrize("name", CATALOGUE.names)
def test_fields_can_come_and_go(name: str) -> None:
    """A usual next version of every schema would be FULL_TRANSITIVE: defaults are where they are needed."""
    schema = CATALOGUE.schema(name)
    assert fully_compatible([schema.text, json.dumps(evolved(schema.json))])


@pytest.mark.parametrize(
    "broken",
    [
        {"name": "added", "type": "string"},
        {"name": "revision", "type": "string"},
        {"name": "revision", "type": "int"},
    ],
)
def test_a_broken_evolution_is_found(broken: dict[str, Any]) -> None:
    """A field without a default, another type, a narrower type: the check says no."""
    schema = CATALOGUE.schema("receipt")
    fields = [field for field in schema.json["fields"] if field["name"] != broken["name"]]
    assert not fully_compatible([schema.text, json.dumps({**schema.json, "fields": [*fields, broken]})])


def test_an_enum_without_its_default_is_found() -> None:
    """A new symbol is only compatible where the older reader has a default."""
    schema = CATALOGUE.schema("rejected")
    old = json.loads(schema.text)
    for node in nodes(old):
        if node.get("type") == "enum":
            del node["default"]
    assert not fully_compatible([json.dumps(old), json.dumps(evolved(old))])


def test_released_files_are_unchanged() -> None:
    """A released file is never changed; only a name's newest version may still wait for its release."""
    assert released.changed() == []
    waiting = released.hashes().keys() - released.released().keys()
    newest = {f"{name}/v{CATALOGUE.versions(name)[-1]}" for name in CATALOGUE.names}
    assert waiting <= newest


def test_a_changed_file_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison sees a file whose content differs, and one that is gone."""
    now = released.hashes()
    monkeypatch.setattr(released, "released", lambda: now)
    assert released.changed() == []
    monkeypatch.setattr(released, "hashes", lambda: {**now, "notice/v1": "another"})
    assert released.changed() == ["notice/v1"]
    monkeypatch.setattr(released, "hashes", dict)
    assert released.changed() == sorted(now)


@pytest.mark.parametrize("name", CATALOGUE.names)
def test_everything_is_documented(name: str) -> None:
    """Every record, enum and field says what it is."""
    for version in CATALOGUE.versions(name):
        for node in nodes(CATALOGUE.schema(name, version).json):
            if "name" in node:
                assert node.get("doc", "").endswith("."), f"{name}/v{version}: {node['name']}"


@pytest.mark.parametrize("name", CATALOGUE.names)
def test_enums_have_a_default(name: str) -> None:
    """An older reader makes something of a symbol it doesn't know."""
    for version in CATALOGUE.versions(name):
        for node in nodes(CATALOGUE.schema(name, version).json):
            if node.get("type") == "enum":
                assert node.get("default") in node["symbols"], f"{name}/v{version}: {node['name']}"


@pytest.mark.parametrize("name", CATALOGUE.names)
def test_both_libraries_parse_every_file(name: str) -> None:
    """Each file stands alone, is valid Avro, and is a record of columns; bytes alone need fastavro."""
    for version in CATALOGUE.versions(name):
        schema = CATALOGUE.schema(name, version)
        assert schema.fastavro["name"].startswith("jp.psm.")
        assert schema.engine == ("fastavro" if "bytes" in _kinds(schema.type) else "pyruhvro")


def _kinds(avro: AvroType) -> set[str]:
    inner = [field.type for field in avro.fields] + ([avro.items] if avro.items else [])
    return {avro.kind}.union(*map(_kinds, inner))


def test_names_and_versions() -> None:
    """The newest version is the default; what isn't there is a KeyError that says so."""
    assert CATALOGUE.versions("notice")[0] == 1
    assert CATALOGUE.schema("notice").version == CATALOGUE.versions("notice")[-1]
    with pytest.raises(KeyError, match="no schema named motice"):
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
def test_what_cannot_be_columns_is_refused(schema: Any) -> None:
    """Unions of several types, decimals, recursion and what isn't Avro: one named error."""
    with pytest.raises(UnsupportedSchemaError):
        parse_type(schema)
