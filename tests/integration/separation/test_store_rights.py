"""Every login tries every table of every store: it sees its own rows and is denied all else."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from connectors.postgres import municipality_role, sink_role
from schemas.systems import DOMAINS, Domain
from tests.integration.separation.city import IsolatedCity

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

OWN = frozenset({"person", "account", "notice"})
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
    """Of all stores, with their schemas."""
    with psycopg.connect(city.environment.dsn("auditor")) as connection:
        query = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname = ANY(%s)"
        schemas = [domain.schema_name for domain in DOMAINS.values()]
        return {name for (name,) in connection.execute(query, [schemas])}


def seen(city: IsolatedCity, role: str) -> set[str]:
    """The tables that a login may read; it is denied each of the others."""
    readable = set()
    with psycopg.connect(city.environment.dsn(role), autocommit=True) as connection:
        for table in all_tables(city):
            try:
                connection.execute(f"SELECT * FROM {table} LIMIT 1".encode())  # noqa: S608 - names of the catalogue
                readable.add(table)
            except errors.InsufficientPrivilege:
                continue
    return readable


def changed(city: IsolatedCity, role: str, names: set[str]) -> set[str]:
    """Statements that went through; each is rolled back."""
    done = set()
    with psycopg.connect(city.environment.dsn(role), autocommit=True) as connection:
        for table in names:
            for statement in WRITES:
                with connection.transaction(force_rollback=True):
                    try:
                        with connection.transaction():
                            connection.execute(statement.format(table).encode())
                            done.add(statement.format(table))
                    except errors.InsufficientPrivilege:
                        continue
    return done


def own_tables(city: IsolatedCity, domain: Domain) -> set[str]:
    """What the domain itself is to read; not what its sink keeps."""
    return {
        name
        for name in all_tables(city)
        if name.split(".")[0] == domain.schema_name and name.split(".")[1] in OWN
    }


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=lambda domain: domain.id)
def test_a_domain_sees_its_own_schema_and_changes_nothing(city: IsolatedCity, domain: Domain) -> None:
    """Its rows; not the sink's books, not another's rows."""
    own = own_tables(city, domain)
    assert own
    assert seen(city, domain.schema_name) == own
    assert changed(city, domain.schema_name, all_tables(city)) == set()


@pytest.mark.parametrize("domain", MUNICIPAL, ids=lambda domain: domain.id)
def test_a_municipality_sees_its_own_rows(city: IsolatedCity, domain: Domain) -> None:
    """All of them, in each of the tables, and nobody else's."""
    for table in own_tables(city, domain):
        query = f"SELECT municipality, count(*) FROM {table} GROUP BY 1".encode()  # noqa: S608
        with psycopg.connect(city.environment.dsn("auditor")) as connection:
            rows: dict[str, int] = dict(connection.execute(query).fetchall())
        assert len(rows) > 1, table
        for place in city.places:
            with psycopg.connect(city.environment.dsn(municipality_role(domain, place))) as connection:
                wanted = {place: rows[place]} if place in rows else {}
                assert dict(connection.execute(query).fetchall()) == wanted
    role = municipality_role(domain, city.places[0])
    assert seen(city, role) == own_tables(city, domain)
    assert changed(city, role, all_tables(city)) == set()


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=lambda domain: domain.id)
def test_a_sink_has_its_own_store_only(city: IsolatedCity, domain: Domain) -> None:
    """It reads and writes no other's."""
    own = {name for name in all_tables(city) if name.startswith(f"{domain.schema_name}.")}
    assert seen(city, sink_role(domain)) == own
    assert changed(city, sink_role(domain), all_tables(city) - own) == set()


def test_the_auditor_sees_all_and_changes_nothing(city: IsolatedCity) -> None:
    """Under row-level security too."""
    assert seen(city, "auditor") == all_tables(city)
    assert changed(city, "auditor", all_tables(city)) == set()


def test_public_has_nothing(city: IsolatedCity) -> None:
    """A login without any grant can't even connect; nothing is granted to everybody."""
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
