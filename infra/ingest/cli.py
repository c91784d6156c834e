"""The command `mesh ingest`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TimeElapsedColumn

from connectors.enrolments.source import EnrolmentsSource
from connectors.errors import ConnectorError, SourceFileError
from connectors.events.source import EventsSource, NoticesSource
from connectors.files.parsing import Encoding
from connectors.juki_cs.source import JukiCsSource
from connectors.publish import IngestSummary
from connectors.source import Source
from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import OperatorError, errors_as_messages
from infra.ingest.ingestion import IngestResult, ingest_files, sources_by_name
from infra.printing import console, printable, say, text_column
from schemas.systems import SYSTEMS

app = typer.Typer(no_args_is_help=True, help="Ingest files of registers and agencies.")

Files = Annotated[list[Path], typer.Argument(help="Files, ingested one after another.")]
Municipality = Annotated[
    str | None, typer.Option(help="Code of the municipality; by default the file names have it.")
]
EncodingOption = Annotated[
    Encoding | None, typer.Option(help="Encoding of the files; by default each file's header decides.")
]


@app.command(name="juki-cs")
def juki_cs(files: Files, encoding: EncodingOption = None, municipality: Municipality = None) -> None:
    """Ingest CSV files of gateway servers, named juki_MUNICIPALITY.csv."""
    _ingest(files, lambda path: JukiCsSource(path, municipality, encoding))


@app.command()
def notices(files: Files, municipality: Municipality = None) -> None:
    """Ingest a municipality's notices (JSON Lines), in files named notices_MUNICIPALITY.jsonl."""
    _ingest(files, lambda path: NoticesSource(path, municipality))


@app.command()
def enrolments(files: Files, encoding: EncodingOption = None) -> None:
    """Ingest enrolments (CSV); each row is published as its domain's user."""
    _ingest(files, lambda path: EnrolmentsSource(path, encoding))


@app.command()
def events(
    files: Files,
    system: Annotated[str, typer.Option(help="The system that publishes the events.")],
    municipality: Municipality = None,
) -> None:
    """Ingest any system's events (JSON Lines, one event of the system's schema per line)."""
    publishing = [declared.id for declared in SYSTEMS.values() if declared.publishes]
    with errors_as_messages():
        if system not in publishing:
            raise OperatorError(f"{system!r} publishes no events; systems that do: {', '.join(publishing)}")
    _ingest(files, lambda path: EventsSource(system, path, municipality))


def _ingest(files: list[Path], source: Callable[[Path], Source]) -> None:
    with errors_as_messages(), _connector_errors():
        environment, installation = Environment.load(), Installation.of_settings()
        with Progress(
            text_column("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeElapsedColumn(),
            console=console(err=True),
            transient=True,
        ) as bars:
            tasks: dict[str, TaskID] = {}

            def show(name: str, done: int, total: int) -> None:
                if name not in tasks:
                    tasks[name] = bars.add_task(printable(name), total=total)
                bars.update(tasks[name], completed=done)

            result = ingest_files(environment, installation, sources_by_name(files, source), show)
        _report(result)


def _report(result: IngestResult) -> None:
    if result.admitted:
        say(f"admitted: {', '.join(result.admitted)} (they take part from now on)")
    for name, summary in result.files.items():
        say(f"{name}: {_sentence(summary)}")


def _sentence(summary: IngestSummary) -> str:
    malformed = f", {summary.faults} of them malformed: see `mesh rejected list`" if summary.faults else ""
    topics = ", ".join(sorted(summary.by_topic))
    return f"{summary.submissions} submissions of {summary.rows} rows to {topics or 'no topic'}{malformed}"


@contextmanager
def _connector_errors() -> Iterator[None]:
    """Turn a connector's errors into OperatorError: code 2 if nothing was published, 1 if a part may be."""
    try:
        yield
    except SourceFileError as error:
        raise OperatorError(f"{error}; nothing was published") from error
    except ConnectorError as error:
        text = f"{error}; a part may be published: ingest the files again, duplicates change nothing"
        raise OperatorError(text, code=1) from error
