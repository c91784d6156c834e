"""The content of a submission as one string: equal for equal submissions, and different for all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

_ESCAPE: Final = "\x1a"
_FIELD: Final = "\x1f"
_ROW: Final = "\x1d"
_NULL: Final = f"{_ESCAPE}3"


def join_columns(columns: Sequence[pa.Array], *, without_control_characters: bool) -> pa.Array:
    """Return each row's values joined to one string, distinct for distinct rows.

    `without_control_characters` means that no value has one, so none needs to be escaped.
    """
    parts = columns if without_control_characters else [_escape(column) for column in columns]
    return pc.binary_join_element_wise(*parts, _FIELD, null_handling="replace", null_replacement=_NULL)


def join_rows(rows: pa.Array, offsets: pa.Array) -> pa.Array:
    """Return the joined rows of each submission; `offsets` (int32, one more than submissions) are those of lists."""
    return pc.binary_join(pa.ListArray.from_arrays(offsets, rows), _ROW)


def _escape(column: pa.Array) -> pa.Array:
    for character, substitute in ((_ESCAPE, "0"), (_FIELD, "1"), (_ROW, "2")):
        column = pc.replace_substring(column, character, _ESCAPE + substitute)
    return column
