"""What goes out for a batch of notices: their own columns, taken as often as they concern somebody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import arrow_schema, joined, shaped, struct, taken
from processors.household.decide import Accepted
from processors.household.pending_notices import facts_of
from processors.rejections import RejectionCode, Rejections
from schemas.reasons import Reason
from schemas.tables import rows_from_table
from schemas.topics import CASE_OPENED, PERSON_CHANGE
from streams.contract import Output

#: As a change of a person has them from its notice.
TAKEN: Final = (
    "municipality",
    "reason",
    "effective_on",
    "moved_from",
    "moved_to",
    "cancels",
    "received_at",
    "origin",
)
_REFUSED: Final = ("municipality", "notice", "resubmitted", "origin", "received_at")


class HouseholdOutputs:
    """The records of a batch, in the order of its notices; `table` has these."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._accepted: list[tuple[int, int]] = []
        self._changes: list[tuple[int, int, str, int | None]] = []
        self._refused: list[tuple[int, RejectionCode]] = []

    def add(self, row: int, decided: Accepted | RejectionCode) -> None:
        """What follows from the notice in this row."""
        if isinstance(decided, RejectionCode):
            self._refused.append((row, decided))
            return
        self._accepted.append((row, len(decided.persons)))
        self._changes += [(row, decided.seq, person, facts.place) for person, facts in decided.persons]

    def outputs(self) -> list[Output]:
        """One for each topic that has records."""
        return [*self._person_changes(), *self._cases_opened(), *self._rejections()]

    def _person_changes(self) -> Iterator[Output]:
        if not self._changes:
            return
        rows, seqs, persons, places = zip(*self._changes, strict=True)
        of_notice = taken(self._table, rows, TAKEN)
        cancelled = pc.equal(of_notice["reason"], Reason.CANCELLED.value)
        person = pa.array(persons, pa.string())
        fields = {
            **of_notice,
            "person": person,
            "kind": pc.if_else(cancelled, "CANCELLATION", "NOTICE"),
            "case": self._case("person-change", rows),
            "seq": pa.array(seqs, pa.int64()),
            "facts": facts_of(self._table).take(pa.array(places, pa.int64())),
        }
        yield Output(PERSON_CHANGE, "person-change", shaped("person-change", fields), person)

    def _cases_opened(self) -> Iterator[Output]:
        if not self._accepted:
            return
        rows, counts = zip(*self._accepted, strict=True)
        case = self._case("case-opened", rows)
        fields = {
            **taken(self._table, rows, ["reason", "effective_on", "received_at"]),
            "case": case,
            "persons": pa.array(counts, pa.int32()),
        }
        yield Output(CASE_OPENED, "case-opened", shaped("case-opened", fields), joined(case))

    def _rejections(self) -> Iterator[Output]:
        rejected = Rejections()
        rows = self._table.select(_REFUSED).take(pa.array([row for row, _ in self._refused], pa.int64()))
        for row, (_, refusal) in zip(rows_from_table(rows), self._refused, strict=True):
            rejected.add(row, refusal)
        yield from rejected.outputs()

    def _case(self, schema: str, rows: tuple[int, ...]) -> pa.StructArray:
        type_ = arrow_schema(schema).field("case").type
        return struct(taken(self._table, rows, ["municipality", "notice"]), type_)
