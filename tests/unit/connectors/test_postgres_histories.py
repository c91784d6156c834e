"""Histories of persons' rows in a store: a row with the day since which it is known is written into both tables."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from connectors.postgres.sink import PostgresSink
from connectors.postgres.table_definitions import tables_of
from connectors.postgres.table_rows import faults_of, rows_of
from tests.contract.sink_suite import CODING
from tests.simulation.postgres import SimDatabase, StoreAccess
from tests.simulation.test_store import FaultlessHost
from tests.simulation.virtual_time import VirtualTime
from tests.unit.connectors.declared import DAY, DOMAIN, MUNICIPALITY, Row, events, sink_batch

pytestmark = pytest.mark.unit

KNOWN = date(2026, 3, 9)


def person(revision: int, **overrides: Any) -> Row:
    """Return the record of a person's row."""
    return {
        "code": "a", "entity": "PERSON", "op": "UPSERT", "revision": revision, "municipality": MUNICIPALITY,
        "effective_on": DAY, "known_from": KNOWN, "person": {"status": "active", "name": "NAME"}, **overrides,
    }  # fmt: skip


def tables_and_revisions(*records: Row) -> dict[str, list[int]]:
    """Return the revisions of the records that are rows of each table."""
    table = events(*records)
    return {
        rows.table.name: rows.data.column("revision").to_pylist()
        for rows in rows_of(DOMAIN, table, pa.array(range(len(records))))
    }


def test_the_key_of_a_history_has_both_days() -> None:
    """Otherwise it has the columns of the table."""
    persons, history = tables_of(DOMAIN)[:2]
    assert history.name == "person_history"
    assert history.key == ("municipality", "code", "effective_on", "known_from")
    assert {*history.columns} == {*persons.columns, "known_from"}
    assert history.located == persons.located == ("address",)


def test_a_row_that_is_known_since_a_day_is_one_of_the_history_too() -> None:
    """Not if the day isn't given, or the row is deleted. A row of the history alone isn't one of the table."""
    records = (
        person(1),
        person(2, known_from=None),
        person(3, op="DELETE", person=None),
        person(4, entity="PERSON_HISTORY"),
        person(5, entity="PERSON_HISTORY", op="DELETE", person=None),
    )
    assert tables_and_revisions(*records) == {"person": [1, 2, 3], "person_history": [1, 4, 5]}
    assert faults_of(DOMAIN, events(*records)).to_pylist() == [None] * 5
    without_day = person(6, entity="PERSON_HISTORY", known_from=None)
    assert faults_of(DOMAIN, events(without_day)).to_pylist() == ["key-missing"]


@pytest.mark.parametrize("rejecting", ["person", "person_history"])
def test_a_row_that_one_of_the_tables_rejects_is_in_neither(rejecting: str) -> None:
    """It is a dead letter; other rows of the batch are written into both."""
    database = SimDatabase(VirtualTime())
    database.rejects = lambda row: (
        row.get("name") == "BAD" and ("known_from" in row) == (rejecting == "person_history")
    )
    access = StoreAccess(database, FaultlessHost(database.time))
    sink = PostgresSink(DOMAIN, access.connect, CODING, None, access.pause)
    sink.open([0])
    bad = person(1, code="b", person={"status": "active", "name": "BAD"})
    sink.put(sink_batch([person(1), bad]))
    sink.flush()
    assert len(sink.open_dead_letters) == 1
    for table in ("person", "person_history"):
        assert [row["code"] for row in database.table(table).values()] == ["a"], table
