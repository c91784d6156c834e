"""The household step: `notice` in; `person.change`, `case.opened` and `rejected.<system>` out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from processors.household.decide import Accepted, Notice, decide
from processors.household.register import STORES, Register, Registers
from processors.household.strands import strands_in
from processors.refusals import Refusal
from processors.rejections import Rejections
from processors.rows import output
from schemas.reasons import Reason
from schemas.topics import CASE_OPENED, PERSON_CHANGE
from streams.contract import Batch, Output, Poison, Result, State, Strands

Row = Mapping[str, Any]


class HouseholdProcessor:
    """Judges each notice at its place in its municipality's list, and parts it into changes of persons.

    Promises: a notice is listed whole or not at all; the outcome depends on the order of each municipality's notices
    alone, not on how they were cut into batches or interleaved with another's. Keeps five stores, none of whose
    values grows with the municipality.
    """

    @property
    def stores(self) -> Mapping[str, str]:
        """Each store's schema in the catalogue."""
        return STORES

    def process(self, batch: Batch, state: State) -> Result:
        """Notices of one partition in the order of their offsets."""
        rows = batch.table.to_pylist()
        registers, outcome, poison = Registers(state), Outcome(), []
        _prefetch(registers, rows)
        for index, row in enumerate(rows):
            if row["reason"] == Reason.UNKNOWN:
                poison.append(Poison(0, index, "reason unknown to this version"))
            else:
                decided = decide(notice_of(row), Register(registers, row["municipality"]))
                outcome.add(row, decided)
        registers.flush()
        return Result(outcome.outputs(), poison)

    def strands(self, batch: Batch, state: State | None) -> Sequence[Strands]:
        """What must stay in order with each notice: persons and households, not the municipality that is its key."""
        if state is None:
            raise ValueError("the step keeps state")
        rows, registers = batch.table.to_pylist(), Registers(state)
        _prefetch(registers, rows)
        return [strands_in(row, Register(registers, row["municipality"])) for row in rows]


def _prefetch(registers: Registers, rows: Sequence[Row]) -> None:
    """What the notices are about, read in as few goes as what names what allows."""
    for row in rows:
        registers.want(row["municipality"], row["digest"], (row["notice"], row["cancels"]))
        registers.want_residents(row["municipality"], (each["person"] for each in row["persons"] or ()))
        registers.want_households(row["municipality"], _households(row))
    registers.fetch()
    for row in rows:
        register = Register(registers, row["municipality"])
        cancelled = register.listed(row["cancels"]) if row["cancels"] is not None else None
        meant = register.members(row["household"]) if row["household"] is not None else ()
        registers.want_residents(row["municipality"], (*meant, *(cancelled.persons if cancelled else ())))
    registers.fetch()
    registers.want_households_of_residents()
    registers.fetch()


def _households(row: Row) -> Iterator[str]:
    """The households that a notice names."""
    facts = [each["facts"] for each in row["persons"] or ()] + [row["to"] or {}]
    for household in (row["household"], *(each.get("household") for each in facts)):
        if household is not None:
            yield household


def notice_of(row: Row) -> Notice:
    """The notice that a row tells of."""
    persons = row["persons"]
    return Notice(
        number=row["notice"],
        reason=Reason(row["reason"]),
        effective_on=row["effective_on"],
        digest=row["digest"],
        resent=row["resent"],
        persons=None if persons is None else tuple((each["person"], each["facts"]) for each in persons),
        household=row["household"],
        to=row["to"],
        cancels=row["cancels"],
    )


@dataclass
class Outcome:
    """The rows that go out for a batch, in the order of the notices."""

    changes: list[dict[str, Any]] = field(default_factory=list)
    cases: list[dict[str, Any]] = field(default_factory=list)
    rejected: Rejections = field(default_factory=Rejections)

    def add(self, row: Row, decided: Accepted | Refusal) -> None:
        """What follows from one notice."""
        if isinstance(decided, Refusal):
            self.rejected.add(row, decided)
        else:
            self.cases.append(_case_opened(row, decided))
            self.changes.extend(_person_changes(row, decided))

    def outputs(self) -> list[Output]:
        """One for each topic that has records."""
        outputs = []
        if self.changes:
            keys = [change["person"] for change in self.changes]
            outputs.append(output(PERSON_CHANGE, "person-change", self.changes, keys))
        if self.cases:
            keys = [case_key(case["case"]) for case in self.cases]
            outputs.append(output(CASE_OPENED, "case-opened", self.cases, keys))
        return [*outputs, *self.rejected.outputs()]


def case_key(case: Row) -> str:
    """Key of the records of a case: `municipality/notice`."""
    return f"{case['municipality']}/{case['notice']}"


def _case(row: Row) -> dict[str, Any]:
    return {"municipality": row["municipality"], "notice": row["notice"]}


def _case_opened(row: Row, accepted: Accepted) -> dict[str, Any]:
    return {
        "case": _case(row),
        "reason": row["reason"],
        "effective_on": row["effective_on"],
        "persons": len(accepted.persons),
        "received_at": row["received_at"],
    }


def _person_changes(row: Row, accepted: Accepted) -> Iterable[dict[str, Any]]:
    common = {
        "kind": "CANCELLATION" if row["reason"] == Reason.CANCELLED else "NOTICE",
        "municipality": row["municipality"],
        "case": _case(row),
        "seq": accepted.seq,
        "reason": row["reason"],
        "effective_on": row["effective_on"],
        "moved_from": row["moved_from"],
        "moved_to": row["moved_to"],
        "cancels": row["cancels"],
        "received_at": row["received_at"],
        "origin": row["origin"],
    }
    return [{**common, "person": person, "facts": dict(facts) or None} for person, facts in accepted.persons]
