"""Which addresses of persons who are, or ever were, protected may be shown to a domain.

The rule and its reasons are in docs/decisions/protection.md. It is stricter than fan-out's, which decides by what it
knew when it made the change: this one decides by what is known when the change is published.
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


def withheld_rows(domain: str, changes: Mapping[str, pa.Array], protection: LookupTable) -> pa.Array:
    """Return whether the address of each change must not be shown (bool); `protection` is current for the changes.

    Raise TableBehindError if a change was made under a newer record of the person than the table has.
    """
    persons = changes["person"].to_pylist()
    records = protection.get_many(persons)
    if not records:
        return pa.repeat(False, len(persons))
    withheld = [False] * len(persons)
    rows = [row for row, code in enumerate(persons) if code in records]
    for row, change in zip(rows, _selected(changes, rows), strict=True):
        if change["address"] is not None:
            withheld[row] = not _may_show(domain, change, records[change["person"]])
    return pa.array(withheld, pa.bool_())


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
