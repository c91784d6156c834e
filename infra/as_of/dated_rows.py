"""The rows that a table of a store had on a day as known on a day, from its history, read as the auditor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from connectors.postgres.table_definitions import tables_of
from infra.errors import OperatorError
from infra.systems.descriptions import domain_of, table_names
from schemas.declare import history_of
from schemas.systems import Domain

PERSON: Final = "person"

#: The rows of a reading's history say on which day they end.
_OF_READING: Final = """SELECT {columns} FROM {history}
WHERE valid_from <= %(effective)s AND (valid_to IS NULL OR valid_to > %(effective)s)
AND known_from <= %(known)s AND (known_to IS NULL OR known_to > %(known)s) ORDER BY {key}"""
#: The rows of persons' histories hold until a later one does. Of each day of effect, what was known last counts.
_OF_PERSONS: Final = """SELECT {columns} FROM (
    SELECT DISTINCT ON ({key}) * FROM (
        SELECT DISTINCT ON ({key}, effective_on) * FROM {history}
        WHERE effective_on <= %(effective)s AND known_from <= %(known)s
        ORDER BY {key}, effective_on, known_from DESC
    ) AS known WHERE status <> 'retracted' ORDER BY {key}, effective_on DESC
) AS held ORDER BY {key}"""
_FIRST_KNOWN: Final = "SELECT min(known_from) FROM {history}"


def tables_with_history(domain: str, table: str | None) -> tuple[Domain, list[str]]:
    """Return a domain and the names of its tables that have a history, or of the one that is asked for.

    Raise OperatorError, with what there is, if there is no such domain or table, or no history of it.
    """
    declared = domain_of(domain)
    tables = [PERSON] if declared.has_history else []
    tables += [reads.name for reads in declared.reads if reads.history]
    if not tables:
        raise OperatorError(f"no table of {domain} has a history")
    if table is None:
        return declared, tables
    if table not in table_names(declared):
        raise OperatorError(
            f"{domain} has no table {table!r}; tables with a history are: {', '.join(tables)}"
        )
    if table not in tables:
        raise OperatorError(
            f"table {table} of {domain} has no history; tables with one are: {', '.join(tables)}"
        )
    return declared, [table]


def days_of(effective: str, known: str | None, today: date) -> tuple[date, date]:
    """Return both days; the second is today if `known` is None.

    Raise OperatorError if a text is no day, or a day after today, of which nothing is known yet.
    """
    return _past_day("--effective", effective, today), _past_day("--known", known or today.isoformat(), today)


def _past_day(option: str, text: str, today: date) -> date:
    day = _day(text)
    if day is None:
        raise OperatorError(f"{option} {text!r} is no day; write it as {today}")
    if day > today:
        raise OperatorError(f"{option} {day} is later than today, {today}")
    return day


def _day(text: str) -> date | None:
    """Return the day of a text in the form YYYY-MM-DD; None if it is none."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.isoformat() == text else None


def rows_as_of(
    dsn: str, domain: Domain, table: str, effective: date, known: date
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table by column, as it had them, without revisions. Raise psycopg.Error."""
    shown = next(each for each in tables_of(domain) if each.name == table)
    query = sql.SQL(_OF_PERSONS if table == PERSON else _OF_READING).format(
        columns=_names(column for column in shown.columns if column != "revision"),
        history=_history(domain, table),
        key=_names(shown.key),
    )
    with (
        psycopg.connect(dsn, row_factory=dict_row) as connection,
        connection.cursor() as cursor,
    ):
        yield from cursor.stream(query, {"effective": effective, "known": known})


def check_known(dsn: str, domain: Domain, tables: Iterable[str], known: date) -> None:
    """Raise OperatorError if the first day since which any of the histories knows anything is later than a day."""
    histories = sql.SQL(" UNION ALL ").join(
        sql.SQL(_FIRST_KNOWN).format(history=_history(domain, table)) for table in tables
    )
    with psycopg.connect(dsn) as connection:
        days = [day for (day,) in connection.execute(histories) if day is not None]
    if days and known < min(days):
        raise OperatorError(
            f"--known {known} is before {min(days)}, the first day of which {domain.id} knows anything"
        )


def _history(domain: Domain, table: str) -> sql.Identifier:
    readings = {reads.name: reads for reads in domain.reads}
    history = "person_history" if table == PERSON else history_of(readings[table]).name
    return sql.Identifier(domain.schema_name, history)


def _names(columns: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))
