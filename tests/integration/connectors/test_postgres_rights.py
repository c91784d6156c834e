"""Who may see and do what in the stores: what isn't granted is denied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors

from connectors.postgres import PostgresSink, create_store, municipality_role, sink_role, store_roles
from infra.environment import Environment
from schemas.systems import DOMAINS, Domain
from tests.contract.sink_suite import CODING, DOMAIN, Change, applied
from tests.integration.connectors.conftest import MUNICIPALITIES

HERE, THERE = MUNICIPALITIES


@pytest.fixture
def filled(environment: Environment, make_store: Callable[[str], Domain]) -> Environment:
    """Local tax with rows in two municipalities, child empty."""
    make_store("child")
    make_store(DOMAIN.id)
    sink = PostgresSink(DOMAIN, environment.dsn(sink_role(DOMAIN)), CODING)
    applied(
        sink,
        Change("a", 1, municipality=HERE),
        Change("b", 1, municipality=THERE),
        Change("a", 2, entity="ACCOUNT", municipality=HERE),
        Change("b", 2, entity="ACCOUNT", municipality=THERE),
    )
    sink.close()
    return environment


def asked(environment: Environment, role: str, query: str) -> list[Any]:
    with psycopg.connect(environment.dsn(role), autocommit=True) as connection:
        found = connection.execute(query.encode())
        return sorted(found.fetchall()) if found.description else []


def test_a_domains_login_reads_all_of_its_own(filled: Environment) -> None:
    """Every municipality's rows."""
    assert asked(filled, "local_tax", "SELECT code FROM local_tax.person") == [("a",), ("b",)]


@pytest.mark.parametrize("table", ["person", "account"])
def test_a_municipalitys_login_reads_its_own_rows_only(filled: Environment, table: str) -> None:
    """Whatever it asks for."""
    for code, municipality in (("a", HERE), ("b", THERE)):
        role = municipality_role(DOMAIN, municipality)
        assert asked(filled, role, f"SELECT code FROM local_tax.{table}") == [(code,)]  # noqa: S608
        assert asked(filled, role, f"SELECT 1 FROM local_tax.{table} WHERE code <> '{code}'") == []  # noqa: S608


def test_the_auditor_reads_all(filled: Environment) -> None:
    """Rows of all municipalities, and what the sink keeps beside them."""
    assert len(asked(filled, "auditor", "SELECT code FROM local_tax.person")) == 2
    assert asked(filled, "auditor", "SELECT next_offset FROM local_tax.sink_offset") == [(4,)]


DOMAINS_LOGIN = "local_tax"
MUNICIPALITYS_LOGIN = f"local_tax_{HERE}"


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        (DOMAINS_LOGIN, "SELECT * FROM child.person"),
        (DOMAINS_LOGIN, "INSERT INTO local_tax.person (code) VALUES ('x')"),
        (DOMAINS_LOGIN, "UPDATE local_tax.person SET name = ''"),
        (DOMAINS_LOGIN, "DELETE FROM local_tax.person"),
        (DOMAINS_LOGIN, "SELECT * FROM local_tax.receipt_outbox"),
        (DOMAINS_LOGIN, "SELECT * FROM local_tax.dead_letter_outbox"),
        (DOMAINS_LOGIN, "SELECT * FROM local_tax.sink_offset"),
        (DOMAINS_LOGIN, "CREATE TABLE public.mine ()"),
        (DOMAINS_LOGIN, "CREATE TEMPORARY TABLE mine ()"),
        (DOMAINS_LOGIN, "CREATE SCHEMA mine"),
        (DOMAINS_LOGIN, "SET ROLE sink_local_tax"),
        (MUNICIPALITYS_LOGIN, "SELECT * FROM child.person"),
        (MUNICIPALITYS_LOGIN, f"SET ROLE local_tax_{THERE}"),
        (MUNICIPALITYS_LOGIN, "SET ROLE local_tax"),
        (MUNICIPALITYS_LOGIN, "UPDATE local_tax.person SET name = ''"),
        (MUNICIPALITYS_LOGIN, "ALTER TABLE local_tax.person DISABLE ROW LEVEL SECURITY"),
        (MUNICIPALITYS_LOGIN, "SELECT * FROM local_tax.deleted_revision"),
        ("sink_local_tax", "SELECT * FROM child.person"),
        ("sink_local_tax", "DROP TABLE local_tax.person"),
        ("sink_local_tax", "TRUNCATE local_tax.person"),
        ("sink_child", "INSERT INTO local_tax.person (code) VALUES ('x')"),
        ("auditor", "DELETE FROM local_tax.person"),
    ],
)
def test_all_else_is_denied(filled: Environment, role: str, statement: str) -> None:
    """Other schemas, other municipalities, writing, and making anything."""
    with pytest.raises(errors.InsufficientPrivilege):
        asked(filled, role, statement)


def test_as_the_group_of_municipalities_nothing_is_seen(filled: Environment) -> None:
    """The group that a municipality's login may become speaks for nobody."""
    query = "SET ROLE local_tax_municipality; SELECT code FROM local_tax.person"
    assert asked(filled, municipality_role(DOMAIN, HERE), query) == []


def test_what_a_domain_has_no_right_to_is_no_column(admin: Connection[Any], filled: Environment) -> None:
    """The tables have the columns of the declaration, and no more."""
    query = (
        "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = 'person'"
    )
    found = {name for (name,) in admin.execute(query, ["child"])}
    columns = {"code", "municipality", "status", "effective_on", "revision", *DOMAINS["child"].columns}
    assert found == columns


def test_applied_again_a_store_keeps_its_rows(admin: Connection[Any], filled: Environment) -> None:
    """`apply` is repeatable; a municipality that joins later has its login then."""
    joining = (*MUNICIPALITIES, "012033")
    secrets = filled.secrets()
    roles = store_roles(DOMAIN, joining)
    secrets.ensure(roles)
    create_store(admin, DOMAIN, joining, {role: secrets.password(role) for role in roles})
    assert asked(filled, "local_tax", "SELECT code FROM local_tax.person") == [("a",), ("b",)]
    assert asked(filled, "local_tax_012033", "SELECT code FROM local_tax.person") == []
    assert asked(filled, municipality_role(DOMAIN, HERE), "SELECT code FROM local_tax.person") == [("a",)]
