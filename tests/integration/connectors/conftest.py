"""Stores on a real database, made anew for each test."""

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
#: A database of these tests' own on the server, so that no other test's stores are dropped.
DATABASE = "connectors"


@pytest.fixture(scope="session")
def environment(environment: Environment) -> Environment:
    """The servers, with a database of these tests' own."""
    with psycopg.connect(environment.dsn("postgres"), autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
        if known is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    return environment.model_copy(update={"database_name": DATABASE})


@pytest.fixture(scope="session")
def admin(environment: Environment) -> Iterator[Connection[Any]]:
    """A superuser's connection."""
    with psycopg.connect(environment.dsn("postgres"), autocommit=True) as connection:
        yield connection


@pytest.fixture
def make_store(environment: Environment, admin: Connection[Any]) -> Iterator[Callable[[str], Domain]]:
    """Makes a domain's store, empty."""
    secrets = environment.secrets()
    made: list[Domain] = []

    def make(name: str) -> Domain:
        domain = DOMAINS[name]
        roles = store_roles(domain, MUNICIPALITIES)
        secrets.ensure(roles)
        drop_store(admin, domain)
        create_store(admin, domain, MUNICIPALITIES, {role: secrets.password(role) for role in roles})
        made.append(domain)
        return domain

    yield make
    for domain in made:
        drop_store(admin, domain)
