"""Stores on a real database, created again for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection, sql

from connectors.postgres import create_store, drop_store, store_roles
from infra.environment import Environment
from schemas.systems import DOMAINS, Domain

MUNICIPALITIES = ("131041", "141097")
#: A database on the server that only these tests use, so they drop no other test's stores.
DATABASE = "connectors"


@pytest.fixture(scope="session")
def environment(environment: Environment) -> Environment:
    """Return the servers' environment, with the database of these tests."""
    with psycopg.connect(environment.dsn("postgres"), autocommit=True) as connection:
        query = "SELECT 1 FROM pg_database WHERE datname = %s"
        if connection.execute(query, [DATABASE]).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    return environment.model_copy(update={"database_name": DATABASE})


@pytest.fixture(scope="session")
def admin(environment: Environment) -> Iterator[Connection[Any]]:
    """Return a superuser's connection."""
    with psycopg.connect(environment.dsn("postgres"), autocommit=True) as connection:
        yield connection


@pytest.fixture
def make_store(environment: Environment, admin: Connection[Any]) -> Iterator[Callable[[str], Domain]]:
    """Return a function that creates a domain's store, empty."""
    secrets = environment.secrets()
    domains: list[Domain] = []

    def make(name: str) -> Domain:
        domain = DOMAINS[name]
        roles = store_roles(domain, MUNICIPALITIES)
        secrets.ensure(roles)
        drop_store(admin, domain)
        create_store(admin, domain, MUNICIPALITIES, {role: secrets.password(role) for role in roles})
        domains.append(domain)
        return domain

    yield make
    for domain in domains:
        drop_store(admin, domain)
