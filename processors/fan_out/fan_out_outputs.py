"""The records that fan-out publishes: changes for the domains, dispatched cases, conflicts, and rejections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from itertools import accumulate, chain
from typing import Any, Final, NamedTuple

import pyarrow as pa

from processors.columns import (
    arrow_schema,
    case_keys,
    constant,
    contiguous,
    output_from_rows,
    structs_from_tuples,
    table_from_columns,
    take_rows,
)
from processors.fan_out import conflicts
from processors.fan_out.differences import PERSON_HISTORY, Difference, differences
from processors.fan_out.domain_change import DispatchedChange, DomainChange, row_after
from processors.fan_out.entries import PersonChange
from processors.fan_out.history import Account, Facts, PersonNotice, received_at
from processors.fan_out.messages import ResidentMessage, text_of
from processors.fan_out.person import PersonAggregate
from processors.fan_out.person_entities import EntityDifferences
from processors.fan_out.person_state import PersonState
from processors.fan_out.protections import protection_record
from processors.fan_out.row_history import AppliedToRows, HistoryDifference, HistoryOfRecord
from processors.rejections import RejectionCode, Rejections
from processors.sealed_outputs import sealed_output
from processors.sealed_person_changes import sealed_person_changes
from schemas.systems import DOMAINS
from schemas.tables import rows_from_table, table_from_rows
from schemas.topics import CASE_DISPATCHED, CONFLICT, PERSON_CHANGE, PROTECTION, change_topic, conflict_topic
from streams.contract import Output
from streams.high_level import HighSealer

Record = dict[str, Any]

#: Fields of a domain change that are those of its record.
_OWN_FIELDS: Final = (
    "person", "entity", "op", "revision", "municipality", "effective_on", "status", "known_from"
)  # fmt: skip
#: Fields that a domain change copies from the `person.change` record that caused it.
_COPIED_FIELDS: Final = ("case", "reason", "received_at")
_CAUSE_FIELDS: Final = (*_COPIED_FIELDS, "person")
_REJECTION_FIELDS: Final = ("municipality", "event", "origin", "received_at")


#: Row of the record that caused it, kind, person ("" for none) and day.
ClockRecord = tuple[int, str, str, date]


class Dispatched(NamedTuple):
    """A person's changes of the case of the record in `row`; the day for which rows wait, or waited until now."""

    row: int
    changes: list[DispatchedChange]
    waits: bool = False
    waiting_until: date | None = None


