"""`mesh systems` and `mesh rules`: the declared systems, and why a domain receives a field."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.apply.checks import check_schema_files
from infra.apply.topics_and_acls import ApplyError
from infra.errors import OperatorError, errors_as_messages
from infra.printing import say, say_json, table, wide_console
from infra.systems.avro_release import generate
from infra.systems.declaration_checks import declaration_faults
from infra.systems.descriptions import Section, description, summary, system_of
from infra.systems.explanations import explain
from infra.systems.first_file import FOLDER, write_first_file
from infra.systems.systems_page import page
from schemas.schema_files import display_path
from schemas.systems import SYSTEMS
from schemas.systems._discovery import GROUP
from schemas.systems.model import Scope
from schemas.topics import topics_of

systems_app = typer.Typer(
    no_args_is_help=True, help="The declared systems: list, show, draw, check, begin a new one."
)
rules_app = typer.Typer(no_args_is_help=True, help="The rules by which domains receive data.")


@systems_app.command(name="list")
def list_systems(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the systems: ID, name, scope, what each submits, and the tables that its domain receives."""
    documents = [summary(system) for system in SYSTEMS.values()]
    if as_json:
        say_json(documents)
        return
    columns = ("id", "japanese", "scope", "submits", "receives")
    wide_console().print(table(columns, map(_row, documents)))


def _row(document: dict[str, Any]) -> tuple[object, ...]:
    submits = document["submits"]
    return (
        document["id"],
        document["japanese"],
        document["scope"].lower(),
        ", ".join(submits["events"]) or submits["schema"],
        ", ".join(document["receives"]),
    )


@systems_app.command()
def show(system: Annotated[str, typer.Argument(metavar="ID", help="The ID as `list` shows it.")]) -> None:
    """Show a system: its entities with fields and events, readings with purpose and basis, tables, topics, users."""
    with errors_as_messages():
        _print(description(system_of(system)))


@systems_app.command()
def check() -> None:
    """Check all declarations and their Avro files. Exits with 1 after a sentence for each fault."""
    faults = declaration_faults()
    if not faults:
        try:
            check_schema_files(topics_of(()))
        except ApplyError as error:
            faults = [str(error)]
    if faults:
        say(*faults, err=True)
        raise typer.Exit(1)
    say(f"{len(SYSTEMS)} systems checked: no fault")


@systems_app.command()
def new(
    system: Annotated[str, typer.Argument(metavar="ID", help="Lower-case words joined by hyphens.")],
    scope: Annotated[
        str,
        typer.Option(
            "--scope", help="national: one system for the country; municipal: one per municipality."
        ),
    ],
    japanese: Annotated[str, typer.Option("--japanese", help="The system's name in Japanese.")],
    folder: Annotated[
        Path,
        typer.Option(
            "--folder",
            exists=True,
            file_okay=False,
            help="Folder of your own package, if it isn't the mesh's.",
        ),
    ] = FOLDER,
) -> None:
    """Write the first file of a new system, with one entity, two events and one reading, and say what to do next."""
    with errors_as_messages():
        if scope.upper() not in Scope.__members__:
            raise OperatorError(f"--scope is {scope!r}; it must be national or municipal")
        file = write_first_file(system, Scope[scope.upper()], japanese, folder)
    say(f"{file} is written. Next:")
    if folder != FOLDER:
        say(f"- name {file.stem}:SYSTEM as an entry point of group {GROUP}, and install the package")
    say(
        "- edit the file: docs/systems.md explains every word",
        "- mesh systems check: says what is wrong or missing",
        "- mesh systems generate: writes the Avro files, which never change after that",
        "- mesh apply: creates topics, users, keys and the store",
    )


@systems_app.command(name="generate")
def generate_files() -> None:
    """Write the Avro files that the declarations need, release them, and update docs/events.md."""
    with errors_as_messages():
        files = generate()
    say(*(f"{display_path(file)} is written" for file in files))
    if not files:
        say("every Avro file is up to date")


@systems_app.command(name="page")
def write_page(
    out: Annotated[Path, typer.Option("--out", dir_okay=False, help="The HTML file to write.")] = Path(
        "build/systems.html"
    ),
) -> None:
    """Write an HTML page of all systems, with a picture and tables of what flows between them, and why."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(), encoding="utf-8")
    say(f"{out} is written")


@rules_app.callback()
def rules() -> None:
    """Explain the rules by which domains receive data."""


@rules_app.command(name="explain")
def explain_field(
    source: Annotated[
        str, typer.Option("--from", metavar="SYSTEM", help="The system that submits the field.")
    ],
    target: Annotated[str, typer.Option("--to", metavar="DOMAIN", help="The domain that may receive it.")],
    field: Annotated[
        str, typer.Option("--field", metavar="FIELD", help="The field, by its name as a column.")
    ],
) -> None:
    """Say by which reading or rules, and on which legal basis, a domain receives a field, or why it doesn't."""
    with errors_as_messages():
        _print([explain(source, target, field)])


def _print(sections: Iterable[Section]) -> None:
    for section in sections:
        say(*section.lines)
        if section.columns:
            wide_console().print(table(section.columns, section.rows))
