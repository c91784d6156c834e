"""The records that the household step publishes for a batch: columns of the notices, repeated once per person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import (
    arrow_schema,
    case_keys,
    struct_from_columns,
    table_from_columns,
    take_rows,
)
from processors.household.decide import Accepted
from processors.household.pending_notices import facts_of
from processors.rejections import RejectionCode, Rejections
from schemas.reasons import Reason
from schemas.tables import rows_from_table
from schemas.topics import CASE_OPENED, PERSON_CHANGE
from streams.contract import Output

#: Fields that a change of a person copies from its notice.
NOTICE_FIELDS: Final = (
    "municipality",
    "reason",
    "effective_on",
    "moved_from",
    "moved_to",
    "cancels",
    "received_at",
    "origin",
)
_REJECTION_FIELDS: Final = ("municipality", "notice", "resubmitted", "origin", "received_at")


class HouseholdOutputs:
    """The outputs for a batch, in the order of its notices; `table` has the notices."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._accepted: list[tuple[int, int]] = []
        self._changes: list[tuple[int, int, str, int | None]] = []
        self._rejected: list[tuple[int, RejectionCode]] = []

    @property
    def changes(self) -> int:
        """Number of changes of persons so far."""
        return len(self._changes)

    def add(self, row: int, decision: Accepted | RejectionCode) -> None:
        """Add what follows from the decision on the notice in this row."""
        if isinstance(decision, RejectionCode):
            self._rejected.append((row, decision))
            return
        self._accepted.append((row, len(decision.persons)))
        self._changes += [(row, decision.seq, person, facts.facts_row) for person, facts in decision.persons]

    def outputs(self) -> list[Output]:
        """Return one output per topic, omitting topics without records."""
        return [*self._person_changes(), *self._cases_opened(), *self._rejections()]

    def _person_changes(self) -> Iterator[Output]:
        if not self._changes:
            return
        rows, seqs, persons, facts_rows = zip(*self._changes, strict=True)
        of_notice = take_rows(self._table, rows, NOTICE_FIELDS)
        cancelled = pc.equal(of_notice["reason"], Reason.CANCELLED.value)
        person = pa.array(persons, pa.string())
        fields = {
            **of_notice,
            "person": person,
            "kind": pc.if_else(cancelled, "CANCELLATION", "NOTICE"),
            "case": self._case("person-change", rows),
            "seq": pa.array(seqs, pa.int64()),
            "facts": facts_of(self._table).take(pa.array(facts_rows, pa.int64())),
        }
        yield Output(PERSON_CHANGE, "person-change", table_from_columns("person-change", fields), person)

    def _cases_opened(self) -> Iterator[Output]:
        if not self._accepted:
            return
        rows, counts = zip(*self._accepted, strict=True)
        case = self._case("case-opened", rows)
        fields = {
            **take_rows(self._table, rows, ["reason", "effective_on", "received_at"]),
            "case": case,
            "persons": pa.array(counts, pa.int32()),
        }
        yield Output(CASE_OPENED, "case-opened", table_from_columns("case-opened", fields), case_keys(case))

    def _rejections(self) -> Iterator[Output]:
        rejections = Rejections()
        indices = pa.array([row for row, _ in self._rejected], pa.int64())
        notices = rows_from_table(self._table.select(_REJECTION_FIELDS).take(indices))
        for notice, (_, code) in zip(notices, self._rejected, strict=True):
            rejections.add(notice, code)
        yield from rejections.outputs()

    def _case(self, schema: str, rows: tuple[int, ...]) -> pa.StructArray:
        type_ = arrow_schema(schema).field("case").type
        return struct_from_columns(take_rows(self._table, rows, ["municipality", "notice"]), type_)
