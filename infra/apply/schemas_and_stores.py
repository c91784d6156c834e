"""Schemas in the registry, with a file of their IDs for the workers, and the domains' stores in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg
from confluent_kafka.schema_registry import (
    ConfigCompatibilityLevel,
    Schema,
    SchemaRegistryClient,
    ServerConfig,
)

from connectors.postgres.ddl import create_store, drop_store
from connectors.postgres.roles import store_roles
from infra.apply.installation import Installation
from infra.environment import Environment
from infra.local.home import write_json
from infra.local.postgres_server import SUPERUSER
from infra.local.registry_server import WRITER
from schemas.schema_files import schema_text, versions
from schemas.systems import DOMAINS
from schemas.topics import TopicDeclaration, subject

COMPATIBILITY = ConfigCompatibilityLevel.FULL_TRANSITIVE
#: Concurrent requests; the registry is a small server.
PARALLEL_REQUESTS = 8
CONNECT_TIMEOUT_S = 10


def register_schemas(
    environment: Environment, installation: Installation, topics: Iterable[TopicDeclaration]
) -> int:
    """Register missing schema versions under FULL_TRANSITIVE and write all IDs to a file.

    Return how many subjects were new or lacked a version.
    """
    with SchemaRegistryClient(environment.registry(WRITER)) as client:
        if client.get_config().compatibility_level != COMPATIBILITY:
            client.set_config(config=ServerConfig(compatibility=COMPATIBILITY))
        return _register_all(client, installation, {subject(topic.name): topic.schema for topic in topics})


def create_stores(environment: Environment, municipalities: Sequence[str]) -> int:
    """Create the missing stores, and the logins of these municipalities. Return how many stores were new."""
    secrets = environment.secrets()
    secrets.ensure(role for domain in DOMAINS.values() for role in store_roles(domain, municipalities))
    with _superuser_connection(environment) as connection:
        known = {name for (name,) in connection.execute("SELECT nspname FROM pg_namespace").fetchall()}
        for domain in DOMAINS.values():
            passwords = {role: secrets.password(role) for role in store_roles(domain, municipalities)}
            create_store(connection, domain, municipalities, passwords)
    return sum(domain.schema_name not in known for domain in DOMAINS.values())


def drop_stores(environment: Environment) -> None:
    """Delete every store with all its data; logins and their passwords stay."""
    with _superuser_connection(environment) as connection:
        for domain in DOMAINS.values():
            drop_store(connection, domain)


def _register_all(
    client: SchemaRegistryClient, installation: Installation, schema_by_subject: dict[str, str]
) -> int:
    registered = set(client.get_subjects())
    missing = {
        key: name
        for key, name in schema_by_subject.items()
        if key not in registered or _lacks_versions(client, key, name)
    }
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        list(pool.map(lambda entry: _register(client, *entry), missing.items()))
        # A schema has the same ID under every subject, so one subject of each schema is enough.
        subjects = {name: key for key, name in schema_by_subject.items()}
        ids = pool.map(lambda entry: _lookup_ids(client, *entry), subjects.items())
        write_json(installation.schema_ids, dict(zip(subjects, ids, strict=True)))
    return len(missing)


def _lacks_versions(client: SchemaRegistryClient, key: str, name: str) -> bool:
    return len(versions(name)) > 1 and len(client.get_versions(key)) < len(versions(name))


def _register(client: SchemaRegistryClient, key: str, name: str) -> None:
    for version in versions(name):
        client.register_schema(key, _schema(name, version))


def _lookup_ids(client: SchemaRegistryClient, name: str, key: str) -> dict[str, int]:
    found = {version: client.lookup_schema(key, _schema(name, version)) for version in versions(name)}
    return {
        str(version): registered.schema_id
        for version, registered in found.items()
        if registered.schema_id is not None
    }


def _schema(name: str, version: int) -> Schema:
    return Schema(schema_text(name, version), "AVRO")


def _superuser_connection(environment: Environment) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(environment.dsn(SUPERUSER), connect_timeout=CONNECT_TIMEOUT_S)
