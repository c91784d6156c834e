"""Topic `protection` as the table that conversion gets, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from schemas.topics import PROTECTION
from streams.contract import Tables

Row = dict[str, Any]


class RowsTable:
    """Values by key (`streams.contract.LookupTable`); None is a value that can't be decoded."""

    def __init__(self, rows: Mapping[str, Row | None]) -> None:
        self.rows = dict(rows)

    def get_many(self, keys: Iterable[str]) -> dict[str, Row | None]:
        """Return the values of those keys that have one."""
        return {key: self.rows[key] for key in keys if key in self.rows}


def protection_tables(*records: Row) -> Tables:
    """Return the tables of conversion with these records of `protection`."""
    return {PROTECTION: RowsTable({record["person"]: record for record in records})}


def measure(since: date, until: date | None = None) -> Row:
    """Return a measure that was recorded on its own days."""
    return {"since": since, "until": until, "begun_at": 1, "ended_at": until and 2}


def protected(person: str, *measures: Row, addresses: Iterable[str] = (), **revisions: int) -> Row:
    """Return a record of `protection`; `revisions` are by domain, with _ for -."""
    latest = [{"domain": name.replace("_", "-"), "revision": n} for name, n in sorted(revisions.items())]
    return {"person": person, "measures": list(measures), "addresses": list(addresses), "revisions": latest}
