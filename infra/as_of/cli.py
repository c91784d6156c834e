"""The command `mesh as-of`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import groupby
from typing import Annotated, Any

import psycopg
import typer

from infra.as_of.dated_rows import check_known, days_of, rows_as_of, tables_with_history
from infra.environment import Environment
from infra.errors import OperatorError, errors_as_messages
from infra.printing import say, say_json, table, wide_console
from infra.triage.cli import PERSONAL_DATA_NOTICE
from processors.japan import day_of_ms
from schemas.topics import AUDITOR

app = typer.Typer(add_completion=False)


@app.command()
def as_of(
    domain: Annotated[str, typer.Option("--domain", metavar="ID", help="The domain whose store to read.")],
    effective: Annotated[
        str, typer.Option("--effective", metavar="DATE", help="The day of which to tell (YYYY-MM-DD).")
    ],
    table_name: Annotated[
        str | None, typer.Option("--table", help="A table with a history; by default all of them.")
    ] = None,
    known: Annotated[
        str | None,
        typer.Option("--known", metavar="DATE", help="As known by the end of this day; by default today."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Show the rows that a domain's tables had on a day, as known by the end of a day. They are personal data."""
    with errors_as_messages():
        declared, tables = tables_with_history(domain, table_name)
        days = days_of(effective, known, day_of_ms(time.time_ns() // 1_000_000))
        dsn = Environment.load().dsn(AUDITOR)
        say(PERSONAL_DATA_NOTICE, err=True)
        rows = ({"table": name} | row for name in tables for row in rows_as_of(dsn, declared, name, *days))
        try:
            check_known(dsn, declared, tables, days[1])
            _print(rows, as_json)
        except psycopg.Error as error:
            name = type(error).__name__
            raise OperatorError(
                f"the store of {domain} can't be read ({name}): see `mesh status`, `mesh apply`", code=1
            ) from error


def _print(rows: Iterator[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        for row in rows:
            say_json(row)
        return
    for name, of_table in groupby(rows, lambda row: row["table"]):
        found = [{column: value for column, value in row.items() if column != "table"} for row in of_table]
        wide_console().print(table(tuple(found[0]), [tuple(row.values()) for row in found], title=name))
