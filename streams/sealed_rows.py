"""Rows of a table as sealed records, and back.

The content of a box is a row as JSON, by the names of its fields: a field that a newer version of the schema adds may
be missing, and one that it no longer has is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final

import orjson
import pyarrow as pa

from schemas.catalogue import catalogue
from schemas.codec import Codec, Decoded, DecodeFailure
from schemas.systems.model import SEALED_RECORD
from schemas.tables import rows_from_table, table_from_rows
from streams.high_level import HighSealer
from streams.sealing import SealedError

#: Reasons why a box can't be read.
NOT_OPENED: Final = "sealed-otherwise"
NOT_READABLE: Final = "sealed-content"

Row = dict[str, Any]


def sealed_rows(sealer: HighSealer, context: str, table: pa.Table) -> list[str]:
    """Return a box for each row."""
    rows = (
        {name: value for name, value in row.items() if value is not None} for row in rows_from_table(table)
    )
    return [sealer.seal(orjson.dumps(row), context) for row in rows]


def sealed_table(sealer: HighSealer, topic: str, table: pa.Table) -> pa.Table:
    """Return a sealed record for each row; the topic is the context."""
    rows = [{"sealed": box} for box in sealed_rows(sealer, topic, table)]
    return table_from_rows(SEALED_RECORD, rows)


def sealed_keys(sealer: HighSealer, topic: str, keys: Iterable[str]) -> pa.Array:
    """Return a keyed digest for each key."""
    return pa.array([sealer.digest(key, topic) for key in keys], pa.string())


def opened_rows(sealer: HighSealer, context: str, schema: str, boxes: Sequence[str]) -> list[Row | str]:
    """Return for each box its row, with the fields of the newest version of the schema; or why it can't be read."""
    fields = catalogue().arrow_schema(schema)
    return [_opened(sealer, context, fields, box) for box in boxes]


def opened_table(
    sealer: HighSealer, context: str, schema: str, boxes: Sequence[str]
) -> tuple[pa.Table, list[int], dict[int, str]]:
    """Return the rows of the boxes that can be read with their indices, and the reasons for the others by index."""
    opened = opened_rows(sealer, context, schema, boxes)
    rows = {index: row for index, row in enumerate(opened) if not isinstance(row, str)}
    reasons = {index: reason for index, reason in enumerate(opened) if isinstance(reason, str)}
    return table_from_rows(schema, list(rows.values())), list(rows), reasons


def _opened(sealer: HighSealer, context: str, fields: pa.Schema, box: str) -> Row | str:
    try:
        return row_of_json(orjson.loads(sealer.open(box, context)), fields)
    except SealedError:
        return NOT_OPENED
    except (ValueError, TypeError, KeyError):
        return NOT_READABLE


def row_of_json(row: Mapping[str, Any], fields: Iterable[pa.Field], *, complete: bool = False) -> Row:
    """Return a row that was written as JSON, with those of these fields that it has.

    If `complete`, a field that wasn't there when it was written is null, or an empty list.
    """
    return {
        field.name: _value(row.get(field.name), field.type, complete)
        for field in fields
        if complete or field.name in row
    }


def _value(value: Any, type_: pa.DataType, complete: bool) -> Any:
    """Return a value of JSON as one of this type: days are text there."""
    if value is None:
        return [] if complete and pa.types.is_list(type_) else None
    if pa.types.is_date32(type_):
        return date.fromisoformat(value)
    if pa.types.is_struct(type_):
        return row_of_json(value, type_, complete=complete)
    if pa.types.is_list(type_):
        return [_value(each, type_.value_type, complete) for each in value]
    return value


class OpeningCodec(Codec):
    """A codec that opens the sealed records of one topic: to its caller they are records of `schema`."""

    def __init__(self, codec: Codec, sealer: HighSealer, topic: str, schema: str) -> None:
        super().__init__(codec.catalogue, codec.ids)
        self._sealer, self._topic, self._schema = sealer, topic, schema

    def decode(self, name: str, values: pa.BinaryArray | Sequence[bytes | None]) -> Decoded:
        """Return the values as rows, as any codec does; a box that can't be opened is a failure."""
        if name != self._schema:
            return super().decode(name, values)
        decoded = super().decode(SEALED_RECORD, values)
        boxes, indices = decoded.table.column("sealed").to_pylist(), decoded.row_indices.to_pylist()
        table, opened, reasons = opened_table(self._sealer, self._topic, name, boxes)
        failures = [DecodeFailure(indices[row], reason) for row, reason in reasons.items()]
        return Decoded(
            table,
            pa.array([indices[row] for row in opened], pa.int64()),
            tuple(sorted((*decoded.failures, *failures), key=lambda each: each.index)),
            decoded.tombstones,
        )
