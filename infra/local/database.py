"""The database on the local PostgreSQL: made, and asked whether it answers.

Apart from the server's process (`infra.local.postgres_server`), as the driver takes long to import: who only looks for the
process, as every worker does at its start, has no use for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from infra.local.home import Home, Ports
from infra.local.ports import HOST
from infra.local.postgres_server import AUDITOR, DATABASE, SUPERUSER, server
from infra.local.secrets import Secrets

READY_TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 2


def dsn(ports: Ports, role: str, secrets: Secrets) -> str:
    """The conninfo by which `role` connects, password included."""
    password = secrets.password(role).get_secret_value()
    return make_conninfo(host=HOST, port=ports.postgres, dbname=DATABASE, user=role, password=password)


def wait_ready(home: Home, folder: Path, ports: Ports, secrets: Secrets) -> None:
    """Return when the database `mesh` and the auditor are there. StartError: they are not."""
    server(home, folder).wait_ready(lambda: answers(ports, secrets), READY_TIMEOUT_S)
    prepare(ports, secrets)


def answers(ports: Ports, secrets: Secrets) -> bool:
    """Whether the server answers its superuser now."""
    try:
        psycopg.connect(_superuser(ports, secrets)).close()
    except psycopg.OperationalError:
        return False
    return True


def prepare(ports: Ports, secrets: Secrets) -> None:
    """Make the database `mesh` and the auditor, who reads whatever the superuser makes in it. Repeatable."""
    address = _superuser(ports, secrets)
    with psycopg.connect(address, autocommit=True) as connection:
        if not _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", DATABASE):
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        if not _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", AUDITOR):
            connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(AUDITOR)))
    auditor = sql.Identifier(AUDITOR)
    password = sql.Literal(secrets.password(AUDITOR).get_secret_value())
    with psycopg.connect(make_conninfo(address, dbname=DATABASE)) as connection:
        # An auditor reads every row: row-level security is for the domains' own logins.
        login = "ALTER ROLE {} LOGIN BYPASSRLS PASSWORD {}"
        connection.execute(sql.SQL(login).format(auditor, password))
        for right in ("USAGE ON SCHEMAS", "SELECT ON TABLES", "SELECT ON SEQUENCES"):
            grant = sql.SQL("ALTER DEFAULT PRIVILEGES GRANT {} TO {}")
            connection.execute(grant.format(sql.SQL(right), auditor))


def _superuser(ports: Ports, secrets: Secrets) -> str:
    return make_conninfo(dsn(ports, SUPERUSER, secrets), dbname="postgres", connect_timeout=CONNECT_TIMEOUT_S)


def _exists(connection: psycopg.Connection[tuple[object, ...]], query: LiteralString, name: str) -> bool:
    return connection.execute(query, [name]).fetchone() is not None
