"""Brings a batch into the tables: what can be, as one record after the other would; the rest is set aside."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import Connection

from connectors.postgres.dlq_table import RowOrdering, person_keys
from connectors.postgres.encoding import faults
from connectors.postgres.merge import RejectedRow
from connectors.sink import Record, SinkBatch
from schemas.systems import Domain

#: Merges the rows of the table but those of these numbers; which ones the database refuses.
Apply = Callable[[pa.Table, pa.Array], list[RejectedRow]]


@dataclass(frozen=True)
class PendingBatch:
    """What was put: a row for each record that could be decoded, `indices` (int64) whose rows they are.

    `bad` are rows that are no change of any table, by number; `lost` records that could not be decoded.
    """

    table: pa.Table
    indices: pa.Array
    records: Sequence[Record]
    bad: Mapping[int, str]
    lost: Sequence[RejectedRow]
    wanted: Mapping[int, int]
    strands: pa.Array


@dataclass(frozen=True)
class BatchResult:
    """Rows by number: `letters` were refused, `behind` wait for a letter; all others are applied."""

    letters: Mapping[int, str]
    behind: Collection[int]


def pending_batch(domain: Domain, batch: SinkBatch) -> PendingBatch:
    """A batch, looked through."""
    fault = faults(domain, batch.table)
    places = pc.indices_nonzero(pc.is_valid(fault)).to_pylist()
    bad = dict(zip(places, fault.drop_null().to_pylist(), strict=True))
    lost = [RejectedRow(each.index, each.reason) for each in batch.faults]
    indices, strands = pa.array(batch.record_indices, pa.int64()), person_keys(domain, batch.table)
    return PendingBatch(batch.table, indices, batch.records, bad, lost, dict(batch.next_offsets), strands)


def concat_batches(waiting: Sequence[PendingBatch]) -> PendingBatch:
    """All that was put, one after the other."""
    if len(waiting) == 1:
        return waiting[0]
    records: list[Record] = []
    lost: list[RejectedRow] = []
    indices: list[pa.Array] = []
    bad: dict[int, str] = {}
    wanted: dict[int, int] = {}
    rows = 0
    for each in waiting:
        base = len(records)
        indices.append(pc.add(each.indices, base))
        lost += [RejectedRow(refused.record + base, refused.reason) for refused in each.lost]
        bad |= {row + rows: reason for row, reason in each.bad.items()}
        records += each.records
        wanted |= each.wanted
        rows += each.table.num_rows
    table = pa.concat_tables([each.table for each in waiting])
    strands = pa.concat_arrays([each.strands for each in waiting])
    return PendingBatch(table, pa.concat_arrays(indices), records, bad, lost, wanted, strands)


def apply_batch(
    connection: Connection[Any], waiting: PendingBatch, held: Collection[str], apply: Apply
) -> BatchResult:
    """Applies what is neither bad nor behind something that is; `held` are strands of letters from before.

    What the database refuses is bad too. Then all is begun again without what waits behind it, but where nobody does.
    """
    order, bad = RowOrdering(waiting.strands, held), dict(waiting.bad)
    while True:
        letters, behind = order.split(bad)
        rows = _without(waiting.table, {*letters, *behind})
        try:
            refused = _attempted(connection, order, lambda rows=rows: apply(*rows))  # type: ignore[misc]
        except _AgainError as again:
            bad |= again.refused
        else:
            return BatchResult({**letters, **refused}, behind)


def _attempted(
    connection: Connection[Any], order: RowOrdering, apply: Callable[[], list[RejectedRow]]
) -> dict[int, str]:
    with connection.transaction():
        refused = {each.record: each.reason for each in apply()}
        if refused and not order.alone(refused):
            raise _AgainError(refused)
    return refused


def applied(waiting: PendingBatch, found: BatchResult) -> pa.Table:
    """The rows that were applied."""
    return _without(waiting.table, {*found.letters, *found.behind})[0]


class _AgainError(Exception):
    """What was applied isn't to be: others wait behind what was refused."""

    def __init__(self, refused: Mapping[int, str]) -> None:
        super().__init__()
        self.refused = refused


def _without(table: pa.Table, rows: Collection[int]) -> tuple[pa.Table, pa.Array]:
    numbers = pa.array(range(table.num_rows), pa.int64())
    if not rows:
        return table, numbers
    kept = pc.invert(pc.is_in(numbers, value_set=pa.array(sorted(rows), pa.int64())))
    return table.filter(kept), numbers.filter(kept)
