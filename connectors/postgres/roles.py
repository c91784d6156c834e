"""Who may connect to the stores, and see and do what there. What isn't granted here is denied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, LiteralString

from psycopg import Connection, sql
from pydantic import SecretStr

from schemas.systems import Domain

AUDITOR: Final = "auditor"

#: Of nobody but themselves, and with nothing but what is granted.
_PLAIN: Final = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION"
#: The municipality that a login speaks for ends its name. A group's name has none, so nothing is its own.
_OWN_ROWS: Final = "municipality = substring(current_user::text from '[0-9]{6}$')"


def sink_role(domain: Domain) -> str:
    """Who writes the domain's store."""
    return f"sink_{domain.schema_name}"


def municipality_role(domain: Domain, municipality: str) -> str:
    """Who reads one municipality's rows."""
    return f"{domain.schema_name}_{municipality}"


def store_roles(domain: Domain, municipalities: Iterable[str]) -> list[str]:
    """All logins of a store; each needs a password."""
    codes = sorted(set(municipalities)) if domain.municipal else []
    own = [municipality_role(domain, code) for code in codes]
    return [domain.schema_name, sink_role(domain), AUDITOR, *own]


def create(
    connection: Connection[Any],
    domain: Domain,
    municipalities: Sequence[str],
    passwords: Mapping[str, SecretStr],
) -> None:
    """Makes the logins, or gives them their passwords again."""
    known = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles").fetchall()}
    for role in store_roles(domain, municipalities):
        attributes = f"{_PLAIN} LOGIN {'BYPASSRLS' if role == AUDITOR else 'NOBYPASSRLS'}"
        _role(connection, role, attributes, known)
        _set_password(connection, role, passwords[role])
    if domain.municipal:
        _role(connection, _group(domain), f"{_PLAIN} NOLOGIN NOBYPASSRLS", known)
        for code in municipalities:
            _run(connection, "GRANT {} TO {}", _group(domain), municipality_role(domain, code))


def grant(connection: Connection[Any], domain: Domain, tables: Sequence[str], own: Sequence[str]) -> None:
    """Rights on a store's tables: `tables` are the domain's, `own` the sink's."""
    schema = domain.schema_name
    readers = [schema, AUDITOR, *([_group(domain)] if domain.municipal else [])]
    _close_database(connection, readers, domain)
    _run(connection, "REVOKE ALL ON SCHEMA {} FROM PUBLIC", schema)
    for role in (*readers, sink_role(domain)):
        _run(connection, "GRANT USAGE ON SCHEMA {} TO {}", schema, role)
    for table in tables:
        name = sql.Identifier(schema, table)
        for role in readers:
            _on(connection, "GRANT SELECT ON {} TO {}", name, role)
    for table in (*tables, *own):
        name = sql.Identifier(schema, table)
        _on(connection, "GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}", name, sink_role(domain))
        _on(connection, "GRANT SELECT ON {} TO {}", name, AUDITOR)


def separate(connection: Connection[Any], domain: Domain, table: str) -> None:
    """Row-level security: a municipality's login reads its own rows, domain and sink all of them."""
    name = sql.Identifier(domain.schema_name, table)
    connection.execute(sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(name))
    everything: list[tuple[str, str, LiteralString]] = [
        ("domain_reads", domain.schema_name, "FOR SELECT TO {} USING (true)"),
        ("sink_writes", sink_role(domain), "TO {} USING (true) WITH CHECK (true)"),
    ]
    for policy, role, rule in everything:
        _policy(connection, policy, name, sql.SQL(rule).format(sql.Identifier(role)))
    own = sql.SQL("FOR SELECT TO {} USING ({})").format(sql.Identifier(_group(domain)), sql.SQL(_OWN_ROWS))
    _policy(connection, "municipality_reads_its_own", name, own)


def _group(domain: Domain) -> str:
    """Holds the rights that all municipalities' logins have."""
    return f"{domain.schema_name}_municipality"


def _close_database(connection: Connection[Any], readers: Iterable[str], domain: Domain) -> None:
    """By default PostgreSQL lets everybody connect, and make temporary tables."""
    database = connection.info.dbname
    _run(connection, "REVOKE ALL ON DATABASE {} FROM PUBLIC", database)
    connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    for role in readers:
        _run(connection, "GRANT CONNECT ON DATABASE {} TO {}", database, role)
    _run(connection, "GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}", database, sink_role(domain))


def _policy(connection: Connection[Any], policy: str, table: sql.Identifier, rule: sql.Composed) -> None:
    name = sql.Identifier(policy)
    connection.execute(sql.SQL("DROP POLICY IF EXISTS {} ON {}").format(name, table))
    connection.execute(sql.SQL("CREATE POLICY {} ON {} {}").format(name, table, rule))


def _role(connection: Connection[Any], role: str, attributes: str, known: set[str]) -> None:
    verb = "ALTER" if role in known else "CREATE"
    statement = sql.SQL("{} ROLE {} {}")
    connection.execute(statement.format(sql.SQL(verb), sql.Identifier(role), sql.SQL(attributes)))
    known.add(role)


def _set_password(connection: Connection[Any], role: str, password: SecretStr) -> None:
    """The server is given the SCRAM verifier, so that no log of statements can show the password."""
    verifier = connection.pgconn.encrypt_password(
        password.get_secret_value().encode(), role.encode(), b"scram-sha-256"
    )
    statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
    connection.execute(statement.format(sql.Identifier(role), sql.Literal(verifier.decode())))


def _run(connection: Connection[Any], template: LiteralString, *names: str) -> None:
    connection.execute(sql.SQL(template).format(*map(sql.Identifier, names)))


def _on(connection: Connection[Any], template: LiteralString, table: sql.Identifier, role: str) -> None:
    connection.execute(sql.SQL(template).format(table, sql.Identifier(role)))
