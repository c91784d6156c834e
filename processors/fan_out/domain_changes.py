"""The records that go out: what differs, to whom it goes, and which part of a case it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import accumulate, chain, compress
from typing import Any, Final, NamedTuple

import pyarrow as pa

from processors.columns import arrow_schema, joined, output_from_rows, shaped, struct, taken, whole
from processors.fan_out import conflicts
from processors.fan_out.differences import ACCOUNT, Difference, differences, facts_seen
from processors.fan_out.entries import PersonChange
from processors.fan_out.history import Account, Facts
from processors.fan_out.messages import ResidentMessage, text_of
from processors.fan_out.person import PersonAggregate
from processors.fan_out.person_state import PersonState
from processors.rejections import RejectionCode, Rejections
from schemas.tables import rows_from_table
from schemas.topics import CASE_DISPATCHED, CONFLICT, change_topic
from streams.contract import Output

Record = dict[str, Any]

#: Of the record that brought it, as a change has it.
_TAKEN: Final = ("person", "case", "reason", "received_at")
_REFUSED: Final = ("municipality", "origin", "received_at")


class DomainChange(NamedTuple):
    """A change for a domain, but for what is as in the record (its row in the batch) that brought it."""

    row: int
    entity: str
    op: str
    revision: int
    municipality: str | None
    effective_on: date
    status: str | None = None
    facts: Facts | None = None
    account: Account | None = None
    message: Record | None = None


#: A domain, and the revision that it was told.
Part = tuple[str, int]


class FanOutOutputs:
    """The records of a batch, in the order of what they come of; `table` has these."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self.changes: dict[str, list[DomainChange]] = {}
        self.parts: list[tuple[int, list[Part]]] = []
        self.conflicts: list[Record] = []
        self.refused: list[int] = []

    def add(
        self,
        row: int,
        change: PersonChange,
        person: PersonAggregate,
        before: PersonState,
        messages: list[ResidentMessage] | None,
    ) -> None:
        """What follows from one record; `messages` are None where it was a repetition: it is reported, and no more."""
        parts = []
        if messages is None:
            self.refused.append(row)
        else:
            parts = [self._tell(row, change, person, each) for each in differences(before, person.view)]
            parts += [self._send(row, person, message) for message in messages]
            for status, conflict in conflicts.differences(change.person, before, person.view):
                self.conflicts.append({**conflict._asdict(), "status": status})
        if change.case is not None:
            self.parts.append((row, parts))

    def _tell(self, row: int, change: PersonChange, person: PersonAggregate, difference: Difference) -> Part:
        domain, municipality = difference.key
        op, day, *seen = _after(difference, change, person.view)
        revision = person.next_revision(domain)
        return self._put(domain, DomainChange(row, difference.entity, op, revision, municipality, day, *seen))

    def _send(self, row: int, person: PersonAggregate, message: ResidentMessage) -> Part:
        notice = message.notice
        case = {"municipality": notice.municipality, "notice": notice.number}
        told = DomainChange(
            row,
            "MESSAGE",
            "UPSERT",
            person.next_revision(message.domain),
            None,
            notice.effective_on,
            message={"case": case, "reason": notice.reason.value, "text": text_of(notice)},
        )
        return self._put(message.domain, told)

    def _put(self, domain: str, told: DomainChange) -> Part:
        self.changes.setdefault(domain, []).append(told)
        return domain, told.revision

    def outputs(self) -> list[Output]:
        """One for each topic that has records."""
        return [*self._changes(), *self._parts(), *self._conflicts(), *self._rejections()]

    def _changes(self) -> Iterator[Output]:
        """Made together, as most of a batch's domains have few; then each domain's own."""
        if not self.changes:
            return
        domains = sorted(self.changes)
        table = self._change_table([told for domain in domains for told in self.changes[domain]])
        first = 0
        for domain in domains:
            part = table.slice(first, len(self.changes[domain]))
            first += len(part)
            yield Output(change_topic(domain), "domain-change", part, whole(part.column("person")))

    def _change_table(self, told: Sequence[DomainChange]) -> pa.Table:
        by_field = dict(zip(DomainChange._fields, zip(*told, strict=True), strict=True))
        types = arrow_schema("domain-change")
        fields = {
            name: pa.array(by_field[name], types.field(name).type)
            for name in ("entity", "op", "revision", "municipality", "effective_on", "status")
        }
        fields |= taken(self._table, by_field["row"], _TAKEN)
        fields["facts"] = _structs(by_field["facts"], types.field("facts").type, Facts._fields)
        fields["account"] = _structs(by_field["account"], types.field("account").type, Account._fields)
        fields["message"] = pa.array(by_field["message"], types.field("message").type)
        return shaped("domain-change", fields)

    def _parts(self) -> Iterator[Output]:
        if not self.parts:
            return
        rows, parts = zip(*self.parts, strict=True)
        fields = taken(self._table, rows, ("case", "person"))
        type_ = arrow_schema("case-dispatched").field("changes").type
        offsets = pa.array(accumulate(map(len, parts), initial=0), pa.int32())
        values = _structs(list(chain.from_iterable(parts)), type_.value_type, ("domain", "revision"))
        fields["changes"] = pa.ListArray.from_arrays(offsets, values, type=type_)
        yield Output(
            CASE_DISPATCHED, "case-dispatched", shaped("case-dispatched", fields), joined(fields["case"])
        )

    def _conflicts(self) -> Iterator[Output]:
        if self.conflicts:
            keys = [conflict["id"] for conflict in self.conflicts]
            yield output_from_rows(CONFLICT, "conflict", self.conflicts, keys)

    def _rejections(self) -> Iterator[Output]:
        rejected = Rejections()
        rows = self._table.select(_REFUSED).take(pa.array(self.refused, pa.int64()))
        for row in rows_from_table(rows):
            rejected.add(row, RejectionCode.DUPLICATE)
        yield from rejected.outputs()


def _after(difference: Difference, change: PersonChange, view: PersonState) -> tuple[Any, ...]:
    """Of `Told` the `op`, the day and all behind it: the row after the change; of one that has gone only that."""
    row, account = difference.row, difference.account
    if difference.entity == ACCOUNT and account is not None:
        return "UPSERT", account.effective_on, account.status, None, account.account
    if row is None:
        return "DELETE", change.effective_on
    return (
        "UPSERT",
        row.effective_on,
        row.status,
        facts_seen(difference.key[0], row, protected=view.protected),
    )


def _structs(
    values: Sequence[tuple[Any, ...] | None], type_: pa.StructType, names: Sequence[str]
) -> pa.StructArray:
    """Tuples, whose fields have these names, as structs; fields of the type without a name here are null."""
    there = [value is not None for value in values]
    given = list(compress(values, there))
    by_name = dict(zip(names, zip(*given, strict=True), strict=True)) if given else {}
    fields = {name: pa.array(by_name.get(name, ()), type_.field(name).type) for name in names}
    made = struct(fields, type_)
    if len(given) == len(values):
        return made
    places = [count - 1 if each else None for count, each in zip(accumulate(there), there, strict=True)]
    return made.take(pa.array(places, pa.int64()))
