"""The domains' stores in PostgreSQL, made by the sink that writes them."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from connectors.postgres.ddl import create_store, drop_store
from connectors.postgres.roles import store_roles
from infra.environment import Environment
from infra.local.postgres_server import SUPERUSER
from schemas.systems import DOMAINS

CONNECT_TIMEOUT_S = 10


def create(environment: Environment, municipalities: Sequence[str]) -> int:
    """Make the stores that are missing, and the logins of these municipalities; how many stores were new."""
    secrets = environment.secrets()
    secrets.ensure(role for domain in DOMAINS.values() for role in store_roles(domain, municipalities))
    with _administrator(environment) as connection:
        known = {name for (name,) in connection.execute("SELECT nspname FROM pg_namespace").fetchall()}
        for domain in DOMAINS.values():
            passwords = {role: secrets.password(role) for role in store_roles(domain, municipalities)}
            create_store(connection, domain, municipalities, passwords)
    return sum(domain.schema_name not in known for domain in DOMAINS.values())


def drop(environment: Environment) -> None:
    """Forget every store with all it holds; logins and their passwords stay."""
    with _administrator(environment) as connection:
        for domain in DOMAINS.values():
            drop_store(connection, domain)


def _administrator(environment: Environment) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(environment.dsn(SUPERUSER), connect_timeout=CONNECT_TIMEOUT_S)
