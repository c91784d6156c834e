"""What may be shown to a domain of the place of persons who are, or ever were, protected.

The rule and its reasons are in docs/decisions/protection.md. It is stricter than fan-out's, which decides by what it
knew when it made the change: this one decides by what is known when the change is published. An address is shown if it
is one of those shown now; a located column of a reading, of which no such list exists, while no measure is in force; in
the rows of a history, which have former places, only if none ever was.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.tables import values_of
from streams.contract import LookupTable
from streams.errors import TableBehindError


def addresses_of(facts: pa.StructArray | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return the address in each of these `facts` of `domain-change`; null if it has none."""
    return pc.struct_field(facts, "address")


def withheld_rows(
    domain: str, changes: Mapping[str, pa.Array], protection: LookupTable
) -> tuple[pa.Array, pa.Array]:
    """Return whether the address of each change must not be shown, and not in a history (bool).

    `protection` is current for the changes. Raise TableBehindError if a change was made under a newer record of the
    person than the table has.
    """
    persons = changes["person"].to_pylist()
    records = protection.get_many(persons)
    if not records:
        return pa.repeat(False, len(persons)), pa.repeat(False, len(persons))
    withheld, in_history = [False] * len(persons), [False] * len(persons)
    rows = [row for row, code in enumerate(persons) if code in records]
    for row, change in zip(rows, _selected(changes, rows), strict=True):
        if change["address"] is not None:
            withheld[row] = not _may_show(domain, change, records[change["person"]])
            in_history[row] = True
    return pa.array(withheld, pa.bool_()), pa.array(in_history, pa.bool_())


def protected_rows(persons: pa.Array, protection: LookupTable) -> tuple[pa.Array, pa.Array]:
    """Return whether the person of each change is protected now, and whether the person ever was (bool).

    Only who ever was has a record. One whose record can't be read is protected now.
    """
    records = protection.get_many(pc.unique(persons).to_pylist())
    now = [code for code, record in records.items() if record is None or is_in_force(record)]
    now_protected, ever_protected = (
        pc.is_in(persons, value_set=pa.array(codes, pa.string())) for codes in (now, list(records))
    )
    return now_protected, ever_protected


def is_in_force(record: Mapping[str, Any]) -> bool:
    """Return whether any measure of a record of `protection` is in force now."""
    return any(measure["until"] is None for measure in record["measures"])


def _selected(changes: Mapping[str, pa.Array], rows: list[int]) -> list[dict[str, Any]]:
    indices, names = pa.array(rows, pa.int64()), ("person", "revision", "effective_on")
    columns = [values_of(changes[name].take(indices)) for name in names]
    columns.append(addresses_of(changes["facts"].take(indices)).to_pylist())
    return [dict(zip((*names, "address"), values, strict=True)) for values in zip(*columns, strict=True)]


def _may_show(domain: str, change: Mapping[str, Any], record: Mapping[str, Any] | None) -> bool:
    """Return whether a change may show its address by the person's record; None is a record that can't be read."""
    if record is None:
        return False
    is_shown_now = change["address"] in record["addresses"]
    if not is_shown_now and change["revision"] > _revision(record, domain):
        # Fan-out publishes a record with each change that makes another address visible: it isn't in the table yet.
        raise TableBehindError("topic protection lacks the record of a change: nothing is processed")
    return is_shown_now and not any(_applies(m, change["effective_on"]) for m in record["measures"])


def _revision(record: Mapping[str, Any], domain: str) -> int:
    revisions = (each["revision"] for each in record["revisions"] if each["domain"] == domain)
    return next(revisions, 0)


def _applies(measure: Mapping[str, Any], day: date) -> bool:
    """Return whether a measure is in force now, or was on the day of effect."""
    return measure["until"] is None or measure["since"] <= day < measure["until"]
