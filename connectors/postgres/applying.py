"""Application of a batch to the tables: like one record after the other, without invalid and blocked rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import Connection

from connectors.postgres.dlq_table import RowOrdering, person_keys
from connectors.postgres.merge import RejectedRow
from connectors.postgres.table_rows import KNOWN_FROM, faults_of
from connectors.sink import Record, SinkBatch
from schemas.systems import Domain

#: Merges rows of a batch, whose row indices (int64) the array has, and returns those that the database rejects.
ApplyRows = Callable[[pa.Table, pa.Array], list[RejectedRow]]


@dataclass(frozen=True)
class PendingBatch:
    """Records that were put and not flushed.

    `table` has a row for each record that could be decoded, `record_indices` (int64) the index of that record
    in `records`, `ordering_keys` (string) the row's ordering key. `invalid` has the rows that cannot be
    written to a table, by row index with their reasons; `undecodable` has the records that could not be
    decoded.
    """

    table: pa.Table
    record_indices: pa.Array
    records: Sequence[Record]
    invalid: Mapping[int, str]
    undecodable: Sequence[RejectedRow]
    next_offsets: Mapping[int, int]
    ordering_keys: pa.Array


@dataclass(frozen=True)
class BatchResult:
    """The rows that were not applied, by row index: dead letters with their reasons, and blocked rows."""

    dead_letters: Mapping[int, str]
    blocked: Collection[int]


def pending_batch(domain: Domain, batch: SinkBatch) -> PendingBatch:
    """Return the batch with its invalid rows and the ordering keys of all rows."""
    faults = faults_of(domain, batch.table)
    invalid_rows = pc.indices_nonzero(pc.is_valid(faults)).to_pylist()
    return PendingBatch(
        batch.table,
        pa.array(batch.record_indices, pa.int64()),
        batch.records,
        dict(zip(invalid_rows, faults.drop_null().to_pylist(), strict=True)),
        [RejectedRow(fault.index, fault.reason) for fault in batch.faults],
        dict(batch.next_offsets),
        person_keys(domain, batch.table),
    )


def concat_batches(batches: Sequence[PendingBatch]) -> PendingBatch:
    """Return all batches as one, in their order."""
    if len(batches) == 1:
        return batches[0]
    records: list[Record] = []
    undecodable: list[RejectedRow] = []
    record_indices: list[pa.Array] = []
    invalid: dict[int, str] = {}
    next_offsets: dict[int, int] = {}
    rows_before = 0
    for batch in batches:
        records_before = len(records)
        record_indices.append(pc.add(batch.record_indices, records_before))
        undecodable += [RejectedRow(r.index + records_before, r.reason) for r in batch.undecodable]
        invalid |= {row + rows_before: reason for row, reason in batch.invalid.items()}
        records += batch.records
        next_offsets |= batch.next_offsets
        rows_before += batch.table.num_rows
    return PendingBatch(
        pa.concat_tables([batch.table for batch in batches]),
        pa.concat_arrays(record_indices),
        records,
        invalid,
        undecodable,
        next_offsets,
        pa.concat_arrays([batch.ordering_keys for batch in batches]),
    )


def apply_batch(
    connection: Connection[Any], batch: PendingBatch, blocked_keys: Collection[str], apply: ApplyRows
) -> BatchResult:
    """Apply the rows that are valid and not blocked; `blocked_keys` are the keys that earlier dead letters block.

    A row that the database rejects becomes a dead letter. If another row of the batch has its ordering key, or it is a
    row of two tables, roll back to the savepoint and start over without that row and the later rows with its key.
    """
    ordering, invalid = RowOrdering(batch.ordering_keys, blocked_keys), dict(batch.invalid)
    while True:
        dead_letters, blocked = ordering.split(invalid)
        rows = _without(batch.table, {*dead_letters, *blocked})
        try:
            rejected = _apply_in_savepoint(
                connection,
                batch,
                ordering,
                lambda rows=rows: apply(*rows),  # type: ignore[misc]
            )
        except _StartOverError as error:
            invalid |= error.rejected
        else:
            return BatchResult({**dead_letters, **rejected}, blocked)


def applied_rows(batch: PendingBatch, result: BatchResult) -> pa.Table:
    """Return the rows that were applied."""
    return _without(batch.table, {*result.dead_letters, *result.blocked})[0]


def _apply_in_savepoint(
    connection: Connection[Any],
    batch: PendingBatch,
    ordering: RowOrdering,
    apply: Callable[[], list[RejectedRow]],
) -> dict[int, str]:
    """Apply rows and return the reasons of the rejected ones by row index.

    Raise _StartOverError, after a rollback to the savepoint, if other rows have their ordering keys, or if another
    table may have accepted them.
    """
    with connection.transaction():
        rejected = {row.index: row.reason for row in apply()}
        if rejected and not (ordering.have_unshared_keys(rejected) and _are_of_one_table(batch, rejected)):
            raise _StartOverError(rejected)
    return rejected


def _are_of_one_table(batch: PendingBatch, rows: Collection[int]) -> bool:
    """Return whether none of these rows is one of the history too."""
    if KNOWN_FROM not in batch.table.column_names:
        return True
    known_from = batch.table.column(KNOWN_FROM).take(pa.array(sorted(rows), pa.int64()))
    return bool(known_from.null_count == len(known_from))


class _StartOverError(Exception):
    """Rows were rejected whose ordering keys other rows share: apply the batch again without them."""

    def __init__(self, rejected: Mapping[int, str]) -> None:
        super().__init__()
        self.rejected = rejected


def _without(table: pa.Table, rows: Collection[int]) -> tuple[pa.Table, pa.Array]:
    """Return the table without these rows, and the indices (int64) of the remaining rows."""
    indices = pa.array(range(table.num_rows), pa.int64())
    if not rows:
        return table, indices
    remaining = pc.invert(pc.is_in(indices, value_set=pa.array(sorted(rows), pa.int64())))
    return table.filter(remaining), indices.filter(remaining)
