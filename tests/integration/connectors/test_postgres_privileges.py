"""Privileges on the stores: what is not granted is denied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors

from connectors.postgres import PostgresSink, create_store, municipality_role, sink_role, store_roles
from infra.environment import Environment
from schemas.systems import DOMAINS, Domain
from tests.contract.sink_suite import CODING, DOMAIN, Change, apply_changes
from tests.integration.connectors.conftest import MUNICIPALITIES

HERE, THERE = MUNICIPALITIES


@pytest.fixture
def filled(environment: Environment, make_store: Callable[[str], Domain]) -> Environment:
    """Return the environment: local tax has rows of two municipalities, child is empty."""
    make_store("child")
    make_store(DOMAIN.id)
    sink = PostgresSink(DOMAIN, environment.dsn(sink_role(DOMAIN)), CODING)
    apply_changes(
        sink,
        Change("a", 1, municipality=HERE),
        Change("b", 1, municipality=THERE),
        Change("a", 2, entity="ACCOUNT", municipality=HERE),
        Change("b", 2, entity="ACCOUNT", municipality=THERE),
    )
    sink.close()
    return environment


def run_as(environment: Environment, role: str, query: str) -> list[Any]:
    """Run a query as this role, and return its rows in order."""
    with psycopg.connect(environment.dsn(role), autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        return sorted(cursor.fetchall()) if cursor.description else []


def test_a_domains_login_reads_all_rows_of_its_store(filled: Environment) -> None:
    """It reads the rows of every municipality."""
    assert run_as(filled, "local_tax", "SELECT code FROM local_tax.person") == [("a",), ("b",)]


@pytest.mark.parametrize("table", ["person", "account"])
def test_a_municipalitys_login_reads_its_own_rows_only(filled: Environment, table: str) -> None:
    """Whatever it queries."""
    for code, municipality in (("a", HERE), ("b", THERE)):
        role = municipality_role(DOMAIN, municipality)
        assert run_as(filled, role, f"SELECT code FROM local_tax.{table}") == [(code,)]  # noqa: S608
        assert run_as(filled, role, f"SELECT 1 FROM local_tax.{table} WHERE code <> '{code}'") == []  # noqa: S608


def test_the_auditor_reads_all_tables(filled: Environment) -> None:
    """It reads the rows of all municipalities, and the sink's own tables."""
    assert len(run_as(filled, "auditor", "SELECT code FROM local_tax.person")) == 2
    assert run_as(filled, "auditor", "SELECT next_offset FROM local_tax.sink_offset") == [(4,)]


DOMAIN_LOGIN = "local_tax"
MUNICIPALITY_LOGIN = f"local_tax_{HERE}"


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        (DOMAIN_LOGIN, "SELECT * FROM child.person"),
        (DOMAIN_LOGIN, "INSERT INTO local_tax.person (code) VALUES ('x')"),
        (DOMAIN_LOGIN, "UPDATE local_tax.person SET name = ''"),
        (DOMAIN_LOGIN, "DELETE FROM local_tax.person"),
        (DOMAIN_LOGIN, "SELECT * FROM local_tax.receipt_outbox"),
        (DOMAIN_LOGIN, "SELECT * FROM local_tax.dead_letter_outbox"),
        (DOMAIN_LOGIN, "SELECT * FROM local_tax.sink_offset"),
        (DOMAIN_LOGIN, "CREATE TABLE public.mine ()"),
        (DOMAIN_LOGIN, "CREATE TEMPORARY TABLE mine ()"),
        (DOMAIN_LOGIN, "CREATE SCHEMA mine"),
        (DOMAIN_LOGIN, "SET ROLE sink_local_tax"),
        (MUNICIPALITY_LOGIN, "SELECT * FROM child.person"),
        (MUNICIPALITY_LOGIN, f"SET ROLE local_tax_{THERE}"),
        (MUNICIPALITY_LOGIN, "SET ROLE local_tax"),
        (MUNICIPALITY_LOGIN, "UPDATE local_tax.person SET name = ''"),
        (MUNICIPALITY_LOGIN, "ALTER TABLE local_tax.person DISABLE ROW LEVEL SECURITY"),
        (MUNICIPALITY_LOGIN, "SELECT * FROM local_tax.deleted_revision"),
        ("sink_local_tax", "SELECT * FROM child.person"),
        ("sink_local_tax", "DROP TABLE local_tax.person"),
        ("sink_local_tax", "TRUNCATE local_tax.person"),
        ("sink_child", "INSERT INTO local_tax.person (code) VALUES ('x')"),
        ("auditor", "DELETE FROM local_tax.person"),
    ],
)
def test_everything_else_is_denied(filled: Environment, role: str, statement: str) -> None:
    """Other schemas, other municipalities, writing, and creating anything."""
    with pytest.raises(errors.InsufficientPrivilege):
        run_as(filled, role, statement)


def test_the_group_of_municipalities_reads_no_rows(filled: Environment) -> None:
    """A municipality's login may become the group, which itself belongs to no municipality."""
    query = "SET ROLE local_tax_municipality; SELECT code FROM local_tax.person"
    assert run_as(filled, municipality_role(DOMAIN, HERE), query) == []


def test_a_table_has_only_the_columns_that_the_domain_may_receive(
    admin: Connection[Any], filled: Environment
) -> None:
    """The columns are those of the declaration."""
    query = (
        "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = 'person'"
    )
    stored = {name for (name,) in admin.execute(query, ["child"])}
    declared = {"code", "municipality", "status", "effective_on", "revision", *DOMAINS["child"].columns}
    assert stored == declared


def test_creating_a_store_again_keeps_its_rows(admin: Connection[Any], filled: Environment) -> None:
    """Creating is repeatable; a municipality that takes part later gets its login then."""
    joining = (*MUNICIPALITIES, "012033")
    secrets = filled.secrets()
    roles = store_roles(DOMAIN, joining)
    secrets.ensure(roles)
    create_store(admin, DOMAIN, joining, {role: secrets.password(role) for role in roles})
    assert run_as(filled, "local_tax", "SELECT code FROM local_tax.person") == [("a",), ("b",)]
    assert run_as(filled, "local_tax_012033", "SELECT code FROM local_tax.person") == []
    assert run_as(filled, municipality_role(DOMAIN, HERE), "SELECT code FROM local_tax.person") == [("a",)]
