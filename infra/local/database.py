"""The database on the local PostgreSQL: creates it, and checks whether the server answers.

Separate from the server's process (`infra.local.postgres_server`), because importing the driver takes long. Code that
only looks for the process, as every worker does at its start, doesn't need it.
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
    """Return the conninfo of `role`, with its password."""
    password = secrets.password(role).get_secret_value()
    return make_conninfo(host=HOST, port=ports.postgres, dbname=DATABASE, user=role, password=password)


def wait_ready(home: Home, folder: Path, ports: Ports, secrets: Secrets) -> None:
    """Wait for the server, then create the database `mesh` and the auditor. Raise StartError at the timeout."""
    server(home, folder).wait_ready(lambda: answers(ports, secrets), READY_TIMEOUT_S)
    prepare(ports, secrets)


def answers(ports: Ports, secrets: Secrets) -> bool:
    """Return whether the server answers its superuser now."""
    try:
        psycopg.connect(_superuser(ports, secrets)).close()
    except psycopg.OperationalError:
        return False
    return True


def prepare(ports: Ports, secrets: Secrets) -> None:
    """Create the database `mesh` and the auditor, who may read everything the superuser creates in it. Repeatable."""
    address = _superuser(ports, secrets)
    with psycopg.connect(address, autocommit=True) as connection:
        if not _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", DATABASE):
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        if not _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", AUDITOR):
            connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(AUDITOR)))
    auditor = sql.Identifier(AUDITOR)
    password = sql.Literal(secrets.password(AUDITOR).get_secret_value())
    with psycopg.connect(make_conninfo(address, dbname=DATABASE)) as connection:
        # The auditor reads every row: row-level security restricts the domains' own logins only.
        login = "ALTER ROLE {} LOGIN BYPASSRLS PASSWORD {}"
        connection.execute(sql.SQL(login).format(auditor, password))
        for privilege in ("USAGE ON SCHEMAS", "SELECT ON TABLES", "SELECT ON SEQUENCES"):
            grant = sql.SQL("ALTER DEFAULT PRIVILEGES GRANT {} TO {}")
            connection.execute(grant.format(sql.SQL(privilege), auditor))


def _superuser(ports: Ports, secrets: Secrets) -> str:
    return make_conninfo(dsn(ports, SUPERUSER, secrets), dbname="postgres", connect_timeout=CONNECT_TIMEOUT_S)


def _exists(connection: psycopg.Connection[tuple[object, ...]], query: LiteralString, name: str) -> bool:
    return connection.execute(query, [name]).fetchone() is not None
