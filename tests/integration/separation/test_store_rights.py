"""Every PostgreSQL role tries every table of every store: it reads its own rows and is denied the rest."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from connectors.postgres import municipality_role, sink_role
from schemas.systems import DOMAINS, Domain
from tests.integration.separation.city import IsolatedCity

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

READINGS = frozenset(reads.name for domain in DOMAINS.values() for reads in domain.readings)
DOMAIN_TABLES = READINGS | {"person", "person_history", "account", "notice"}
MUNICIPAL = [domain for domain in DOMAINS.values() if domain.municipal]
WRITES = (
    "INSERT INTO {} DEFAULT VALUES",
    "LOCK TABLE {} IN ROW EXCLUSIVE MODE",
    "DELETE FROM {}",
    "TRUNCATE {}",
    "DROP TABLE {}",
    "COPY {} FROM STDIN",
)


def all_tables(city: IsolatedCity) -> set[str]:
    """Return the tables of all stores, with their schemas."""
    with psycopg.connect(city.environment.dsn("auditor")) as connection:
        query = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname = ANY(%s)"
        schemas = [domain.schema_name for domain in DOMAINS.values()]
        return {name for (name,) in connection.execute(query, [schemas])}


def readable_tables(city: IsolatedCity, role: str) -> set[str]:
    """Return the tables that a role may read; it is denied each of the others."""
    readable = set()
    with psycopg.connect(city.environment.dsn(role), autocommit=True) as connection:
        for table in all_tables(city):
            try:
                connection.execute(f"SELECT * FROM {table} LIMIT 1".encode())  # noqa: S608 - names of the catalogue
                readable.add(table)
            except errors.InsufficientPrivilege:
                continue
    return readable


def successful_writes(city: IsolatedCity, role: str, names: set[str]) -> set[str]:
    """Return the statements that succeeded; each is rolled back."""
    successful = set()
    with psycopg.connect(city.environment.dsn(role), autocommit=True) as connection:
        for table in names:
            for statement in WRITES:
                with connection.transaction(force_rollback=True):
                    try:
                        with connection.transaction():
                            connection.execute(statement.format(table).encode())
                            successful.add(statement.format(table))
                    except errors.InsufficientPrivilege:
                        continue
    return successful


def own_tables(city: IsolatedCity, domain: Domain) -> set[str]:
    """Return the tables that the domain itself reads, without those of its sink."""
    return {
        name
        for name in all_tables(city)
        if name.split(".")[0] == domain.schema_name and name.split(".")[1] in DOMAIN_TABLES
    }


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=lambda domain: domain.id)
def test_a_domain_reads_its_own_schema_and_writes_nothing(city: IsolatedCity, domain: Domain) -> None:
    """A domain reads neither the tables of its sink nor another domain's rows."""
    own = own_tables(city, domain)
    assert own
    assert readable_tables(city, domain.schema_name) == own
    assert successful_writes(city, domain.schema_name, all_tables(city)) == set()


@pytest.mark.parametrize("domain", MUNICIPAL, ids=lambda domain: domain.id)
def test_a_municipality_reads_its_own_rows(city: IsolatedCity, domain: Domain) -> None:
    """A municipality reads all of its rows in each table, and no others."""
    for table in own_tables(city, domain):
        query = f"SELECT municipality, count(*) FROM {table} GROUP BY 1".encode()  # noqa: S608
        with psycopg.connect(city.environment.dsn("auditor")) as connection:
            rows: dict[str, int] = dict(connection.execute(query).fetchall())
        assert len(rows) > 1, table
        for municipality in city.municipalities:
            with psycopg.connect(city.environment.dsn(municipality_role(domain, municipality))) as connection:
                expected = {municipality: rows[municipality]} if municipality in rows else {}
                assert dict(connection.execute(query).fetchall()) == expected
    role = municipality_role(domain, city.municipalities[0])
    assert readable_tables(city, role) == own_tables(city, domain)
    assert successful_writes(city, role, all_tables(city)) == set()


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=lambda domain: domain.id)
def test_a_sink_uses_only_its_own_store(city: IsolatedCity, domain: Domain) -> None:
    """A sink neither reads nor writes another store."""
    own = {name for name in all_tables(city) if name.startswith(f"{domain.schema_name}.")}
    assert readable_tables(city, sink_role(domain)) == own
    assert successful_writes(city, sink_role(domain), all_tables(city) - own) == set()


def test_the_auditor_reads_everything_and_writes_nothing(city: IsolatedCity) -> None:
    """This holds with row-level security too."""
    assert readable_tables(city, "auditor") == all_tables(city)
    assert successful_writes(city, "auditor", all_tables(city)) == set()


def test_public_has_no_privilege(city: IsolatedCity) -> None:
    """A role without any grant can't even connect; nothing is granted to PUBLIC."""
    query = """
        SELECT 'schema ' || nspname FROM pg_namespace n, aclexplode(nspacl) a
        WHERE a.grantee = 0 AND nspname <> 'pg_catalog' AND nspname <> 'information_schema'
        UNION ALL SELECT 'table ' || relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace,
        aclexplode(relacl) a WHERE a.grantee = 0 AND nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
        UNION ALL SELECT 'database ' || datname FROM pg_database, aclexplode(datacl) a
        WHERE a.grantee = 0 AND datname = current_database()"""
    with psycopg.connect(city.environment.dsn("postgres")) as connection:
        assert connection.execute(query).fetchall() == []
        assert connection.execute(
            "SELECT datacl IS NULL FROM pg_database WHERE datname = 'mesh'"
        ).fetchone() == (False,)
