"""Stores: one PostgreSQL schema per domain with its tables and privileges. Creating a store is repeatable.

`<schema>` reads the tables of its own schema; `<schema>_<municipality>` (municipal domains) reads the rows of that
municipality; `sink_<schema>` writes; `auditor` reads all. No other role may do anything, PUBLIC included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, LiteralString

from psycopg import Connection, sql
from pydantic import SecretStr

from connectors.postgres import roles
from connectors.postgres.table_definitions import Table, tables_of
from schemas.systems import Domain

_STATUS: Final = "status IN ('active', 'candidate', 'closed')"
#: In the history, a retracted row says that nothing begins on its day any more.
_STATUS_IN_HISTORY: Final = "status IN ('active', 'candidate', 'closed', 'retracted')"

#: Tables that the sink needs besides the rows; only the sink and the auditor may read them.
_SINK_TABLES: Final[Mapping[str, LiteralString]] = {
    "sink_offset": (
        "topic text, partition integer, next_offset bigint NOT NULL CHECK (next_offset >= 0),"
        " PRIMARY KEY (topic, partition)"
    ),
    "deleted_revision": (
        "entity text, code text, second_key text, revision bigint NOT NULL, PRIMARY KEY (entity, code, second_key)"
    ),
    "withdrawal": "code text PRIMARY KEY, revision bigint NOT NULL",
    "receipt_outbox": (
        "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
        # The content is compressed already: another attempt would cost more than writing the rows.
        " receipts bytea STORAGE EXTERNAL NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT clock_timestamp()"
    ),
    "dlq_entry": (
        "partition integer, record_offset bigint, kind text NOT NULL CHECK (kind IN ('DEAD_LETTER', 'BLOCKED')),"
        " digest text NOT NULL, reason text NOT NULL, ordering_key text, PRIMARY KEY (partition, record_offset)"
    ),
    "dlq_command_done": "id text, partition integer, PRIMARY KEY (id, partition)",
    "dead_letter_outbox": (
        "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key bytea NOT NULL, value bytea NOT NULL"
    ),
}

#: Tables that both schemas have, of which a declared column or the primary key is missing or different in the second.
#: A column that may be null doesn't count if a table of a reading lacks it, as it is added.
_DIFFERENCES: Final = """
    WITH part AS (
        SELECT n.nspname, c.relname, a.attname || ' ' || format_type(a.atttypid, a.atttypmod) AS definition,
            a.attname, NOT a.attnotnull AND c.relname = ANY (%(readings)s) AS is_addable
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT n.nspname, c.relname, pg_get_constraintdef(k.oid), NULL, false
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_constraint k ON k.conrelid = c.oid
        WHERE k.contype = 'p'
    )
    SELECT DISTINCT d.relname FROM part d
    WHERE d.nspname = %(declared)s
        AND EXISTS (SELECT FROM part e WHERE e.nspname = %(existing)s AND e.relname = d.relname)
        AND NOT EXISTS (
            SELECT FROM part e
            WHERE e.nspname = %(existing)s AND e.relname = d.relname AND e.definition = d.definition
        )
        AND NOT (d.is_addable AND NOT EXISTS (
            SELECT FROM part e
            WHERE e.nspname = %(existing)s AND e.relname = d.relname AND e.attname = d.attname
        ))
    ORDER BY d.relname
"""
_COLUMNS: Final = """
    SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
