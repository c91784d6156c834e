"""The command `mesh local`: the servers on this machine."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated
from urllib.parse import quote, urlencode

import typer

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import OperatorError, errors_as_messages
from infra.local.kafka_server import AUDITOR
from infra.local.logins import database_roles, kafka_users, role_name
from infra.local.progress import OnConsole
from infra.local.stack import ServerStatus, Stack, uptime_s
from infra.printing import console, say, say_json, table

app = typer.Typer(no_args_is_help=True, help="Kafka, schema registry and PostgreSQL on this machine.")


def _one_or_three(brokers: int | None) -> int | None:
    if brokers not in (None, 1, 3):
        raise typer.BadParameter("must be 1 or 3")
    return brokers


@app.command()
def up(
    new_ports: Annotated[
        bool, typer.Option("--new-ports", help="Choose other ports for those that another program has taken.")
    ] = False,
    brokers: Annotated[
        int | None,
        typer.Option(
            help="Number of brokers of a new home: 1 (default), or 3, of which one may fail.",
            callback=_one_or_three,
        ),
    ] = None,
) -> None:
    """Start the servers and return when they are ready. Running servers are left alone."""
    started = time.monotonic()
    with errors_as_messages():
        stack = Stack(progress=OnConsole())
        stack.up(new_ports=new_ports, brokers=brokers)
        say(f"ready after {time.monotonic() - started:.1f} s", err=True)
        _print(stack.status())


@app.command()
def down() -> None:
    """Stop the servers; the data stays."""
    with errors_as_messages():
        Stack(progress=OnConsole()).down()


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Show each server: state, pid, address, memory, uptime. Exits with 1 if a server is down."""
    with errors_as_messages():
        servers = Stack().status()
    if as_json:
        for server in servers:
            say_json(asdict(server))
    elif servers:
        _print(servers)
    else:
        say("no servers were set up here yet: run `mesh local up`", err=True)
    if not servers or not all(server.running for server in servers):
        raise typer.Exit(1)


@app.command()
def env(
    user: Annotated[str, typer.Option(help="The user whose credentials to print.")] = AUDITOR,
) -> None:
    """Print shell exports for any Kafka client and psql: eval "$(mesh local env)"."""
    with errors_as_messages():
        environment = Environment.load()
        variables = exports(environment, user, Installation.of_settings().municipalities())
        for name, value in variables.items():
            say(f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}")
        for server, name in (("brokers", "MESH_KAFKA_SASL_USERNAME"), ("database", "MESH_DATABASE_URL")):
            if variables[name] is None:
                say(f"mesh: {user} has no login at the {server}, so {name} is unset", err=True)


@app.command()
def reset(
    yes: Annotated[
        bool, typer.Option("--yes", help="Confirm that all data, users and keys are deleted.")
    ] = False,
) -> None:
    """Stop the servers and delete all data, users and keys."""
    if not yes:
        say("mesh: this deletes all data, users and keys; to confirm: mesh local reset --yes", err=True)
        raise typer.Exit(2)
    with errors_as_messages():
        Stack(progress=OnConsole()).reset()


def exports(environment: Environment, user: str, municipalities: Sequence[str] = ()) -> dict[str, str | None]:
    """Return the variables by which `user` connects; None where it has no login at the brokers, or at the database.

    Raise OperatorError for a user without any login.
    """
    brokers, database = kafka_users(environment, municipalities), database_roles(environment, municipalities)
    role = role_name(user)
    if user not in brokers and role not in database:
        raise OperatorError(f"no user {user!r}; there are: {', '.join(sorted(brokers | database))}")
    properties = environment.kafka(user) if user in brokers else {}
    return {
        "MESH_KAFKA_BOOTSTRAP": environment.bootstrap,
        "MESH_KAFKA_SECURITY_PROTOCOL": environment.security_protocol,
        "MESH_KAFKA_SASL_MECHANISM": environment.sasl_mechanism,
        "MESH_KAFKA_SASL_USERNAME": properties.get("sasl.username"),
        "MESH_KAFKA_SASL_PASSWORD": properties.get("sasl.password"),
        "MESH_REGISTRY_URL": environment.registry_url,
        "MESH_DATABASE_URL": _database_url(environment, role) if role in database else None,
    }


def _database_url(environment: Environment, role: str) -> str:
    password = environment.secrets().password(role).get_secret_value()
    address = f"{environment.database_host}:{environment.database_port}/{environment.database_name}"
    options = f"?{urlencode(environment.database_options)}" if environment.database_options else ""
    return f"postgresql://{quote(role)}:{quote(password, safe='')}@{address}{options}"


def _print(servers: list[ServerStatus]) -> None:
    columns = ("server", "state", "pid", "address", "memory", "uptime")
    console().print(table(columns, map(_cells, servers)))


def _cells(server: ServerStatus) -> tuple[object, ...]:
    seconds = uptime_s(server)
    return (
        server.name,
        "running" if server.running else "down",
        server.pid or "–",
        server.address,
        f"{server.memory_mb:.0f} MB" if server.memory_mb is not None else "–",
        timedelta(seconds=int(seconds)) if seconds is not None else "–",
    )
