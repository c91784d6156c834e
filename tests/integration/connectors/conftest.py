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
def create(environment: Environment, admin: Connection[Any]) -> Iterator[Callable[[Domain], None]]:
    """Return a function that creates the store of a domain, or brings an existing one up to its declaration."""
    secrets = environment.secrets()
    domains: list[Domain] = []

    def create(domain: Domain) -> None:
        roles = store_roles(domain, MUNICIPALITIES)
        secrets.ensure(roles)
        domains.append(domain)
        create_store(admin, domain, MUNICIPALITIES, {role: secrets.password(role) for role in roles})

    yield create
    for domain in domains:
        drop_store(admin, domain)


@pytest.fixture
def make_store(admin: Connection[Any], create: Callable[[Domain], None]) -> Callable[[str], Domain]:
    """Return a function that creates a domain's store, empty."""

    def make(name: str) -> Domain:
        drop_store(admin, DOMAINS[name])
        create(DOMAINS[name])
        return DOMAINS[name]

    return make
