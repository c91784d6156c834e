"""The first fault of each hand-over, found a column at a time.

A judgement is a column of `int16`: the place of the fault in `Fault`, null where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import constant, span
from processors.intake.validation_codes import ValidationCode

#: A fault, and of each row whether it is free of it (null counts as not).
Finding = tuple[ValidationCode, pa.Array]

_FAULTS: Final = tuple(ValidationCode)
_PLACE: Final = {fault: place for place, fault in enumerate(_FAULTS)}
_CODES: Final = pa.array([fault.value for fault in _FAULTS], pa.string())
_SENTENCES: Final = pa.array([fault.sentence for fault in _FAULTS], pa.string())


def first_fault(findings: Sequence[Finding], length: int) -> pa.Array:
    """Of each row the first of the findings, in the order given."""
    judgement = pa.nulls(length, pa.int16())
    for fault, good in reversed(findings):
        if pc.sum(good).as_py() != length:
            judgement = pc.if_else(pc.fill_null(good, False), judgement, _scalar(fault))
    return judgement


def earliest(judgements: Sequence[pa.Array]) -> pa.Array:
    """The first judgement that finds a fault."""
    return pc.coalesce(*judgements)


def of_hand_overs(row_judgement: pa.Array, parents: pa.Array, count: int) -> pa.Array:
    """Of each of `count` hand-overs the fault of its first faulty row; `parents` (int64) says whose row each is."""
    faulty = pc.indices_nonzero(pc.is_valid(row_judgement))
    if not len(faulty):
        return pa.nulls(count, pa.int16())
    place = pc.index_in(span(count), value_set=parents.take(faulty))
    return row_judgement.take(faulty).take(place)


def of_any_row(fault: ValidationCode, bad: pa.Array, parents: pa.Array, count: int) -> pa.Array:
    """This fault wherever a row is bad."""
    found = pc.fill_null(bad, True)
    row_judgement = pc.if_else(found, _scalar(fault), pa.scalar(None, pa.int16()))
    return of_hand_overs(row_judgement, parents, count)


def where(fault: ValidationCode, bad: pa.Array) -> pa.Array:
    """This fault wherever `bad` is true or null."""
    return pc.if_else(pc.fill_null(bad, True), _scalar(fault), pa.scalar(None, pa.int16()))


def everywhere(fault: ValidationCode, length: int) -> pa.Array:
    """This fault in all of them."""
    return constant(_PLACE[fault], length, pa.int16())


def codes(judgement: pa.Array) -> pa.Array:
    """Short codes of the faults."""
    return _CODES.take(judgement)


def sentences(judgement: pa.Array) -> pa.Array:
    """Sentences of the faults."""
    return _SENTENCES.take(judgement)


def _scalar(fault: ValidationCode) -> pa.Scalar:
    return pa.scalar(_PLACE[fault], pa.int16())
