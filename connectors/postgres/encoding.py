"""A batch of a domain's records as rows of its tables: flat columns, and only the newest revision of each key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from connectors.postgres.table_definitions import Table, tables_of
from schemas.systems import Domain

#: Columns of the staged rows that no table has.
OP: Final = "op"
RECORD: Final = "record"
UPSERT: Final = "UPSERT"
DELETE: Final = "DELETE"


@dataclass(frozen=True)
class Rows:
    """Rows for one table: `op`, the table's columns, and `record`, the index of the record that each came of."""

    table: Table
    data: pa.Table

    def __len__(self) -> int:
        return int(self.data.num_rows)

    @property
    def has_deletes(self) -> bool:
        """Whether any row is to be deleted."""
        return bool(pc.any(pc.equal(self.data.column(OP), DELETE)).as_py())

    @property
    def records(self) -> list[int]:
        """Indices of the records."""
        found: list[int] = self.data.column(RECORD).to_pylist()
        return found

    def keys(self) -> pa.ChunkedArray:
        """The key of each row as one text."""
        return pc.binary_join_element_wise(*(self.data.column(name) for name in self.table.key), "\x1f")

    def halves(self) -> tuple[Rows, Rows]:
        """Two parts of about the same size."""
        half = len(self) // 2
        return self.slice(0, half), self.slice(half, len(self))

    def slice(self, start: int, stop: int) -> Rows:
        """The rows from `start` up to, not including, `stop`."""
        return Rows(self.table, self.data.slice(start, stop - start))

    def joined(self, parts: Sequence[Rows]) -> Rows:
        """Parts of these rows, one after the other."""
        return Rows(self.table, pa.concat_tables([self.data.slice(0, 0), *(part.data for part in parts)]))

    @property
    def has_line_breaks(self) -> bool:
        """Whether any text has one."""
        texts = [column for column in self.data.columns if pa.types.is_string(column.type)]
        return any(pc.any(pc.match_substring_regex(text, "[\r\n]")).as_py() for text in texts)

    def newest(self) -> tuple[Rows, Rows]:
        """The newest revision of each key, and all other rows.

        Applied one after the other, only a newer revision counts; so the newest alone decides what they come to.
        """
        keys = self.keys()
        if pc.count_distinct(keys).as_py() == len(self):
            return self, Rows(self.table, self.data.slice(0, 0))
        keyed = pa.table({"key": keys, "revision": self.data.column("revision")})
        order = pc.sort_indices(keyed, sort_keys=[("key", "ascending"), ("revision", "ascending")])
        along = keys.take(order).combine_chunks()
        changes = pc.not_equal(along.slice(1), along.slice(0, len(along) - 1))
        last = pa.concat_arrays([changes, pa.array([True])])
        return (
            Rows(self.table, self.data.take(order.filter(last))),
            Rows(self.table, self.data.take(order.filter(pc.invert(last)))),
        )


def faults(domain: Domain, table: pa.Table) -> pa.ChunkedArray:
    """Why a record is no change of any table (string); null where it is one."""
    tables = tables_of(domain)
    known = pc.is_in(table.column("entity"), value_set=pa.array([each.entity for each in tables]))
    fault = pc.if_else(known, pa.scalar(None, pa.string()), "entity-unknown")
    op = pc.is_in(table.column("op"), value_set=pa.array([UPSERT, DELETE]))
    fault = pc.coalesce(fault, pc.if_else(op, pa.scalar(None, pa.string()), "op-unknown"))
    for each in tables:
        of_entity = pc.equal(table.column("entity"), each.entity)
        upsert = pc.equal(table.column("op"), UPSERT)
        missing = pc.and_(pc.and_(of_entity, upsert), pc.is_null(table.column(each.struct)))
        fault = pc.coalesce(fault, pc.if_else(missing, "content-missing", pa.scalar(None, pa.string())))
        if each.part:
            partless = pc.and_(of_entity, pc.is_null(_part(each, table)))
            fault = pc.coalesce(fault, pc.if_else(partless, "key-missing", pa.scalar(None, pa.string())))
    return fault


def rows_of(domain: Domain, table: pa.Table, records: pa.Array) -> Iterator[Rows]:
    """Rows of records without fault, by table; `records` are the indices of the records."""
    entities = table.column("entity")
    for each in tables_of(domain):
        mask = pc.equal(entities, each.entity)
        found = table.filter(mask)
        if found.num_rows:
            yield Rows(each, _flat(each, found, records.filter(mask.combine_chunks())))


def _flat(each: Table, table: pa.Table, records: pa.Array) -> pa.Table:
    struct = table.column(each.struct).combine_chunks()
    content = dict(zip((field.name for field in struct.type), struct.flatten(), strict=True))
    columns = {OP: table.column("op")}
    for name in each.columns:
        if name == each.part:
            columns[name] = _part(each, table)
        else:
            columns[name] = content[name] if name in each.content else table.column(name)
    return pa.table(columns | {RECORD: records})


def _part(each: Table, table: pa.Table) -> pa.ChunkedArray:
    """The second column of the key; a message's own case is the same as the record's."""
    if each.part == "case_code" and each.struct in table.column_names:
        inner = table.column(each.struct).combine_chunks()
        told = inner.flatten()[inner.type.get_field_index("case_code")]
        return pc.coalesce(pa.chunked_array([told]), table.column("case_code"))
    return table.column(each.part)
