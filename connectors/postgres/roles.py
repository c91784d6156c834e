"""Logins of the stores and their privileges. What is not granted here is denied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, LiteralString

from psycopg import Connection, sql
from pydantic import SecretStr

from schemas.systems import Domain

AUDITOR: Final = "auditor"

#: Attributes of a role without any privilege of its own.
_UNPRIVILEGED: Final = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION"
#: A login's name ends with its municipality. The group's name has none, so the group itself sees no rows.
_OWN_ROWS: Final = "municipality = substring(current_user::text from '[0-9]{6}$')"


def sink_role(domain: Domain) -> str:
    """Return the role that writes the domain's store."""
    return f"sink_{domain.schema_name}"


def municipality_role(domain: Domain, municipality: str) -> str:
    """Return the role that reads one municipality's rows."""
    return f"{domain.schema_name}_{municipality}"


def store_roles(domain: Domain, municipalities: Iterable[str]) -> list[str]:
    """Return all logins of a store; each needs a password."""
    codes = sorted(set(municipalities)) if domain.municipal else []
    municipality_roles = [municipality_role(domain, code) for code in codes]
    return [domain.schema_name, sink_role(domain), AUDITOR, *municipality_roles]


def create(
    connection: Connection[Any],
    domain: Domain,
    municipalities: Sequence[str],
    passwords: Mapping[str, SecretStr],
) -> None:
    """Create the logins, or set attributes and passwords of existing ones again."""
    known = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles").fetchall()}
    for role in store_roles(domain, municipalities):
        attributes = f"{_UNPRIVILEGED} LOGIN {'BYPASSRLS' if role == AUDITOR else 'NOBYPASSRLS'}"
        _create_or_alter(connection, role, attributes, known)
        _set_password(connection, role, passwords[role])
    if domain.municipal:
        _create_or_alter(connection, _group(domain), f"{_UNPRIVILEGED} NOLOGIN NOBYPASSRLS", known)
        for code in municipalities:
            _execute(connection, "GRANT {} TO {}", _group(domain), municipality_role(domain, code))


def grant(
    connection: Connection[Any], domain: Domain, tables: Sequence[str], sink_tables: Sequence[str]
) -> None:
    """Grant privileges on the domain's tables and on the tables of the sink."""
    schema = domain.schema_name
    readers = [schema, AUDITOR, *([_group(domain)] if domain.municipal else [])]
    _restrict_database(connection, readers, domain)
    _execute(connection, "REVOKE ALL ON SCHEMA {} FROM PUBLIC", schema)
    for role in (*readers, sink_role(domain)):
        _execute(connection, "GRANT USAGE ON SCHEMA {} TO {}", schema, role)
    for table in tables:
        name = sql.Identifier(schema, table)
        for role in readers:
            _grant_on(connection, "GRANT SELECT ON {} TO {}", name, role)
    for table in (*tables, *sink_tables):
        name = sql.Identifier(schema, table)
        _grant_on(connection, "GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}", name, sink_role(domain))
        _grant_on(connection, "GRANT SELECT ON {} TO {}", name, AUDITOR)


def restrict_rows(connection: Connection[Any], domain: Domain, table: str) -> None:
    """Enable row-level security: a municipality's login reads its own rows, domain and sink all of them."""
    name = sql.Identifier(domain.schema_name, table)
    connection.execute(sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(name))
    unrestricted: list[tuple[str, str, LiteralString]] = [
        ("domain_reads", domain.schema_name, "FOR SELECT TO {} USING (true)"),
        ("sink_writes", sink_role(domain), "TO {} USING (true) WITH CHECK (true)"),
    ]
    for policy, role, rule in unrestricted:
        _create_policy(connection, policy, name, sql.SQL(rule).format(sql.Identifier(role)))
    own_rows = sql.SQL("FOR SELECT TO {} USING ({})").format(
        sql.Identifier(_group(domain)), sql.SQL(_OWN_ROWS)
    )
    _create_policy(connection, "municipality_reads_its_own", name, own_rows)


def _group(domain: Domain) -> str:
    """Return the group that has the privileges of all municipalities' logins."""
    return f"{domain.schema_name}_municipality"


def _restrict_database(connection: Connection[Any], readers: Iterable[str], domain: Domain) -> None:
    """Revoke the defaults of PostgreSQL, by which every role may connect and create temporary tables."""
    database = connection.info.dbname
    _execute(connection, "REVOKE ALL ON DATABASE {} FROM PUBLIC", database)
    connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    for role in readers:
        _execute(connection, "GRANT CONNECT ON DATABASE {} TO {}", database, role)
    _execute(connection, "GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}", database, sink_role(domain))


def _create_policy(
    connection: Connection[Any], policy: str, table: sql.Identifier, rule: sql.Composed
) -> None:
    name = sql.Identifier(policy)
    connection.execute(sql.SQL("DROP POLICY IF EXISTS {} ON {}").format(name, table))
    connection.execute(sql.SQL("CREATE POLICY {} ON {} {}").format(name, table, rule))


def _create_or_alter(connection: Connection[Any], role: str, attributes: str, known: set[str]) -> None:
    verb = "ALTER" if role in known else "CREATE"
    statement = sql.SQL("{} ROLE {} {}")
    connection.execute(statement.format(sql.SQL(verb), sql.Identifier(role), sql.SQL(attributes)))
    known.add(role)


def _set_password(connection: Connection[Any], role: str, password: SecretStr) -> None:
    """Send the server the SCRAM verifier instead of the password, which a log of statements could show."""
    verifier = connection.pgconn.encrypt_password(
        password.get_secret_value().encode(), role.encode(), b"scram-sha-256"
    )
    statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
    connection.execute(statement.format(sql.Identifier(role), sql.Literal(verifier.decode())))


def _execute(connection: Connection[Any], template: LiteralString, *names: str) -> None:
    connection.execute(sql.SQL(template).format(*map(sql.Identifier, names)))


def _grant_on(connection: Connection[Any], template: LiteralString, table: sql.Identifier, role: str) -> None:
    connection.execute(sql.SQL(template).format(table, sql.Identifier(role)))
