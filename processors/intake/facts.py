"""The facts that a notice gives of persons: only those that its reason changes, whatever else it shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.codes import Cipher, household_codes
from processors.columns import arrow_schema, struct_from_columns
from schemas.reasons import FACTS, FIELDS_BY_REASON, JAPANESE, NEW_THERE, Reason

_REASONS: Final = tuple(JAPANESE)
_TERMS: Final = pa.array([JAPANESE[reason] for reason in _REASONS], pa.string())
_SYMBOLS: Final = pa.array([reason.value for reason in _REASONS], pa.string())
_IS_CHANGED: Final = {
    fact: pa.array([fact in FIELDS_BY_REASON[reason] for reason in _REASONS], pa.bool_()) for fact in FACTS
}
_IS_NEW: Final = pa.array([reason in NEW_THERE for reason in _REASONS], pa.bool_())


def reason_indices(terms: pa.Array) -> pa.Array:
    """Return the index of each Japanese term in the list of reasons (int32); null if it isn't a reason."""
    return pc.index_in(terms, value_set=_TERMS)


def reason_symbols(reasons: pa.Array) -> pa.Array:
    """Return the symbols of reasons in events, from their indices."""
    return _SYMBOLS.take(reasons)


def is_new_resident(reasons: pa.Array) -> pa.Array:
    """Return whether each reason (index) makes a person a resident of the municipality."""
    return _IS_NEW.take(reasons)


def is_reason(reasons: pa.Array, reason: Reason) -> pa.Array:
    """Return whether each reason (index) is this one."""
    return pc.fill_null(pc.equal(reasons, _REASONS.index(reason)), False)


def facts(
    columns: Mapping[str, pa.Array], reasons: pa.Array, municipalities: pa.Array, mesh: Cipher
) -> pa.StructArray:
    """Return the record `Facts` of each row.

    `columns` are by fact, null where not given: dates as date32, `household` as the municipality's number, `protected`
    as boolean. `reasons` are indices. The protection measure is a fact of a birth only; otherwise it has notices of its
    own.
    """
    changes = {
        fact: _only_where(_IS_CHANGED[fact].take(reasons), column)
        for fact, column in columns.items()
        if fact in _IS_CHANGED
    }
    changes["household"] = household_codes(mesh, municipalities, changes["household"])
    if "protected" in columns:
        changes["protected"] = _only_where(is_reason(reasons, Reason.BORN), columns["protected"])
    return struct_from_columns(changes, arrow_schema("notice").field("to").type)


def _only_where(mask: pa.Array, column: pa.Array) -> pa.Array:
    return pc.if_else(mask, column, pa.scalar(None, column.type))
