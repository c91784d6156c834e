"""The outboxes of a store: they hold receipts and dead letters until the relay has published them.

A batch's transaction inserts them. The receipts of a batch are one row (Arrow IPC), so they cost little compared with
the rows themselves. The id of a receipt is derived from its cause alone (code, entity, municipality or case, revision,
which a person has once in a domain): a receipt that is relayed twice has the same id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import Connection, sql

from schemas.systems import Domain
from streams.clients import ProducerRecords

#: Columns that a receipt has from its record; `applied_at` is the outbox row's.
_RECORD_COLUMNS: Final = ("code", "case_code", "entity", "revision", "effective_on")
#: Column of municipality or case while receipts are in the outbox.
_SECOND_KEY: Final = "second_key"
_IPC_OPTIONS: Final = pa.ipc.IpcWriteOptions(compression="zstd")


class Outbox:
    """The outboxes of one store."""

    def __init__(self, schema: str) -> None:
        self._insert_receipts = sql.SQL("INSERT INTO {} (receipts) VALUES (%b)").format(
            sql.Identifier(schema, "receipt_outbox")
        )
        self._copy_dead_letters = sql.SQL("COPY {} (key, value) FROM STDIN (FORMAT binary)").format(
            sql.Identifier(schema, "dead_letter_outbox")
        )

    def add_receipts(self, connection: Connection[Any], receipts: pa.Table) -> None:
        """Insert the receipts of one batch."""
        if receipts.num_rows:
            connection.execute(self._insert_receipts, [_pack(receipts)])

    def add_dead_letters(self, connection: Connection[Any], encoded: Sequence[ProducerRecords]) -> None:
        """Insert dead letters, encoded for their topic."""
        rows = [row for records in encoded for row in zip(records.keys, records.values, strict=True)]
        if not rows:
            return
        with connection.cursor() as cursor, cursor.copy(self._copy_dead_letters) as copy:
            copy.set_types(["bytea", "bytea"])
            for row in rows:
                copy.write_row(row)


def receipts_of(domain: Domain, table: pa.Table) -> pa.Table:
    """Return the receipts of applied records as the outbox stores them: without id and `applied_at`."""
    second_key = table.column("municipality") if domain.municipal else table.column("case_code")
    return pa.table({**{name: table.column(name) for name in _RECORD_COLUMNS}, _SECOND_KEY: second_key})


def add_receipt_ids(receipts: pa.Table) -> pa.Table:
    """Return receipts with the ids that are derived from their causes."""
    revision = receipts.column("revision").cast(pa.string())
    second_key = pc.fill_null(receipts.column(_SECOND_KEY), "")
    ids = pc.binary_join_element_wise(
        receipts.column("code"), receipts.column("entity"), second_key, revision, "."
    )
    return receipts.drop_columns([_SECOND_KEY]).append_column("id", ids)


def unpack_receipts(content: bytes) -> pa.Table:
    """Return the receipts of one outbox row."""
    with pa.ipc.open_stream(content) as reader:
        return reader.read_all()


def _pack(table: pa.Table) -> bytes:
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_stream(buffer, table.schema, options=_IPC_OPTIONS) as writer:
        writer.write_table(table)
    packed: bytes = buffer.getvalue().to_pybytes()
    return packed
