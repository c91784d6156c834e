"""Records of `person.change` as entries of their persons' histories."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from typing import Any, Final, NamedTuple, TypeVar

import pyarrow as pa

from processors.columns import columns, fields_of
from processors.fan_out.history import NOTHING, Account, AccountEvent, Enrolment, Facts, PersonNotice, given
from processors.fan_out.person import Entry
from schemas.reasons import Reason
from schemas.systems import DOMAINS
from schemas.tables import values_of

T = TypeVar("T")

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


class CaseRef(NamedTuple):
    """The notice that brought a change."""

    municipality: str
    notice: str


class PersonChange(NamedTuple):
    """A record of `person.change`, as far as it decides anything."""

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
    case: CaseRef | None
    facts: Facts | None
    protected: bool | None
    account: Account | None


def changes_of(table: pa.Table) -> list[PersonChange]:
    """Rows of `person-change`, in their order."""
    read = columns(table, [*_READ, "case", "facts", "account"])
    values = [
        *(values_of(read[name]) for name in _READ),
        _made(CaseRef._make, CaseRef._fields, read["case"]),
        _made(Facts._make, Facts._fields, read["facts"]),
        values_of(fields_of(read["facts"])["protected"]),
        _made(Account._make, Account._fields, read["account"]),
    ]
    return [PersonChange(*each) for each in zip(*values, strict=True)]


def _made(
    make: Callable[[Iterable[Any]], T], names: Sequence[str], structs: pa.StructArray
) -> Iterator[T | None]:
    """What is made of the fields of these names of each struct; None for one that isn't there."""
    fields = fields_of(structs)
    values = zip(*(values_of(fields[name]) for name in names), strict=True)
    for there, each in zip(structs.is_valid().to_pylist(), values, strict=True):
        yield make(each) if there else None


def history_entry(change: PersonChange) -> Entry | str:
    """The entry, or a short reason why this version of the step can make none of the record."""
    if change.kind in ("NOTICE", "CANCELLATION"):
        return _notice(change)
    if change.kind == "ENROLMENT":
        return _enrolment(change)
    if change.kind == "ACCOUNT" and change.account is not None:
        return AccountEvent(change.effective_on, change.account)
    return "kind unknown to this version"


def _notice(change: PersonChange) -> PersonNotice | str:
    if change.case is None or change.reason in (None, Reason.UNKNOWN):
        return "reason unknown to this version"
    reason = Reason(change.reason)
    return PersonNotice(
        municipality=change.case.municipality,
        number=change.case.notice,
        seq=change.seq,
        reason=reason,
        effective_on=change.effective_on,
        facts=NOTHING if change.facts is None else given(reason, change.facts),
        protected=reason is Reason.BORN and bool(change.protected),
        moved_from=change.moved_from,
        moved_to=change.moved_to,
        cancels=change.cancels,
    )


def _enrolment(change: PersonChange) -> Enrolment | str:
    domain = DOMAINS.get(change.domain or "")
    if domain is None or domain.enrolment is None:
        return "domain takes no enrolments"
    municipality = change.municipality if domain.municipal else None
    if domain.municipal and municipality is None:
        return "enrolment without a municipality"
    return Enrolment(domain.id, municipality, change.effective_on)
