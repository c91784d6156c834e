"""The notices of a batch as the rules need them: Python values for what decides; all other columns stay in Arrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import pyarrow as pa

from processors.columns import select_columns, struct_fields
from processors.household.decide import FactsRef, PendingNotice, PersonFacts
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


def notices_of(table: pa.Table) -> list[PendingNotice]:
    """Return the rows of `notice` in their order; `FactsRef.facts_row` is a row of `facts_of` the same table."""
    columns = select_columns(table, [*_READ, "persons", "to"])
    values = {name: values_of(columns[name]) for name in _READ}
    values["reason"] = [_REASONS[symbol] for symbol in values["reason"]]
    persons = _persons(columns["persons"])
    to = _to(columns["to"], first_row=len(columns["persons"].values))
    rows = zip(*(values[name] for name in _READ), persons, to, strict=True)
    return [PendingNotice(*row) for row in rows]


def facts_of(table: pa.Table) -> pa.StructArray:
    """Return the facts in rows of `notice`: those of all named persons in order, then `to` of each row."""
    columns = select_columns(table, ["persons", "to"])
    return pa.concat_arrays([struct_fields(columns["persons"].values)["facts"], columns["to"]])


def _persons(lists: pa.ListArray) -> Iterator[PersonFacts | None]:
    fields = struct_fields(lists.values)
    facts_rows = range(len(lists.values))
    all_persons = list(zip(values_of(fields["person"]), _refs(fields["facts"], facts_rows), strict=True))
    for valid, (begin, end) in zip(
        lists.is_valid().to_pylist(), pairwise(lists.offsets.to_pylist()), strict=True
    ):
        yield tuple(all_persons[begin:end]) if valid else None


def _to(facts: pa.StructArray, first_row: int) -> Iterator[FactsRef | None]:
    refs = _refs(facts, range(first_row, first_row + len(facts)))
    for valid, ref in zip(facts.is_valid().to_pylist(), refs, strict=True):
        yield ref if valid else None


def _refs(facts: pa.StructArray, facts_rows: Sequence[int]) -> list[Any]:
    return list(map(FactsRef, values_of(struct_fields(facts)["household"]), facts_rows))
