"""The columns of declared readings: from texts by position to columns of the declared types.

Fan-out has made each row from the declaration already. Here the texts are checked against it once more: a row that the
declaration doesn't describe becomes poison, and nothing of it goes out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.intake.formats import to_date
from schemas.declare import Reads
from schemas.declare.reads import HISTORY_LAST_DAYS

#: Any number of this form fits into 64 bits.
_LONG: Final = "^-?[0-9]{1,18}$"


@dataclass(frozen=True)
class ReadingColumns:
    """The rows of one reading in a batch of changes.

    `columns` are by name in the order of the reading, null in changes of other entities. `is_row` (bool) is whether a
    change is of this reading, `is_readable` (bool) whether its texts are those of a row of this reading.
    """

    columns: Mapping[str, pa.Array]
    is_row: pa.Array
    is_readable: pa.Array


#: Conversions of texts by `EntityField.conversion`; each returns null for a text that can't be converted.
Conversions = Mapping[str, Callable[[pa.Array], pa.Array]]


def reading_columns(
    reads: Reads, changes: Mapping[str, pa.Array], conversions: Conversions
) -> ReadingColumns:
    """Return the rows of a reading from columns `entity`, `op` and `columns` of changes.

    A row has a text for each field, null where there is no value; a deleted row has those of the key only. A row that
    fan-out made before fields were added to the declaration has fewer: it has no value of those that were added.
    """
    is_row = pc.equal(changes["entity"], reads.name)
    is_delete = pc.equal(changes["op"], "DELETE")
    keys, count = len(reads.entity.key_fields), len(reads.fields)
    # Fields are added at the end; in a history its last days come after them.
    added_at = count - HISTORY_LAST_DAYS if reads.is_history else count
    length = pc.fill_null(pc.list_value_length(changes["columns"]), -1)
    missing = pc.if_else(is_delete, 0, pc.subtract(count, length))
    is_complete = pc.if_else(is_delete, pc.equal(length, keys), pc.less_equal(missing, added_at - keys))
    fits = pc.and_(is_row, pc.and_(is_complete, pc.greater_equal(missing, 0)))
    is_readable, columns = fits, {}
    for position, declared in enumerate(reads.fields):
        is_key = position < keys
        present = fits if is_key else pc.and_not(fits, is_delete)
        if position < added_at:
            present = pc.and_(present, pc.less(position, pc.subtract(added_at, missing)))
            texts = _texts_at(changes["columns"], position, present)
        else:
            texts = _texts_at(changes["columns"], pc.subtract(position, missing), present)
        values = (
            conversions[declared.conversion](texts) if declared.conversion else _CAST[declared.type](texts)
        )
        is_cast = pc.is_valid(values) if is_key else pc.equal(pc.is_valid(values), pc.is_valid(texts))
        is_readable = pc.and_(is_readable, is_cast)
        columns[declared.name] = values
    return ReadingColumns(columns, is_row, is_readable)


def located_columns(reads: Reads) -> tuple[str, ...]:
    """Return the columns of a reading that point to the person's place."""
    return tuple(declared.name for declared in reads.fields if declared.is_location)


def _texts_at(lists: pa.ListArray, position: int | pa.Array, present: pa.Array) -> pa.Array:
    """Return the text at this position of each list; null where not `present`, which implies a list that long."""
    starts = lists.offsets.slice(0, len(lists))
    return lists.values.take(pc.if_else(present, pc.add(starts, position), None))


def _to_long(texts: pa.Array) -> pa.Array:
    """Return the numbers (int64) that the texts are; null if a text is none."""
    return pc.if_else(pc.match_substring_regex(texts, _LONG), texts, None).cast(pa.int64())


#: Cast of texts to each type of field; null where a text isn't of the type.
_CAST: Final[Mapping[str, Callable[[pa.Array], pa.Array]]] = {
    "string": lambda texts: texts,
    "date": to_date,
    "long": _to_long,
}
