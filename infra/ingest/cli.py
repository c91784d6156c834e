"""`mesh ingest`: what registers and agencies hand over as files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from connectors.enrolments.source import EnrolmentsSource
from connectors.errors import ConnectorError, SourceFileError
from connectors.events.source import EventsSource
from connectors.files.parsing import Encoding
from connectors.juki_cs.source import JukiCsSource
from connectors.notices.source import NoticesSource
from connectors.publish import Summary
from connectors.source import Source
from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import OperatorError, clear_errors
from infra.ingest.ingestion import TakenIn, by_name, ingest_files
from schemas.systems import SYSTEMS

app = typer.Typer(no_args_is_help=True, help="Take in files that registers and agencies hand over.")

Files = Annotated[list[Path], typer.Argument(help="Files, taken in one after the other.")]
Municipality = Annotated[
    str | None, typer.Option(help="For whom the files speak; by default their names say it.")
]
EncodingOption = Annotated[
    Encoding | None, typer.Option(help="Encoding of the files; by default each is asked for its own.")
]


@app.command(name="juki-cs")
def juki_cs(files: Files, encoding: EncodingOption = None, municipality: Municipality = None) -> None:
    """Take in a gateway server's files (CSV), juki_MUNICIPALITY.csv by name."""
    _take_in(files, lambda path: JukiCsSource(path, municipality, encoding))


@app.command()
def notices(files: Files, municipality: Municipality = None) -> None:
    """Take in a municipality's notices (JSON Lines), notices_MUNICIPALITY.jsonl by name."""
    _take_in(files, lambda path: NoticesSource(path, municipality))


@app.command()
def enrolments(files: Files, encoding: EncodingOption = None) -> None:
    """Take in enrolments (CSV); each row goes to its domain, as that domain's user."""
    _take_in(files, lambda path: EnrolmentsSource(path, encoding))


@app.command()
def events(
    files: Files,
    system: Annotated[str, typer.Option(help="The system whose events they are.")],
    municipality: Municipality = None,
) -> None:
    """Take in any system's events (JSON Lines, an event of its schema on each line)."""
    publishing = [found.id for found in SYSTEMS.values() if found.publishes]
    with clear_errors():
        if system not in publishing:
            raise OperatorError(f"{system!r} hands nothing over; there are: {', '.join(publishing)}")
    _take_in(files, lambda path: EventsSource(system, path, municipality))


def _take_in(files: list[Path], source: Callable[[Path], Source]) -> None:
    with clear_errors(), _told():
        environment, installation = Environment.load(), Installation.of_settings()
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        ) as bars:
            tasks: dict[str, TaskID] = {}

            def show(name: str, done: int, total: int) -> None:
                if name not in tasks:
                    tasks[name] = bars.add_task(name, total=total)
                bars.update(tasks[name], completed=done)

            taken = ingest_files(environment, installation, by_name(files, source), show)
        _report(taken)


def _report(taken: TakenIn) -> None:
    if taken.admitted:
        typer.echo(f"admitted: {', '.join(taken.admitted)} (they take part from now on)")
    for name, summary in taken.files.items():
        typer.echo(f"{name}: {_sentence(summary)}")


def _sentence(summary: Summary) -> str:
    faulty = f", {summary.faults} of them not of the form: see `mesh rejected list`" if summary.faults else ""
    topics = ", ".join(sorted(summary.by_topic))
    return f"{summary.hand_overs} hand-overs of {summary.rows} rows to {topics or 'nowhere'}{faulty}"


@contextmanager
def _told() -> Iterator[None]:
    """A file that can't be taken in ends with 2, and nothing was published; a broker that fails, with 1."""
    try:
        yield
    except SourceFileError as error:
        raise OperatorError(f"{error}; nothing was published") from error
    except ConnectorError as error:
        text = f"{error}; part of it may be in: ingest again, what is in already changes nothing"
        raise OperatorError(text, code=1) from error
