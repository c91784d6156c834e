"""The tables of declared readings: columns and keys from the declaration, and their rows in a batch."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pyarrow as pa
import pytest

from connectors.postgres.merge import second_key
from connectors.postgres.outbox import add_receipt_ids, receipts_of
from connectors.postgres.table_definitions import Table, tables_of
from connectors.postgres.table_rows import TableRows, faults_of, rows_of
from schemas.declare import text
from schemas.systems import DOMAINS
from schemas.systems.model import Domain
from schemas.tables import table_from_rows
from tests.unit.connectors.declared import DAY, DOMAIN, LEVY, NATIONAL, Row, deleted, events, levy


def table_named(domain: Domain, name: str) -> Table:
    """Return a table of a domain's store."""
    return next(table for table in tables_of(domain) if table.name == name)


def rows(*records: Row) -> TableRows:
    """Return the rows of levies in a batch."""
    table = events(*records)
    (of_table,) = rows_of(DOMAIN, table, pa.array(range(len(records))))
    return of_table


def test_a_reading_has_a_table() -> None:
    """Its name is the reading's, its key that of the entity within the person."""
    table = table_named(NATIONAL, "pass")
    assert table.key == ("code", "serial")
    assert table.content == ("status", "kind", "until")
    assert [table.type_of(name) for name in table.columns] == [*["text"] * 4, "date", "date", "bigint"]
    assert [name for name in table.columns if not table.is_required(name)] == ["kind", "until"]
    assert (table.entity, table.struct, table.located) == ("pass", "pass", ())


def test_the_key_of_a_municipal_domain_has_the_municipality() -> None:
    """The types are those of the declaration; a column that points to a place can be withdrawn."""
    table = table_named(DOMAIN, "levy")
    assert table.key == ("municipality", "code", "user", "day")
    assert table.content == ("status", "order", "select", "place")
    assert (table.type_of("day"), table.type_of("order"), table.type_of("user")) == ("date", "bigint", "text")
    assert table.located == ("place",)


def test_a_text_column_is_text_whatever_its_name() -> None:
    """Today's tables have a birth date of type date; a reading declares its own types."""
    entity = replace(LEVY.entity, fields=(*LEVY.entity.fields, text("birth_date", "生年", 40).optional()))
    domain = replace(DOMAIN, reads=(replace(LEVY, entity=entity, columns=("birth_date",)),))
    assert table_named(domain, "levy").type_of("birth_date") == "text"
    assert table_named(domain, "person").type_of("birth_date") == "date"


@pytest.mark.parametrize(
    ("domain", "name", "expected"),
    [
        (NATIONAL, "person", "''"),
        (NATIONAL, "pass", '"s"."serial"'),
        (DOMAIN, "person", '"s"."municipality"'),
        (DOMAINS["portal"], "notice", '"s"."case_code"'),
        (DOMAIN, "levy", 'json_build_array("s"."municipality", "s"."user", "s"."day")::text'),
    ],
)
def test_a_deleted_row_is_named_by_its_key_within_the_person(
    domain: Domain, name: str, expected: str
) -> None:
    """Of one text by itself, of several columns without a separator that a value could contain."""
    assert second_key(table_named(domain, name), "s").as_string() == expected


def test_a_row_without_content_or_key_is_a_fault() -> None:
    """Nothing but the key is needed to delete a row. An entity of no table is a fault whatever its name."""
    table = events(
        levy("a", 1),
        deleted("a", 2),
        levy("a", 3, levy=None),
        deleted("a", 4, levy=None),
        levy("a", 5, None),
        deleted("a", 6, day=None),
        levy("a", 7, municipality=None),
        levy("a", 8, op="UNKNOWN"),
        levy("a", 9, entity="card"),
        levy("a", 10, entity="LEVY"),
        levy("a", 11, entity=""),
    )
    assert faults_of(DOMAIN, table).to_pylist() == [
        None, None, "content-missing", *["key-missing"] * 4, "op-unknown", *["entity-unknown"] * 3
    ]  # fmt: skip


def test_the_newest_revision_of_each_key_is_merged() -> None:
    """Keys are compared column by column, whatever their types and whatever characters they have."""
    newest, older = rows(
        levy("a", 1, "x\x1fy"),
        levy("a", 4, "x"),
        levy("a\x1fx", 2, "y"),
        deleted("a", 3, "x"),
        levy("a", 5, "x", day=date(2027, 1, 1)),
        levy("a", 6, "x", municipality="141097"),
    ).split_newest()
    assert sorted(newest.row_indices) == [0, 1, 2, 4, 5]
    assert older.row_indices == [3]


def test_rows_have_the_columns_of_their_table() -> None:
    """A deleted row has its key and nothing else."""
    data = rows(levy("a", 1), deleted("a", 2)).data
    first, second = data.to_pylist()
    assert data.column_names == ["op", *table_named(DOMAIN, "levy").columns, "row index"]
    assert (first["user"], first["day"], first["order"], first["place"]) == ("A", DAY, 1200, "新宿区")
    assert (second["user"], second["day"], second["order"], second["place"]) == ("A", DAY, None, None)


def test_receipts_of_two_tables_have_different_ids() -> None:
    """A person's revision is unique in a domain, and the id has the entity too."""
    head = {"code": "a", "op": "DELETE", "effective_on": DAY}
    records = [{**head, "entity": entity, "revision": n} for entity in ("PERSON", "card") for n in (1, 2)]
    table = table_from_rows("domain-card", records)
    ids = add_receipt_ids(receipts_of(DOMAINS["card"], table)).column("id").to_pylist()
    assert ids == ["a.PERSON..1", "a.PERSON..2", "a.card..1", "a.card..2"]