class FanOutOutputs:
    """The outputs for a batch, in the order of its records; `table` has the records.

    `sealer` seals what is published of the high level.
    """

    def __init__(self, table: pa.Table, sealer: HighSealer | None = None) -> None:
        self._table, self._sealer = table, sealer
        #: Records that were received before and take effect now, with the fields `_CAUSE_FIELDS`.
        self._earlier: list[Record] = []
        self.changes: dict[str, list[DomainChange]] = {}
        self.dispatched: list[Dispatched] = []
        self.conflicts: list[Record] = []
        self.protections: list[Record] = []
        self.high_conflicts: list[Record] = []
        self.clock_records: list[ClockRecord] = []
        self.high_clock_records: list[ClockRecord] = []
        self.rejected: list[tuple[int, RejectionCode]] = []

    def add(
        self,
        row: int,
        change: PersonChange,
        person: PersonAggregate,
        before: PersonState,
        applied: AppliedToRows | None,
    ) -> None:
        """Add what follows from the record in this row.

        `before` is the person's state before the record. `applied` is None if the record is a repetition: it is
        rejected as a duplicate and has no other effect.
        """
        dispatched = []
        if applied is None:
            self.rejected.append((row, RejectionCode.DUPLICATE))
        else:
            code, history = change.person, HistoryOfRecord(applied, change.effective_on)
            dispatched = [
                self._add_difference(row, code, person, difference, history)
                for difference in differences(before, person.state)
            ]
            dispatched += self.add_history(row, code, person, history.rest())
            dispatched += [self._add_message(row, code, person, message) for message in applied.messages]
            for conflict in conflicts.differences(change.person, before, person.state):
                self.conflicts.append(conflict._asdict())
            self._add_protection(change.person, person, before)
        if change.case is not None:
            self.dispatched.append(Dispatched(row, dispatched))

    def add_entity(
        self,
        row: int,
        code: str,
        next_revision: Callable[[str], int],
        differences: EntityDifferences,
        day: date,
    ) -> None:
        """Add what differs of a declared entity after the record in this row; `day` is that of deleted rows.

        `next_revision` returns the person's next revision in a domain. At the high level no case names the changes, and
        the conflicts are sealed.
        """
        dispatched = []
        for difference in differences.rows:
            id_, after = difference
            op, since = ("DELETE", day) if after is None else ("UPSERT", after.effective_on)
            status, revision = None if after is None else after.status, next_revision(id_.domain)
            columns, reading = difference.columns, id_.reading
            change = DomainChange(
                row, code, reading, op, revision, id_.part, since, None, status, columns=columns
            )
            dispatched.append(self._add(id_.domain, change))
        if differences.is_high:
            self.high_conflicts += [conflict._asdict() for conflict in differences.conflicts]
            return
        if self.dispatched and self.dispatched[-1].row == row:
            self.dispatched[-1].changes.extend(dispatched)
        self.add_conflicts(differences.conflicts)

    def add_conflicts(self, changed: Iterable[conflicts.Conflict]) -> None:
        """Add conflicts that were opened, changed or withdrawn."""
        self.conflicts += [conflict._asdict() for conflict in changed]

    def add_clock_record(self, row: int, kind: str, code: str, day: date, *, is_high: bool = False) -> None:
        """Add a record for this partition of `person.change`, by which fan-out goes on with what is due.

        It is sealed if it `is_high`.
        """
        (self.high_clock_records if is_high else self.clock_records).append((row, kind, code, day))

    def reject(self, row: int, rejection: RejectionCode) -> None:
        """Reject the record in this row."""
        self.rejected.append((row, rejection))

    def wait(self, row: int, until: date) -> list[DispatchedChange]:
        """Note that the rows of the record in this row wait for a day. Return its changes so far."""
        if not self.dispatched or self.dispatched[-1].row != row:
            return []  # It belongs to no case.
        self.dispatched[-1] = self.dispatched[-1]._replace(waits=True, waiting_until=until)
        return self.dispatched[-1].changes

    def row_of_earlier(self, row: int, code: str, notice: PersonNotice | None) -> int:
        """Return a row for a record that was received before and takes effect now, at the record in `row`.

        What is added for this row belongs to the case of the notice; to none, if it is None.
        """
        self._earlier.append(
            {
                "case": notice and {"municipality": notice.municipality, "notice": notice.number},
                "reason": notice and notice.reason.value,
                "received_at": datetime.fromtimestamp(received_at(notice.received) / 1000, UTC)
                if notice
                else self._table.column("received_at")[row].as_py(),
                "person": code,
            }
        )
        return len(self._table) + len(self._earlier) - 1

    def end_waiting(self, row: int, changes: Iterable[DispatchedChange], until: date) -> None:
        """Note that the rows of the record in this row don't wait any more; `changes` went out before."""
        self.dispatched.append(Dispatched(row, list(changes), waiting_until=until))

    def add_refolded(
        self, row: int, code: str, person: PersonAggregate, before: PersonState, applied: AppliedToRows
    ) -> None:
        """Add what differs after a person was folded again, but no messages."""
        history = HistoryOfRecord(applied, date.min)
        dispatched = [
            self._add_difference(row, code, person, difference, history)
            for difference in differences(before, person.state)
        ]
        dispatched += self.add_history(row, code, person, history.rest())
        if self.dispatched and self.dispatched[-1].row == row:
            self.dispatched[-1].changes.extend(dispatched)
        for conflict in conflicts.differences(code, before, person.state):
            self.conflicts.append(conflict._asdict())
        self._add_protection(code, person, before)

    def _add_difference(
        self,
        row: int,
        code: str,
        person: PersonAggregate,
        difference: Difference,
        history: HistoryOfRecord,
    ) -> DispatchedChange:
        domain, municipality = difference.key
        op, day, *values = row_after(difference, history.deleted_on, person.state)
        known_from = None if difference.row is None else history.known_from(difference, *values)
        revision, entity = person.next_revision(domain), difference.entity
        change = DomainChange(row, code, entity, op, revision, municipality, day, known_from, *values)
        return self._add(domain, change)

    def add_history(
        self, row: int, code: str, person: PersonAggregate, history: Iterable[HistoryDifference]
    ) -> list[DispatchedChange]:
        """Add rows of a person's histories after the record in this row, and return what is dispatched."""
        dispatched = []
        for (key, effective_on, known_from), version in history:
            domain, municipality = key
            status, facts = (None, None) if version is None else version
            change = DomainChange(
                row,
                code,
                PERSON_HISTORY,
                "DELETE" if version is None else "UPSERT",
                person.next_revision(domain),
                municipality,
                effective_on,
                known_from,
                status,
                facts,
            )
            dispatched.append(self._add(domain, change))
        return dispatched

    def _add_protection(self, code: str, person: PersonAggregate, before: PersonState) -> None:
        """Add the person's protection record if it differs; after the changes, whose revisions it has."""
        record = protection_record(code, before, person.state, person.revisions)
        if record is not None:
            self.protections.append(record)

    def _add_message(
        self, row: int, code: str, person: PersonAggregate, message: ResidentMessage
    ) -> DispatchedChange:
        notice = message.notice
        case = {"municipality": notice.municipality, "notice": notice.number}
        change = DomainChange(
            row,
            code,
            "MESSAGE",
            "UPSERT",
            person.next_revision(message.domain),
            None,
            notice.effective_on,
            message={"case": case, "reason": notice.reason.value, "text": text_of(notice)},
        )
        return self._add(message.domain, change)

    def _add(self, domain: str, change: DomainChange) -> DispatchedChange:
        self.changes.setdefault(domain, []).append(change)
        return domain, change.revision

    def outputs(self, partition: int) -> list[Output]:
        """Return one output per topic, omitting topics without records. `partition` is that of the input."""
        return [
            *self._changes(),
            *self._dispatched(),
            *self._conflicts(),
            *self._high_conflicts(),
            *self._protections(),
            *self._rejections(),
            *self._clock_records(partition),
        ]

    def _changes(self) -> Iterator[Output]:
        """Yield the changes of each domain.

        All changes are made as one table that is then divided, because most domains have few changes in a batch.
        """
        if not self.changes:
            return
        domains = sorted(self.changes)
        table = self._change_table([change for domain in domains for change in self.changes[domain]])
        first = 0
        for domain in domains:
            of_domain = table.slice(first, len(self.changes[domain]))
            first += len(of_domain)
            topic, persons = change_topic(domain), contiguous(of_domain.column("person"))
            if DOMAINS[domain].is_high:
                yield sealed_output(self._sealer, topic, of_domain, persons.to_pylist())
            else:
                yield Output(topic, "domain-change", of_domain, persons)

    def _change_table(self, changes: Sequence[DomainChange]) -> pa.Table:
        by_field = dict(zip(DomainChange._fields, zip(*changes, strict=True), strict=True))
        types = arrow_schema("domain-change")
        fields = {name: pa.array(by_field[name], types.field(name).type) for name in _OWN_FIELDS}
        fields |= take_rows(self._causes(), by_field["row"], _COPIED_FIELDS)
        fields["facts"] = structs_from_tuples(by_field["facts"], types.field("facts").type, Facts._fields)
        fields["account"] = structs_from_tuples(
            by_field["account"], types.field("account").type, Account._fields
        )
        for name in ("message", "columns"):
            fields[name] = pa.array(by_field[name], types.field(name).type)
        return table_from_columns("domain-change", fields)

    def _dispatched(self) -> Iterator[Output]:
        if not self.dispatched:
            return
        rows, changes, waits, waiting_until = zip(*self.dispatched, strict=True)
        fields = take_rows(self._causes(), rows, ("case", "person"))
        type_ = arrow_schema("case-dispatched").field("changes").type
        offsets = pa.array(accumulate(map(len, changes), initial=0), pa.int32())
        values = structs_from_tuples(
            list(chain.from_iterable(changes)), type_.value_type, ("domain", "revision")
        )
        fields["changes"] = pa.ListArray.from_arrays(offsets, values, type=type_)
        fields["waits"] = pa.array(waits, pa.bool_())
        fields["waiting_until"] = pa.array(waiting_until, pa.date32())
        table = table_from_columns("case-dispatched", fields)
        yield Output(CASE_DISPATCHED, "case-dispatched", table, case_keys(fields["case"]))

    def _causes(self) -> pa.Table:
        """Return the records of the batch, then those of `row_of_earlier`."""
        if not self._earlier:
            return self._table
        records = self._table.select(_CAUSE_FIELDS)
        return pa.concat_tables([records, pa.Table.from_pylist(self._earlier, records.schema)])

    def _conflicts(self) -> Iterator[Output]:
        if self.conflicts:
            keys = [conflict["id"] for conflict in self.conflicts]
            yield output_from_rows(CONFLICT, "conflict", self.conflicts, keys)

    def _high_conflicts(self) -> Iterator[Output]:
        """Yield the sealed conflicts of each system of the high level."""
        for system in dict.fromkeys(conflict["domain"] for conflict in self.high_conflicts):
            of_system = [conflict for conflict in self.high_conflicts if conflict["domain"] == system]
            table, keys = table_from_rows("conflict", of_system), [conflict["id"] for conflict in of_system]
            yield sealed_output(self._sealer, conflict_topic(system), table, keys)

    def _protections(self) -> Iterator[Output]:
        if self.protections:
            keys = [record["person"] for record in self.protections]
            yield output_from_rows(PROTECTION, "protection", self.protections, keys)

    def _clock_records(self, partition: int) -> Iterator[Output]:
        if self.clock_records:
            table = self._clock_table(self.clock_records)
            key = contiguous(table.column("person"))
            yield Output(PERSON_CHANGE, "person-change", table, key, partition=partition)
        if self.high_clock_records:
            yield sealed_person_changes(self._clock_table(self.high_clock_records), self._sealer, partition)

    def _clock_table(self, records: Sequence[ClockRecord]) -> pa.Table:
        rows, kinds, persons, days = zip(*records, strict=True)
        fields = take_rows(self._table, rows, ("received_at", "origin"))
        fields |= {"kind": pa.array(kinds), "person": pa.array(persons)}
        fields["effective_on"] = pa.array(days, pa.date32())
        fields["seq"] = constant(0, len(rows), pa.int64())
        return table_from_columns("person-change", fields)

    def _rejections(self) -> Iterator[Output]:
        if not self.rejected:
            return
        rejections = Rejections()
        rows = self._table.select(_REJECTION_FIELDS).take(
            pa.array([row for row, _ in self.rejected], pa.int64())
        )
        for row, (_, rejection) in zip(rows_from_table(rows), self.rejected, strict=True):
            rejections.add(row, rejection)
        yield from rejections.outputs()
