"""What a hand-over says, as one string: equal for identical hand-overs, and for no others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

_ESCAPE: Final = "\x1a"
_FIELD: Final = "\x1f"
_ROW: Final = "\x1d"
_NULL: Final = f"{_ESCAPE}3"


def joined(columns: Sequence[pa.Array], *, clean: bool) -> pa.Array:
    """The columns of each row. `clean`: no value has a control character, so none needs to be escaped."""
    parts = columns if clean else [_escaped(column) for column in columns]
    return pc.binary_join_element_wise(*parts, _FIELD, null_handling="replace", null_replacement=_NULL)


def gathered(rows: pa.Array, offsets: pa.Array) -> pa.Array:
    """The rows of each hand-over; `offsets` (int32) say where each begins and the last ends."""
    return pc.binary_join(pa.ListArray.from_arrays(offsets, rows), _ROW)


def _escaped(column: pa.Array) -> pa.Array:
    for mark, substitute in ((_ESCAPE, "0"), (_FIELD, "1"), (_ROW, "2")):
        column = pc.replace_substring(column, mark, _ESCAPE + substitute)
    return column
