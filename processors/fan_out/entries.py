"""Records of `person.change` as entries of persons' histories."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import repeat
from typing import Any, Final, NamedTuple, TypeVar

import pyarrow as pa

from processors.columns import select_columns, struct_fields
from processors.entities.timeline import Submission
from processors.fan_out.entity_history import filled_up
from processors.fan_out.history import (
    NOTHING,
    Account,
    AccountEvent,
    Enrolment,
    Facts,
    PersonNotice,
    Receipt,
    Settlement,
    changed_facts,
    receipt_of,
    received_on,
)
from processors.fan_out.person import Entry
from schemas.declare import CANCELLED
from schemas.reasons import Reason
from schemas.systems import DOMAINS, SYSTEMS
from schemas.tables import values_of

T = TypeVar("T")

#: Kinds of records that may be sealed: an event of an entity, and by which fan-out goes on with one person.
EVENT: Final = "EVENT"
DUE: Final = "DUE"
ADOPTING: Final = "ADOPTING"

_READ: Final = (
    "person",
    "kind",
    "municipality",
    "seq",
    "reason",
    "effective_on",
    "moved_from",
    "moved_to",
    "cancels",
    "domain",
)
_POSITION: Final = ("topic", "partition", "offset")
#: By their symbol in events, all that this version knows.
_REASONS: Final[Mapping[str | None, Reason]] = {
    reason.value: reason for reason in Reason if reason is not Reason.UNKNOWN
}
_SETTLEMENT: Final = ("municipality", "notice", "registered_in", "taken_back")


class CaseRef(NamedTuple):
    """The notice that caused a change."""

    municipality: str
    notice: str


class PersonChange(NamedTuple):
    """The fields of a record of `person.change` on which decisions depend."""

    person: str
    kind: str
    municipality: str | None
    seq: int
    reason: str | None
    effective_on: date
    moved_from: str | None
    moved_to: str | None
    cancels: str | None
    domain: str | None
    received: Receipt
    case: CaseRef | None
    facts: Facts | None
    protected: bool | None
    account: Account | None
    settlement: tuple[str, str, str, bool] | None
    event: Mapping[str, Any] | None
    declarations: int | None


def changes_of(table: pa.Table) -> list[PersonChange]:
    """Return the rows of `person-change` in their order."""
    columns = select_columns(
        table,
        [*_READ, "received_at", "origin", "case", "facts", "account", "settlement", "event", "declarations"],
    )
    origin = struct_fields(columns["origin"])
    values: list[Iterable[Any]] = [
        *(values_of(columns[name]) for name in _READ),
        map(receipt_of, values_of(columns["received_at"]), *(values_of(origin[name]) for name in _POSITION)),
        _tuples(CaseRef._make, CaseRef._fields, columns["case"]),
        _tuples(Facts._make, Facts._fields, columns["facts"]),
        values_of(struct_fields(columns["facts"])["protected"]),
        _tuples(Account._make, Account._fields, columns["account"]),
        _tuples(tuple, _SETTLEMENT, columns["settlement"]),
        _events(columns["event"]),
        values_of(columns["declarations"]),
    ]
    return [PersonChange(*row) for row in zip(*values, strict=True)]


def _tuples(
    make: Callable[[Iterable[Any]], T], names: Sequence[str], structs: pa.StructArray
) -> Iterator[T | None]:
    """Yield a named tuple of these fields for each struct; None where the struct is null."""
    if structs.null_count == len(structs):
        yield from repeat(None, len(structs))
        return
    fields = struct_fields(structs)
    rows = zip(*(values_of(fields[name]) for name in names), strict=True)
    for valid, row in zip(structs.is_valid().to_pylist(), rows, strict=True):
        yield make(row) if valid else None


def _events(structs: pa.StructArray) -> Iterable[Mapping[str, Any] | None]:
    """Return each event with its fields; None where there is none."""
    if structs.null_count == len(structs):
        return repeat(None, len(structs))
    events: list[Mapping[str, Any] | None] = structs.to_pylist()
    return events


def submission_of(change: PersonChange) -> Submission | str:
    """Return the event of a declared entity, or a short reason why this version of the step can't make one."""
    event = change.event
    system = SYSTEMS.get(event["system"]) if event is not None else None
    if event is None or system is None:
        return "system unknown to this version"
    count = 0
    if event["event"] != CANCELLED:
        if event["event"] not in system.event_names:
            return "event unknown to this version"
        count = len(system.entity_of(event["event"])[0].fields)
        if len(event["fields"]) > count:
            return "event with more fields than in this version"
    return Submission(
        event["system"],
        change.municipality,
        event["number"],
        event["event"],
        change.effective_on,
        event["recorded_on"],
        change.received,
        event["cancels"],
        filled_up(event["fields"], count),
        event["members"],
    )


def history_entry(change: PersonChange) -> Entry | str:
    """Return the history entry, or a short reason why this version of the step can't make one of the record."""
    if change.kind in ("NOTICE", "CANCELLATION"):
        return _notice(change)
    if change.kind == "ENROLMENT":
        return _enrolment(change)
    if change.kind == "ACCOUNT" and change.account is not None:
        return AccountEvent(change.effective_on, change.account)
    if change.kind == "SETTLEMENT" and change.settlement is not None:
        return Settlement(*change.settlement, change.received)
    return "kind unknown to this version"


def _notice(change: PersonChange) -> PersonNotice | str:
    reason = _REASONS.get(change.reason)
    if change.case is None or reason is None:
        return "reason unknown to this version"
    return PersonNotice(
        change.case.municipality,
        change.case.notice,
        change.seq,
        reason,
        change.effective_on,
        NOTHING if change.facts is None else changed_facts(reason, change.facts),
        reason is Reason.BORN and bool(change.protected),
        change.moved_from,
        change.moved_to,
        change.cancels,
        change.received,
    )


def _enrolment(change: PersonChange) -> Enrolment | str:
    domain = DOMAINS.get(change.domain or "")
    if domain is None or domain.enrolment is None:
        return "domain accepts no enrolments"
    municipality = change.municipality if domain.municipal else None
    if domain.municipal and municipality is None:
        return "enrolment without a municipality"
    return Enrolment(domain.id, municipality, change.effective_on, received_on(change.received))
