"""The command `mesh client`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from infra.apply.installation import Installation
from infra.client.client_files import Files, connect_files, java_files, kcat_files, python_files
from infra.client.kafka_access import KafkaAccess, kafka_access
from infra.client.private_folder import write_files
from infra.environment import Environment
from infra.errors import errors_as_messages
from infra.printing import say

app = typer.Typer(no_args_is_help=True, help="Write ready files for a Kafka client of one user.")

Folder = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="Folder of the files; it is created, readable by its owner only."),
]
User = Annotated[str, typer.Option(help="The Kafka user that connects, for example a domain.")]
Force = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]


@app.command()
def kcat(folder: Folder, user: User, force: Force = False) -> None:
    """Write kcat's configuration files, with the command lines that read or submit."""
    _write(folder, user, force, kcat_files)


@app.command()
def python(folder: Folder, user: User, force: Force = False) -> None:
    """Write settings and programs that read or submit, with confluent-kafka and fastavro."""
    _write(folder, user, force, python_files)


@app.command()
def java(folder: Folder, user: User, force: Force = False) -> None:
    """Write the properties of Kafka's Java client, with an Avro deserializer or serializer."""
    _write(folder, user, force, java_files)


@app.command()
def connect(
    folder: Folder,
    user: User,
    topic: Annotated[
        str | None, typer.Option(help="The topic to read; by default the only one that the user may read.")
    ] = None,
    force: Force = False,
) -> None:
    """Write a worker and a connector of Kafka Connect, which writes a topic's records to a file."""
    _write(folder, user, force, lambda access: connect_files(access, folder.absolute(), topic))


def _write(folder: Path, user: str, force: bool, files: Callable[[KafkaAccess], Files]) -> None:
    with errors_as_messages():
        environment = Environment.load()
        access = kafka_access(environment, Installation.of_settings().municipalities(), user)
        written = write_files(folder, files(access), force=force)
        say(*(f"written: {file}" for file in written))