"""


def create_store(
    connection: Connection[Any],
    domain: Domain,
    municipalities: Iterable[str],
    passwords: Mapping[str, SecretStr],
) -> None:
    """Create a domain's store, or update it to the declaration; in one transaction, as a superuser.

    An existing store gets the tables and privileges that it lacks, and tables of readings their new columns.
    `passwords` has the password of each of `roles.store_roles(domain, municipalities)`. Raise KeyError if one is
    missing.
    """
    codes = sorted(set(municipalities)) if domain.municipal else []
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('mesh.store'))")
        roles.create(connection, domain, codes, passwords)
        _create_tables(connection, domain, domain.schema_name)
        if domain.municipal:
            for table in tables_of(domain):
                roles.restrict_rows(connection, domain, table.name)
        roles.grant(connection, domain, [table.name for table in tables_of(domain)], list(_SINK_TABLES))


def drop_store(connection: Connection[Any], domain: Domain) -> None:
    """Delete a domain's rows, offsets and outboxes, for a replay; keep its roles."""
    with connection.transaction():
        connection.execute(_format("DROP SCHEMA IF EXISTS {} CASCADE", domain.schema_name))


def differing_tables(connection: Connection[Any], domain: Domain) -> list[str]:
    """Return the existing tables of a domain's store that lack a declared column or have it with another type.

    A table of a reading may lack columns that may be null: `create_store` adds them. The declared tables are created
    beside the existing ones, compared in PostgreSQL's catalogue, and rolled back.
    """
    declared = f"mesh.declared.{domain.schema_name}"
    with connection.transaction(force_rollback=True):
        _create_tables(connection, domain, declared)
        names = {
            "declared": declared,
            "existing": domain.schema_name,
            "readings": [reads.name for reads in domain.readings],
        }
        tables = connection.execute(_DIFFERENCES, names)
        return [f"{domain.schema_name}.{name}" for (name,) in tables.fetchall()]


def has_rows(connection: Connection[Any], schema: str, table: str) -> bool:
    """Return whether a table exists and has rows."""
    name = sql.Identifier(schema, table)
    if connection.execute("SELECT to_regclass(%s)", [name.as_string()]).fetchone() == (None,):
        return False
    return connection.execute(sql.SQL("SELECT FROM {} LIMIT 1").format(name)).fetchone() is not None


def _create_tables(connection: Connection[Any], domain: Domain, schema: str) -> None:
    connection.execute(_format("CREATE SCHEMA IF NOT EXISTS {}", schema))
    for table in tables_of(domain):
        _create_table(connection, schema, table)
    for name, columns in _SINK_TABLES.items():
        connection.execute(
            sql.SQL("CREATE TABLE IF NOT EXISTS {} ({})").format(
                sql.Identifier(schema, name), sql.SQL(columns)
            )
        )


def _create_table(connection: Connection[Any], schema: str, table: Table) -> None:
    columns = [_column(table, column) for column in table.columns]
    status = _STATUS_IN_HISTORY if table.also else _STATUS
    checks = [sql.SQL("CHECK ({})").format(sql.SQL(status))] if "status" in table.content else []
    key = sql.SQL("PRIMARY KEY ({})").format(sql.SQL(", ").join(map(sql.Identifier, table.key)))
    name = sql.Identifier(schema, table.name)
    definitions = sql.SQL(", ").join([*columns, *checks, key])
    connection.execute(sql.SQL("CREATE TABLE IF NOT EXISTS {} ({})").format(name, definitions))
    if table.reads is not None:
        _add_columns(connection, name, table)


def _add_columns(connection: Connection[Any], name: sql.Identifier, table: Table) -> None:
    """Add the columns that may be null and that the existing table lacks. The rest is for `differing_tables` to say."""
    existing = {column for (column,) in connection.execute(_COLUMNS, [name.as_string()]).fetchall()}
    for column in table.columns:
        if column not in existing and not table.is_required(column):
            connection.execute(sql.SQL("ALTER TABLE {} ADD COLUMN {}").format(name, _column(table, column)))


def _column(table: Table, column: str) -> sql.Composed:
    return sql.SQL("{} {}{}").format(
        sql.Identifier(column),
        sql.SQL(table.type_of(column)),
        sql.SQL(" NOT NULL" if table.is_required(column) else ""),
    )


def _format(template: LiteralString, name: str) -> sql.Composed:
    return sql.SQL(template).format(sql.Identifier(name))
