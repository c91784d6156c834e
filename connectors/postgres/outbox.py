"""What a sink has to tell the mesh, kept in the store's own transaction until the relay has sent it.

Receipts are one row a batch (Arrow IPC), so that they cost little beside the rows themselves. The id of a receipt comes
of its cause alone (code, entity, the second column of its key, revision): relayed twice, it is the same receipt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import Connection, sql

from schemas.systems import Domain
from streams.clients import ProducerRecords

#: Columns of a receipt that are known when its batch is; `applied_at` is the row's.
_COPIED: Final = ("code", "case_code", "entity", "revision", "effective_on")
_OPTIONS: Final = pa.ipc.IpcWriteOptions(compression="zstd")


class Outbox:
    """The outboxes of one store."""

    def __init__(self, schema: str) -> None:
        self._receipts = sql.SQL("INSERT INTO {} (receipts) VALUES (%b)").format(
            sql.Identifier(schema, "receipt_outbox")
        )
        self._letters = sql.SQL("COPY {} (key, value) FROM STDIN (FORMAT binary)").format(
            sql.Identifier(schema, "dead_letter_outbox")
        )

    def add_receipts(self, connection: Connection[Any], receipts: pa.Table) -> None:
        """Receipts of one batch."""
        if receipts.num_rows:
            connection.execute(self._receipts, [_packed(receipts)])

    def add_letters(self, connection: Connection[Any], letters: Sequence[ProducerRecords]) -> None:
        """Dead letters, encoded for their topic."""
        rows = [row for out in letters for row in zip(out.keys, out.values, strict=True)]
        if not rows:
            return
        with connection.cursor() as cursor, cursor.copy(self._letters) as copy:
            copy.set_types(["bytea", "bytea"])
            for row in rows:
                copy.write_row(row)


def receipts_of(domain: Domain, table: pa.Table) -> pa.Table:
    """Receipts of records that were applied, as the outbox keeps them: without id and moment."""
    part = table.column("municipality") if domain.municipal else table.column("case_code")
    return pa.table({**{name: table.column(name) for name in _COPIED}, "part": part})


def with_ids(receipts: pa.Table) -> pa.Table:
    """The receipts with the ids that come of their causes."""
    revision = receipts.column("revision").cast(pa.string())
    part = pc.fill_null(receipts.column("part"), "")
    ids = pc.binary_join_element_wise(receipts.column("code"), receipts.column("entity"), part, revision, ".")
    return receipts.drop_columns(["part"]).append_column("id", ids)


def unpacked(content: bytes) -> pa.Table:
    """The receipts of one row of the outbox."""
    with pa.ipc.open_stream(content) as reader:
        return reader.read_all()


def _packed(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_OPTIONS) as writer:
        writer.write_table(table)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed
