"""Rows of a domain's tables from a batch of its records: flat columns, and the newest revision of each key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from connectors.postgres.table_definitions import Table, tables_of
from schemas.systems import Domain

#: Columns of the rows that no table has: a declared column can't have these names.
OP: Final = "op"
ROW_INDEX: Final = "row index"
#: Column of a record by which it is a row of the history too.
KNOWN_FROM: Final = "known_from"
UPSERT: Final = "UPSERT"
DELETE: Final = "DELETE"


@dataclass(frozen=True)
class TableRows:
    """Rows for one table: `op`, the table's columns, and `row_index`, the index of the row in its batch."""

    table: Table
    data: pa.Table

    def __len__(self) -> int:
        return int(self.data.num_rows)

    @property
    def has_deletes(self) -> bool:
        """Whether any row is a deletion."""
        return bool(pc.any(pc.equal(self.data.column(OP), DELETE)).as_py())

    @property
    def row_indices(self) -> list[int]:
        """Indices of the rows in their batch."""
        indices: list[int] = self.data.column(ROW_INDEX).to_pylist()
        return indices

    def halves(self) -> tuple[TableRows, TableRows]:
        """Return two parts of about the same size."""
        half = len(self) // 2
        return self.slice(0, half), self.slice(half, len(self))

    def slice(self, start: int, stop: int) -> TableRows:
        """Return the rows from `start` up to, not including, `stop`."""
        return TableRows(self.table, self.data.slice(start, stop - start))

    def concat(self, parts: Sequence[TableRows]) -> TableRows:
        """Return parts of these rows, concatenated."""
        return TableRows(
            self.table, pa.concat_tables([self.data.slice(0, 0), *(part.data for part in parts)])
        )

    @property
    def has_line_breaks(self) -> bool:
        """Whether any text has a line break."""
        texts = [column for column in self.data.columns if pa.types.is_string(column.type)]
        return any(pc.any(pc.match_substring_regex(text, "[\r\n]")).as_py() for text in texts)

    def split_newest(self) -> tuple[TableRows, TableRows]:
        """Return the newest revision of each key, and all other rows.

        A merge only replaces an older revision, so merging the newest alone has the same result as merging all.
        """
        keyed = self.data.select([*self.table.key, "revision"])
        if keyed.group_by(list(self.table.key), use_threads=False).aggregate([]).num_rows == len(self):
            return self, TableRows(self.table, self.data.slice(0, 0))
        order = pc.sort_indices(keyed, sort_keys=[(name, "ascending") for name in keyed.column_names])
        is_newest = _differs_from_next(keyed.select(self.table.key).take(order))
        return (
            TableRows(self.table, self.data.take(order.filter(is_newest))),
            TableRows(self.table, self.data.take(order.filter(pc.invert(is_newest)))),
        )


def faults_of(domain: Domain, table: pa.Table) -> pa.ChunkedArray:
    """Return the reason (string) why each record cannot be written to a table; null if it can."""
    tables = tables_of(domain)
    known_entity = pc.is_in(table.column("entity"), value_set=pa.array([t.entity for t in tables]))
    fault = pc.if_else(known_entity, pa.scalar(None, pa.string()), "entity-unknown")
    known_op = pc.is_in(table.column("op"), value_set=pa.array([UPSERT, DELETE]))
    fault = pc.coalesce(fault, pc.if_else(known_op, pa.scalar(None, pa.string()), "op-unknown"))
    for target in tables:
        of_entity = pc.equal(table.column("entity"), target.entity)
        upsert = pc.equal(table.column("op"), UPSERT)
        missing = pc.and_(pc.and_(of_entity, upsert), pc.is_null(table.column(target.struct)))
        fault = pc.coalesce(fault, pc.if_else(missing, "content-missing", pa.scalar(None, pa.string())))
        for name in target.key_of_row:
            no_key = pc.and_(of_entity, pc.is_null(_column(target, table, name)))
            fault = pc.coalesce(fault, pc.if_else(no_key, "key-missing", pa.scalar(None, pa.string())))
    return fault


def rows_of(domain: Domain, table: pa.Table, row_indices: pa.Array) -> Iterator[TableRows]:
    """Yield the rows of each table from records without fault, which have these indices (int64) in their batch."""
    for target in tables_of(domain):
        mask = _is_row_of(target, table)
        of_entity = table.filter(mask)
        if of_entity.num_rows:
            yield TableRows(target, _flatten(target, of_entity, row_indices.filter(mask.combine_chunks())))


def _is_row_of(target: Table, table: pa.Table) -> pa.ChunkedArray:
    """Return whether each record is a row of a table."""
    entities = table.column("entity")
    is_row = pc.equal(entities, target.entity)
    if not target.also:
        return is_row
    is_known = pc.and_(pc.equal(table.column("op"), UPSERT), pc.is_valid(table.column(KNOWN_FROM)))
    return pc.or_(is_row, pc.and_(pc.equal(entities, target.also), is_known))


def _flatten(target: Table, table: pa.Table, row_indices: pa.Array) -> pa.Table:
    columns = {name: _column(target, table, name) for name in target.columns}
    return pa.table({OP: table.column("op"), **columns, ROW_INDEX: row_indices})


def _column(target: Table, table: pa.Table, name: str) -> pa.ChunkedArray:
    """Return a column of a table: from its struct if that has such a field, otherwise from the record itself."""
    structs = table.column(target.struct)
    if structs.type.get_field_index(name) < 0:
        return table.column(name)
    values = pc.struct_field(structs, name)
    # The case of a message; a deletion has no message, and its case only in the record.
    return pc.coalesce(values, table.column(name)) if name == "case_code" else values


def _differs_from_next(rows: pa.Table) -> pa.Array:
    """Return whether each row differs from the row after it in any column; the last one does."""
    differs = pa.repeat(False, rows.num_rows - 1)
    for column in rows.columns:
        values = column.combine_chunks()
        differs = pc.or_(differs, pc.not_equal(values.slice(1), values.slice(0, len(values) - 1)))
    return pa.concat_arrays([differs, pa.array([True])])
