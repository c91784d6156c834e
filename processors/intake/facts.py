"""What a notice says of persons: only what its reason changes, whatever else it shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.codes import Cipher, household_codes
from processors.columns import arrow_schema, struct
from schemas.reasons import FACTS, FIELDS_BY_REASON, JAPANESE, NEW_THERE, Reason

_REASONS: Final = tuple(JAPANESE)
_TERMS: Final = pa.array([JAPANESE[reason] for reason in _REASONS], pa.string())
_SYMBOLS: Final = pa.array([reason.value for reason in _REASONS], pa.string())
_CHANGES: Final = {
    fact: pa.array([fact in FIELDS_BY_REASON[reason] for reason in _REASONS], pa.bool_()) for fact in FACTS
}
_NEW: Final = pa.array([reason in NEW_THERE for reason in _REASONS], pa.bool_())


def places(terms: pa.Array) -> pa.Array:
    """Place of each reason's Japanese term in the list of reasons (int32); null where it is none."""
    return pc.index_in(terms, value_set=_TERMS)


def symbols(reasons: pa.Array) -> pa.Array:
    """The events' symbols of reasons, by their places."""
    return _SYMBOLS.take(reasons)


def new_there(reasons: pa.Array) -> pa.Array:
    """Whether the person is new at the municipality."""
    return _NEW.take(reasons)


def is_reason(reasons: pa.Array, reason: Reason) -> pa.Array:
    """Whether it is this reason."""
    return pc.fill_null(pc.equal(reasons, _REASONS.index(reason)), False)


def facts(
    given: Mapping[str, pa.Array], reasons: pa.Array, municipalities: pa.Array, mesh: Cipher
) -> pa.StructArray:
    """The record `Facts` of each row.

    `given` are columns by fact (dates as date32, `household` the municipality's number, `protected` boolean), null
    where not given; the protection measure counts at a birth only.
    """
    kept = {
        fact: _kept(column, _CHANGES[fact].take(reasons))
        for fact, column in given.items()
        if fact in _CHANGES
    }
    kept["household"] = households(municipalities, kept["household"], mesh)
    if "protected" in given:
        kept["protected"] = _kept(given["protected"], is_reason(reasons, Reason.BORN))
    return struct(kept, arrow_schema("notice").field("to").type)


def households(municipalities: pa.Array, numbers: pa.Array, mesh: Cipher) -> pa.Array:
    """Mesh codes of households that notices mean as a whole; null where the number is."""
    return household_codes(mesh, municipalities, numbers)


def _kept(column: pa.Array, changes: pa.Array) -> pa.Array:
    return pc.if_else(changes, column, pa.scalar(None, column.type))
