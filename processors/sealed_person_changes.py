"""Sealed records of `person.change`: everything but the time of receipt is in a box, the person too.

The key is a keyed digest of the person. The record is in the partition of the person's code, like all others about the
person.
"""

from __future__ import annotations

from datetime import date
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import constant, contiguous, struct_from_columns, table_from_columns
from schemas.tables import table_from_rows
from schemas.topics import PERSON_CHANGE
from streams.contract import Output
from streams.high_level import HighSealer, required
from streams.sealed_rows import opened_rows, sealed_keys, sealed_rows

SCHEMA: Final = "person-change"
#: Kind of every sealed record: what it is, is in the box.
SEALED_KIND: Final = "EVENT"
_NO_DAY: Final = date(1970, 1, 1)


def sealed_person_changes(
    changes: pa.Table, sealer: HighSealer | None, partition: int | None = None
) -> Output:
    """Return records of `person.change`, sealed; in the partitions of their persons, or all in the given one."""
    sealer, count = required(sealer), changes.num_rows
    persons = contiguous(changes.column("person"))
    keys = sealed_keys(sealer, PERSON_CHANGE, persons.to_pylist())
    origin = {
        "topic": constant("", count),
        "partition": constant(0, count, pa.int32()),
        "offset": constant(0, count, pa.int64()),
    }
    fields = {
        "person": keys,
        "kind": constant(SEALED_KIND, count),
        "seq": constant(0, count, pa.int64()),
        "effective_on": constant(_NO_DAY, count, pa.date32()),
        "received_at": contiguous(changes.column("received_at")),
        "origin": struct_from_columns(origin, changes.schema.field("origin").type),
        "sealed": pa.array(sealed_rows(sealer, PERSON_CHANGE, changes), pa.string()),
    }
    table = table_from_columns(SCHEMA, fields)
    if partition is not None:
        return Output(PERSON_CHANGE, SCHEMA, table, keys, partition=partition)
    return Output(PERSON_CHANGE, SCHEMA, table, keys, partition_key=persons)


def opened_person_changes(
    changes: pa.Table, sealer: HighSealer | None
) -> tuple[pa.Table, frozenset[int], dict[int, str]]:
    """Return the records with the content of the sealed ones in place of these.

    Also return the rows that were sealed, and the reasons why rows can't be opened.
    """
    column = contiguous(changes.column("sealed"))
    if column.null_count == len(column):
        return changes, frozenset(), {}
    sealed = pc.indices_nonzero(column.is_valid()).to_pylist()
    opened = opened_rows(required(sealer), PERSON_CHANGE, SCHEMA, column.drop_null().to_pylist())
    reasons = {row: each for row, each in zip(sealed, opened, strict=True) if isinstance(each, str)}
    contents = {row: each for row, each in zip(sealed, opened, strict=True) if not isinstance(each, str)}
    indices = list(range(len(column)))
    for position, row in enumerate(contents):
        indices[row] = len(column) + position
    both = pa.concat_tables([changes, table_from_rows(SCHEMA, list(contents.values()))])
    return both.take(pa.array(indices, pa.int64())), frozenset(contents), reasons
