"""An observer of a store's commits: no row may go back to an older revision, and nothing may be applied twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from connectors.postgres.outbox import add_receipt_ids, unpack_receipts
from connectors.postgres.table_definitions import tables_of
from schemas.systems import DOMAINS
from tests.simulation.postgres import SimDatabase
from tests.simulation.statements import RowId, joined_key

#: Tables of the sink's own bookkeeping.
_INTERNAL_TABLES = frozenset(
    {
        "sink_offset",
        "deleted_revision",
        "receipt_outbox",
        "dead_letter_outbox",
        "dlq_entry",
        "dlq_command_done",
        "withdrawal",
    }
)


class Watcher:
    """The observer of one domain's store. `findings` are sentences."""

    def __init__(self, domain: str, database: SimDatabase) -> None:
        self._domain, self._database = domain, database
        self._revisions: dict[RowId, int] = {}
        self.receipts: Counter[str] = Counter()
        self.findings: list[str] = []
        database.on_commit = self.on_commit

    def on_commit(self, changes: Mapping[RowId, Any]) -> None:
        """Check the changes of one commit."""
        for row_id, value in changes.items():
            if row_id[0] == "receipt_outbox":
                self._count_receipts(value)
            elif row_id[0] not in _INTERNAL_TABLES:
                self._check_revision(row_id, value, changes)
                self._check_address(value)

    def findings_at_end(self) -> list[str]:
        """Return all findings. After an offset reset, applying records twice is correct."""
        twice = [id_ for id_, number in self.receipts.items() if number > 1]
        if twice and not self._database.offset_was_reset:
            self.findings.append(f"{self._domain}: {len(twice)} records were applied twice")
        return self.findings

    def _check_revision(self, row_id: RowId, value: Any, changes: Mapping[RowId, Any]) -> None:
        before = self._revisions.get(row_id, 0)
        revision = before if value is None else value["revision"]
        if revision < before:
            self.findings.append(
                f"{self._domain}: a row of {row_id[0]} went back from {before} to {revision}"
            )
        deleted = self._deleted_revision(row_id, changes) if value is None else 0
        self._revisions[row_id] = max(before, revision, deleted)

    def _check_address(self, row: Any) -> None:
        """Check that a row which is written shows no address that was withdrawn before."""
        if row is not None and row.get("address") is not None:
            withdrawn = self._database.table("withdrawal").get(row["code"], 0)
            if row["revision"] <= withdrawn:
                self.findings.append(f"{self._domain}: a withdrawn address was written")

    def _deleted_revision(self, row_id: RowId, changes: Mapping[RowId, Any]) -> int:
        """Return the newest revision that deleted the row."""
        table = next(table for table in tables_of(DOMAINS[self._domain]) if table.name == row_id[0])
        key = dict(zip(table.key, row_id[1], strict=True))
        second_key = joined_key([key[name] for name in table.key_of_row])
        value = changes.get(("deleted_revision", (f"'{table.entity}'", key["code"], second_key)))
        return 0 if value is None else int(value)

    def _count_receipts(self, value: Any) -> None:
        if value is not None:
            self.receipts.update(add_receipt_ids(unpack_receipts(value[0])).column("id").to_pylist())
