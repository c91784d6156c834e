"""Schemas of every topic in the registry, and the ids that it gave, kept in a file for the workers."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka.schema_registry import (
    ConfigCompatibilityLevel,
    Schema,
    SchemaRegistryClient,
    ServerConfig,
)

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.local.home import write_json
from infra.local.registry import WRITER
from schemas.files import schema_names, schema_text, versions
from schemas.topics import TopicDeclaration, subject

COMPATIBILITY = ConfigCompatibilityLevel.FULL_TRANSITIVE
#: Requests at a time; the registry is a small server.
PARALLEL = 8
#: A subject for the name itself, so that the ids of all versions are known whatever topics there are.
CATALOGUE = "catalogue."


def register(environment: Environment, installation: Installation, topics: Iterable[TopicDeclaration]) -> int:
    """Register what is missing, under FULL_TRANSITIVE; write the ids down. How many subjects were new."""
    client = SchemaRegistryClient(environment.registry(WRITER))
    if client.get_config().compatibility_level != COMPATIBILITY:
        client.set_config(config=ServerConfig(compatibility=COMPATIBILITY))
    known = set(client.get_subjects())
    names = {f"{CATALOGUE}{name}": name for name in schema_names()}
    wanted = names | {subject(topic.name): topic.schema for topic in topics}
    missing = {
        key: name for key, name in wanted.items() if key not in known or _more_versions(client, key, name)
    }
    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(lambda entry: _register(client, *entry), missing.items()))
        ids = pool.map(lambda name: _ids(client, name), names.values())
        write_json(installation.schema_ids, dict(zip(names.values(), ids, strict=True)))
    return len(missing)


def _more_versions(client: SchemaRegistryClient, key: str, name: str) -> bool:
    return len(versions(name)) > 1 and len(client.get_versions(key)) < len(versions(name))


def _register(client: SchemaRegistryClient, key: str, name: str) -> None:
    for version in versions(name):
        client.register_schema(key, _schema(name, version))


def _ids(client: SchemaRegistryClient, name: str) -> dict[str, int]:
    found = {
        str(version): client.lookup_schema(f"{CATALOGUE}{name}", _schema(name, version)).schema_id
        for version in versions(name)
    }
    return {version: number for version, number in found.items() if number is not None}


def _schema(name: str, version: int) -> Schema:
    return Schema(schema_text(name, version), "AVRO")
