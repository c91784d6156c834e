"""Names that fields and readings of declared entities may have."""

from __future__ import annotations

import re
from typing import Final

#: Columns that every submission or every row of a reading has. No field may have such a name.
COMMON_NAMES: Final = frozenset(
    {
        "cancels", "case_code", "code", "effective_on", "entity", "event", "fault", "file", "known_from", "known_to",
        "line", "members", "municipality", "number", "op", "raw", "recorded_on", "revision", "sealed", "status",
        "valid_from", "valid_to",
    }
)  # fmt: skip
#: Those of them that a derived entity may have: no row of a reading has them otherwise, and nobody submits it.
DERIVED_NAMES: Final = frozenset({"known_from", "known_to", "number", "valid_from", "valid_to"})
#: Columns that PostgreSQL adds to every table.
SYSTEM_COLUMNS: Final = frozenset({"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"})
#: Longest name of a field or a reading in characters; PostgreSQL allows 63 bytes, and the sink adds a word.
NAME_MAX: Final = 50

FIELD_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
