"""`mesh local`: the servers on this machine."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated
from urllib.parse import quote

import orjson
import typer
from filelock import Timeout
from rich.console import Console
from rich.table import Table

from infra.environment import Environment
from infra.errors import NoEnvironmentError
from infra.local.errors import StackError
from infra.local.kafka_server import AUDITOR
from infra.local.progress import OnConsole
from infra.local.stack import ServerStatus, Stack, uptime_s

app = typer.Typer(no_args_is_help=True, help="Kafka, schema registry and PostgreSQL on this machine.")


def _one_or_three(brokers: int | None) -> int | None:
    if brokers not in (None, 1, 3):
        raise typer.BadParameter("1 or 3")
    return brokers


@app.command()
def up(
    new_ports: Annotated[
        bool, typer.Option("--new-ports", help="Choose other ports where somebody took ours.")
    ] = False,
    brokers: Annotated[
        int | None,
        typer.Option(
            help="Brokers of a new home: 1 (by default), or 3, which go on when one of them is gone.",
            callback=_one_or_three,
        ),
    ] = None,
) -> None:
    """Start the servers; return when they are ready. What runs already is left alone."""
    begun = time.monotonic()
    with _clear_errors():
        stack = Stack(progress=OnConsole())
        stack.up(new_ports=new_ports, brokers=brokers)
        Console(stderr=True).print(f"ready after {time.monotonic() - begun:.1f} s", highlight=False)
        _show(stack.status(), Console())


@app.command()
def down() -> None:
    """Stop the servers; the data stays."""
    with _clear_errors():
        Stack(progress=OnConsole()).down()


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="One object a line.")] = False,
) -> None:
    """Show each server. Ends with 1 where one of them is not running."""
    with _clear_errors():
        found = Stack().status()
    if as_json:
        for server in found:
            typer.echo(orjson.dumps(asdict(server)))
    elif found:
        _show(found, Console())
    else:
        typer.echo("nothing was set up here yet: mesh local up", err=True)
    if not found or not all(server.running for server in found):
        raise typer.Exit(1)


@app.command()
def env(
    user: Annotated[str, typer.Option(help="Whose credentials.")] = AUDITOR,
) -> None:
    """Print shell exports by which any Kafka client or psql connects: eval "$(mesh local env)"."""
    with _clear_errors():
        environment = Environment.load()
        names = environment.secrets().names()
        if user not in names:
            typer.echo(f"no user {user!r}; there are: {', '.join(names)}", err=True)
            raise typer.Exit(2)
        for name, value in exports(environment, user).items():
            typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", help="Yes, forget all data, users and keys.")] = False,
) -> None:
    """Stop the servers and forget everything they hold."""
    if not yes:
        typer.echo("this forgets all data, users and keys; say so: mesh local reset --yes", err=True)
        raise typer.Exit(2)
    with _clear_errors():
        Stack(progress=OnConsole()).reset()


def exports(environment: Environment, user: str) -> dict[str, str]:
    """The variables by which `user` connects. A domain's database role is its name with `_` for `-`."""
    properties = environment.kafka(user)
    role = user.replace("-", "_")
    role = role if role in environment.secrets().names() else user
    password = environment.secrets().password(role).get_secret_value()
    place = f"{environment.database_host}:{environment.database_port}/{environment.database_name}"
    return {
        "MESH_KAFKA_BOOTSTRAP": environment.bootstrap,
        "MESH_KAFKA_SECURITY_PROTOCOL": properties["security.protocol"],
        "MESH_KAFKA_SASL_MECHANISM": properties["sasl.mechanism"],
        "MESH_KAFKA_SASL_USERNAME": user,
        "MESH_KAFKA_SASL_PASSWORD": properties["sasl.password"],
        "MESH_REGISTRY_URL": environment.registry_url,
        "MESH_DATABASE_URL": f"postgresql://{quote(role)}:{quote(password, safe='')}@{place}",
    }


def _show(found: list[ServerStatus], console: Console) -> None:
    table = Table("server", "state", "pid", "address", "memory", "up for")
    for server in found:
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


@contextmanager
def _clear_errors() -> Iterator[None]:
    """What a person can mend is one sentence and exit 2, not a traceback."""
    try:
        yield
    except (StackError, NoEnvironmentError) as error:
        typer.echo(f"mesh: {error}", err=True)
        raise typer.Exit(2) from error
    except Timeout as error:
        typer.echo("mesh: another mesh command has been at work here for too long; see ps", err=True)
        raise typer.Exit(2) from error
