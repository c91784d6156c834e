"""A line of JSON as a row of the schema of an `in.` topic; what isn't of the form is carried raw with a fault."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

import orjson

from connectors.errors import FileFormatError
from connectors.events.conformance import completed, conforms
from connectors.files.lines import Line
from connectors.files.parsing import FORM, NOT_JSON, as_it_came
from schemas.catalogue import catalogue

#: Fields that the source gives, never the line.
OWN: Final = frozenset({"file", "line", "raw", "fault"})
#: More digits than any register's number of a notice.
_NOTICE_MAX: Final = 64
_NOTICE: Final = re.compile(rb'"notice"\s*:\s*"([0-9]{5}-[0-9]{1,58})"')


class LineReader:
    """Reads the lines of one file for one schema."""

    def __init__(self, schema: str, file: str) -> None:
        record = catalogue().schema(schema).type
        self._form = replace(record, fields=tuple(f for f in record.fields if f.name not in OWN))
        self._fields = {field.name for field in record.fields}
        self._file = file

    @property
    def carries_faults(self) -> bool:
        """Whether the schema has a place for a line that isn't of its form."""
        return "raw" in self._fields

    def read(self, line: Line) -> dict[str, Any]:
        """The line's row; FileFormatError for a bad line where the schema has no place for it."""
        try:
            value = orjson.loads(line.content)
        except orjson.JSONDecodeError:
            return self._faulty(line, NOT_JSON, None)
        if not conforms(value, self._form):
            return self._faulty(line, FORM, value)
        return self._placed(line, completed(value, self._form))

    def _placed(self, line: Line, row: dict[str, Any]) -> dict[str, Any]:
        place = {"file": self._file, "line": line.number}
        return row | {name: value for name, value in place.items() if name in self._fields}

    def _faulty(self, line: Line, fault: str, value: Any) -> dict[str, Any]:
        if not self.carries_faults:
            raise FileFormatError(
                f"{self._file}: line {line.number} is not of the form of this event ({fault})"
            )
        row: dict[str, Any] = {"raw": as_it_came(line.content), "fault": fault}
        if "notice" in self._fields:
            row["notice"] = _notice(line, value)
        return self._placed(line, row)


def _notice(line: Line, value: Any) -> str | None:
    """The notice's number where it can be read: of the object, else of what stands in the line exactly once."""
    if isinstance(value, dict):
        number = value.get("notice")
        return number if isinstance(number, str) and len(number) <= _NOTICE_MAX else None
    found = _NOTICE.findall(line.content)
    return found[0].decode("ascii") if len(found) == 1 else None
