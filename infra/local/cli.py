"""The command `mesh local`: the servers on this machine."""

from __future__ import annotations

import shlex
import time
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated
from urllib.parse import quote

import orjson
import typer
from rich.console import Console
from rich.table import Table

from infra.environment import Environment
from infra.errors import errors_as_messages
from infra.local.kafka_server import AUDITOR
from infra.local.progress import OnConsole
from infra.local.stack import ServerStatus, Stack, uptime_s

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
        Console(stderr=True).print(f"ready after {time.monotonic() - started:.1f} s", highlight=False)
        _print(stack.status(), Console())


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
            typer.echo(orjson.dumps(asdict(server)))
    elif servers:
        _print(servers, Console())
    else:
        typer.echo("no servers were set up here yet: run `mesh local up`", err=True)
    if not servers or not all(server.running for server in servers):
        raise typer.Exit(1)


@app.command()
def env(
    user: Annotated[str, typer.Option(help="The user whose credentials to print.")] = AUDITOR,
) -> None:
    """Print shell exports for any Kafka client and psql: eval "$(mesh local env)"."""
    with errors_as_messages():
        environment = Environment.load()
        names = environment.secrets().names()
        if user not in names:
            typer.echo(f"no user {user!r}; there are: {', '.join(names)}", err=True)
            raise typer.Exit(2)
        for name, value in exports(environment, user).items():
            typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def reset(
    yes: Annotated[
        bool, typer.Option("--yes", help="Confirm that all data, users and keys are deleted.")
    ] = False,
) -> None:
    """Stop the servers and delete all data, users and keys."""
    if not yes:
        typer.echo(
            "mesh: this deletes all data, users and keys; to confirm: mesh local reset --yes", err=True
        )
        raise typer.Exit(2)
    with errors_as_messages():
        Stack(progress=OnConsole()).reset()


def exports(environment: Environment, user: str) -> dict[str, str]:
    """Return the variables by which `user` connects. A domain's database role has `_` for `-` in its name."""
    properties = environment.kafka(user)
    role = user.replace("-", "_")
    role = role if role in environment.secrets().names() else user
    password = environment.secrets().password(role).get_secret_value()
    address = f"{environment.database_host}:{environment.database_port}/{environment.database_name}"
    return {
        "MESH_KAFKA_BOOTSTRAP": environment.bootstrap,
        "MESH_KAFKA_SECURITY_PROTOCOL": properties["security.protocol"],
        "MESH_KAFKA_SASL_MECHANISM": properties["sasl.mechanism"],
        "MESH_KAFKA_SASL_USERNAME": user,
        "MESH_KAFKA_SASL_PASSWORD": properties["sasl.password"],
        "MESH_REGISTRY_URL": environment.registry_url,
        "MESH_DATABASE_URL": f"postgresql://{quote(role)}:{quote(password, safe='')}@{address}",
    }


def _print(servers: list[ServerStatus], console: Console) -> None:
    table = Table("server", "state", "pid", "address", "memory", "uptime")
    for server in servers:
        seconds = uptime_s(server)
        table.add_row(
            server.name,
            "running" if server.running else "down",
            str(server.pid or "–"),
            server.address,
            f"{server.memory_mb:.0f} MB" if server.memory_mb is not None else "–",
            str(timedelta(seconds=int(seconds))) if seconds is not None else "–",
        )
    console.print(table)
