"""Schemas in the registry, with a file of their IDs for the workers, and the domains' stores in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

import psycopg
from confluent_kafka.schema_registry import (
    ConfigCompatibilityLevel,
    Schema,
    SchemaRegistryClient,
    SchemaRegistryError,
    ServerConfig,
)

from connectors.postgres.ddl import create_store, differing_tables, drop_store, has_rows
from connectors.postgres.roles import store_roles
from infra.apply.installation import Installation
from infra.apply.topics_and_acls import ApplyError
from infra.environment import Environment
from infra.local.home import write_json
from infra.local.postgres_server import SUPERUSER
from infra.local.registry_server import WRITER
from schemas.catalogue import catalogue
from schemas.schema_files import schema_text, versions
from schemas.systems import DOMAINS
from schemas.topics import TopicDeclaration, subject

COMPATIBILITY = ConfigCompatibilityLevel.FULL_TRANSITIVE
#: Concurrent requests; the registry is a small server.
PARALLEL_REQUESTS = 8
CONNECT_TIMEOUT_S = 10


@dataclass(frozen=True)
class SchemaPlan:
    """What the registry has and lacks: `missing` are the schemas to register by subject.

    `ids` are the registered IDs by schema and version.
    """

    missing: Mapping[str, str]
    ids: Mapping[str, Mapping[int, int]]


def plan_schemas(environment: Environment, topics: Iterable[TopicDeclaration]) -> SchemaPlan:
    """Return what the registry lacks of the schemas of these topics; change nothing.

    Raise ApplyError where a version doesn't fit what a subject has, or the registry doesn't answer.
    """
    schema_by_subject = {subject(topic.name): topic.schema for topic in topics}
    with _registry(environment) as client, ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        registered = set(client.get_subjects())
        # A schema has the same ID under every subject, so one subject of each schema is enough.
        known = {name: key for key, name in schema_by_subject.items() if key in registered}
        ids = dict(
            zip(known, pool.map(lambda entry: _lookup_ids(client, *entry), known.items()), strict=True)
        )
        missing = {
            key: name
            for key, name in schema_by_subject.items()
            if key not in registered
            or len(ids[name]) < len(versions(name))
            or _lacks_versions(client, key, name)
        }
        existing = {key: name for key, name in missing.items() if key in registered}
        list(pool.map(lambda entry: _check_compatible(client, *entry), existing.items()))
    return SchemaPlan(missing, ids)


def register_schemas(
    environment: Environment,
    installation: Installation,
    topics: Iterable[TopicDeclaration],
    plan: SchemaPlan,
) -> int:
    """Register what is missing under FULL_TRANSITIVE, and write the IDs of all schemas to a file.

    Return how many subjects were new or lacked a version.
    """
    new = {topic.schema: subject(topic.name) for topic in topics if subject(topic.name) in plan.missing}
    with _registry(environment) as client, ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        if client.get_config().compatibility_level != COMPATIBILITY:
            client.set_config(config=ServerConfig(compatibility=COMPATIBILITY))
        list(pool.map(lambda entry: _register(client, *entry), plan.missing.items()))
        ids = dict(zip(new, pool.map(lambda entry: _lookup_ids(client, *entry), new.items()), strict=True))
    by_text = {
        name: {str(version): number for version, number in found.items()}
        for name, found in {**plan.ids, **ids}.items()
    }
    write_json(installation.schema_ids, by_text)
    return len(plan.missing)


def check_stores(environment: Environment) -> None:
    """Raise ApplyError where a table of a store has not the declared columns, or PostgreSQL doesn't answer."""
    with _superuser_connection(environment) as connection:
        different = [name for domain in DOMAINS.values() for name in differing_tables(connection, domain)]
    if different:
        raise ApplyError(
            f"table {different[0]} has other columns than declared, and `mesh apply` alters none: "
            "derive the stores again with `mesh replay --yes`"
        )


def tables_with_rows(environment: Environment, tables: Iterable[str]) -> list[str]:
    """Return those of the tables, named with their schema, that exist and have rows."""
    with _superuser_connection(environment) as connection:
        return [table for table in tables if has_rows(connection, *table.split("."))]


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


def _lacks_versions(client: SchemaRegistryClient, key: str, name: str) -> bool:
    # The registry takes versions that differ in their descriptions alone for one.
    different = {catalogue().schema(name, version).compact for version in versions(name)}
    return len(different) > 1 and len(client.get_versions(key)) < len(different)


def _register(client: SchemaRegistryClient, key: str, name: str) -> None:
    for version in versions(name):
        client.register_schema(key, _schema(name, version))


def _check_compatible(client: SchemaRegistryClient, key: str, name: str) -> None:
    for version in versions(name):
        if not client.test_compatibility_all_versions(key, _schema(name, version)):
            raise ApplyError(
                f"schema {name}, version {version}, is not compatible with what the registry has as {key}: "
                "add a version that every released one can read, and that reads all of them"
            )


def _lookup_ids(client: SchemaRegistryClient, name: str, key: str) -> dict[int, int]:
    """Return the IDs of the versions that a subject has."""
    ids = {}
    for version in versions(name):
        try:
            schema_id = client.lookup_schema(key, _schema(name, version)).schema_id
        except SchemaRegistryError as error:
            if error.http_status_code != HTTPStatus.NOT_FOUND:
                raise
            schema_id = None
        if schema_id is not None:
            ids[version] = schema_id
    return ids


def _schema(name: str, version: int) -> Schema:
    return Schema(schema_text(name, version), "AVRO")


@contextmanager
def _registry(environment: Environment) -> Iterator[SchemaRegistryClient]:
    """Yield a client of the user who may write. Raise ApplyError with the reason of every error."""
    try:
        with SchemaRegistryClient(environment.registry(WRITER)) as client:
            yield client
    except SchemaRegistryError as error:
        raise ApplyError(f"the schema registry rejected a request: {error}") from error
    except Exception as error:
        # The client passes on the errors of its HTTP library, which is one of two.
        if not type(error).__module__.startswith("httpx"):
            raise
        raise ApplyError(f"the schema registry doesn't answer ({type(error).__name__})") from error


@contextmanager
def _superuser_connection(environment: Environment) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Yield a connection of the superuser. Raise ApplyError where PostgreSQL doesn't answer."""
    try:
        with psycopg.connect(environment.dsn(SUPERUSER), connect_timeout=CONNECT_TIMEOUT_S) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise ApplyError(f"PostgreSQL doesn't answer ({type(error).__name__})") from error
