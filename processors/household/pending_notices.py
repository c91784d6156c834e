"""The notices of a batch as the rules look at them: of a column's values only what decides, all else stays in Arrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import pyarrow as pa

from processors.columns import columns, fields_of
from processors.household.decide import FactsRef, PendingNotice
from schemas.reasons import Reason
from schemas.tables import values_of

_READ: Final = (
    "municipality",
    "notice",
    "reason",
    "effective_on",
    "digest",
    "resubmitted",
    "household",
    "cancels",
)
_REASONS: Final = {reason.value: reason for reason in Reason}

Persons = tuple[tuple[str, FactsRef], ...]


def notices_of(table: pa.Table) -> list[PendingNotice]:
    """Rows of `notice`, in their order. What they give stands in `facts_of`, at `Facts.place`."""
    read = columns(table, [*_READ, "persons", "to"])
    values = {name: values_of(read[name]) for name in _READ}
    values["reason"] = [_REASONS[each] for each in values["reason"]]
    persons = _persons(read["persons"])
    to = _to(read["to"], first=len(read["persons"].values))
    return [PendingNotice(*each) for each in zip(*(values[name] for name in _READ), persons, to, strict=True)]


def facts_of(table: pa.Table) -> pa.StructArray:
    """The facts that notices of `notice` give: for the persons they name, one after the other; then `to`, by row."""
    read = columns(table, ["persons", "to"])
    return pa.concat_arrays([fields_of(read["persons"].values)["facts"], read["to"]])


def _persons(lists: pa.ListArray) -> Iterator[Persons | None]:
    fields = fields_of(lists.values)
    places = range(len(lists.values))
    named = list(zip(values_of(fields["person"]), _given(fields["facts"], places), strict=True))
    for given, (begin, end) in zip(
        lists.is_valid().to_pylist(), pairwise(lists.offsets.to_pylist()), strict=True
    ):
        yield tuple(named[begin:end]) if given else None


def _to(facts: pa.StructArray, first: int) -> Iterator[FactsRef | None]:
    given = facts.is_valid().to_pylist()
    for there, each in zip(given, _given(facts, range(first, first + len(facts))), strict=True):
        yield each if there else None


def _given(facts: pa.StructArray, places: Sequence[int]) -> list[Any]:
    return list(map(FactsRef, values_of(fields_of(facts)["household"]), places))
