"""The records that go out: what differs, to whom it goes, and which part of a case it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from processors.fan_out import conflicts
from processors.fan_out.differences import ACCOUNT, Difference, differences, facts_seen
from processors.fan_out.messages import Message, text_of
from processors.fan_out.person import Person
from processors.fan_out.view import View
from processors.refusals import Refusal
from processors.rejections import Rejections
from processors.rows import output
from schemas.topics import CASE_PART, CONFLICT, change_topic
from streams.contract import Output

Row = Mapping[str, Any]
Record = dict[str, Any]


@dataclass
class Outcome:
    """The records of a batch, in the order of what they come of."""

    changes: dict[str, list[Record]] = field(default_factory=dict)
    parts: list[Record] = field(default_factory=list)
    conflicts: list[Record] = field(default_factory=list)
    rejected: Rejections = field(default_factory=Rejections)

    def add(self, row: Row, person: Person, before: View, messages: list[Message] | None) -> None:
        """What follows from one record; `messages` are None where it was a repetition: it is reported, and no more."""
        parts = []
        if messages is None:
            self.rejected.add(row, Refusal.DUPLICATE)
        else:
            parts = [self._tell(row, person, each) for each in differences(before, person.view)]
            parts += [self._send(row, person, message) for message in messages]
            for status, conflict in conflicts.differences(row["person"], before, person.view):
                self.conflicts.append({**conflict._asdict(), "status": status})
        if row["case"] is not None:
            self.parts.append({"case": row["case"], "person": row["person"], "parts": parts})

    def _tell(self, row: Row, person: Person, difference: Difference) -> Record:
        domain, municipality = difference.key
        record = _record(row, person, domain, difference.entity)
        record |= _row_fields(difference, person.view)
        record["municipality"] = municipality
        return self._put(domain, record)

    def _send(self, row: Row, person: Person, message: Message) -> Record:
        notice = message.notice
        record = _record(row, person, message.domain, "MESSAGE")
        case = {"municipality": notice.municipality, "notice": notice.number}
        record["message"] = {"case": case, "reason": notice.reason.value, "text": text_of(notice)}
        record["effective_on"] = notice.effective_on
        return self._put(message.domain, record)

    def _put(self, domain: str, record: Record) -> Record:
        self.changes.setdefault(domain, []).append(record)
        return {"domain": domain, "revision": record["revision"]}

    def outputs(self) -> list[Output]:
        """One for each topic that has records."""
        outputs = [
            output(change_topic(domain), "domain-change", records, [record["person"] for record in records])
            for domain, records in sorted(self.changes.items())
        ]
        if self.parts:
            keys = [f"{part['case']['municipality']}/{part['case']['notice']}" for part in self.parts]
            outputs.append(output(CASE_PART, "case-part", self.parts, keys))
        if self.conflicts:
            keys = [conflict["id"] for conflict in self.conflicts]
            outputs.append(output(CONFLICT, "conflict", self.conflicts, keys))
        return [*outputs, *self.rejected.outputs()]


def _record(row: Row, person: Person, domain: str, entity: str) -> Record:
    """What every change says of itself: its place among the person's in this domain, and what brought it."""
    return {
        "person": row["person"],
        "entity": entity,
        "op": "UPSERT",
        "revision": person.next_revision(domain),
        "municipality": None,
        "effective_on": row["effective_on"],
        "case": row["case"],
        "reason": row["reason"],
        "received_at": row["received_at"],
    }


def _row_fields(difference: Difference, view: View) -> Record:
    """The row as it is after the change; of a row that has gone only that."""
    row, told = difference.row, difference.account
    if difference.entity == ACCOUNT and told is not None:
        account = told.account._asdict()
        return {"status": told.status, "account": account, "effective_on": told.effective_on}
    if row is None:
        return {"op": "DELETE"}
    seen = facts_seen(difference.key[0], row, protected=view.protected)
    return {"status": row.status, "facts": seen._asdict(), "effective_on": row.effective_on}
