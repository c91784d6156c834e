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
from infra.local.registry_server import WRITER
from schemas.schema_files import schema_text, versions
from schemas.topics import TopicDeclaration, subject

COMPATIBILITY = ConfigCompatibilityLevel.FULL_TRANSITIVE
#: Requests at a time; the registry is a small server.
PARALLEL = 8


def register(environment: Environment, installation: Installation, topics: Iterable[TopicDeclaration]) -> int:
    """Register what is missing, under FULL_TRANSITIVE; write the ids down. How many subjects were new."""
    with SchemaRegistryClient(environment.registry(WRITER)) as client:
        if client.get_config().compatibility_level != COMPATIBILITY:
            client.set_config(config=ServerConfig(compatibility=COMPATIBILITY))
        return _register_all(client, installation, {subject(topic.name): topic.schema for topic in topics})


def _register_all(client: SchemaRegistryClient, installation: Installation, wanted: dict[str, str]) -> int:
    known = set(client.get_subjects())
    missing = {
        key: name for key, name in wanted.items() if key not in known or _more_versions(client, key, name)
    }
    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(lambda entry: _register(client, *entry), missing.items()))
        # The same schema has the same id under every subject.
        subjects = {name: key for key, name in wanted.items()}
        ids = pool.map(lambda entry: _ids(client, *entry), subjects.items())
        write_json(installation.schema_ids, dict(zip(subjects, ids, strict=True)))
    return len(missing)


def _more_versions(client: SchemaRegistryClient, key: str, name: str) -> bool:
    return len(versions(name)) > 1 and len(client.get_versions(key)) < len(versions(name))


def _register(client: SchemaRegistryClient, key: str, name: str) -> None:
    for version in versions(name):
        client.register_schema(key, _schema(name, version))


def _ids(client: SchemaRegistryClient, name: str, key: str) -> dict[str, int]:
    found = {version: client.lookup_schema(key, _schema(name, version)) for version in versions(name)}
    return {str(version): each.schema_id for version, each in found.items() if each.schema_id is not None}


def _schema(name: str, version: int) -> Schema:
    return Schema(schema_text(name, version), "AVRO")
