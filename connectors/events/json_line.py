"""A line of JSON as a row of an input topic's schema; a line of another format is carried raw with a fault."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

import orjson

from connectors.errors import FileFormatError
from connectors.events.conformance import conforms, with_defaults
from connectors.files.lines import Line
from connectors.files.parsing import FORMAT_FAULT, JSON_FAULT, to_base64
from schemas.catalogue import catalogue
from schemas.systems.model import SEALED

#: Fields that the source sets; a line may not have them.
SOURCE_FIELDS: Final = frozenset({"file", "line", "raw", "fault", SEALED})
#: Longest number of a submission.
_NUMBER_LENGTH_MAX: Final = 32
#: Fields with the number of a submission; a schema that can carry a line raw has at most one of them.
_NUMBER_FIELDS: Final = ("notice", "number")


class JsonLineParser:
    """A parser of the lines of one file for one schema."""

    def __init__(self, schema: str, file: str) -> None:
        record = catalogue().schema(schema).type
        submitted = tuple(f for f in record.fields if f.name not in SOURCE_FIELDS)
        self._line_type = replace(record, fields=submitted)
        self._fields = {field.name for field in record.fields}
        self._number_field = next((name for name in _NUMBER_FIELDS if name in self._fields), None)
        self._file = file

    @property
    def has_fault_fields(self) -> bool:
        """Whether the schema has fields for a line that does not conform to it."""
        return "raw" in self._fields

    def parse(self, line: Line) -> dict[str, Any]:
        """Return the line's row.

        Raise FileFormatError for a line that does not conform, if the schema has no fields to carry it raw.
        """
        try:
            value = orjson.loads(line.content)
        except orjson.JSONDecodeError:
            return self._row_with_fault(line, JSON_FAULT, None)
        if not conforms(value, self._line_type):
            return self._row_with_fault(line, FORMAT_FAULT, value)
        return self._with_origin(line, with_defaults(value, self._line_type))

    def _with_origin(self, line: Line, row: dict[str, Any]) -> dict[str, Any]:
        origin = {"file": self._file, "line": line.number}
        return row | {name: value for name, value in origin.items() if name in self._fields}

    def _row_with_fault(self, line: Line, fault: str, value: Any) -> dict[str, Any]:
        if not self.has_fault_fields:
            raise FileFormatError(
                f"{self._file}: line {line.number} is not an event of this system's schema ({fault})"
            )
        row: dict[str, Any] = {"raw": to_base64(line.content), "fault": fault}
        if self._number_field is not None:
            row[self._number_field] = _number(line, value, self._number_field)
        return self._with_origin(line, row)


def _number(line: Line, value: Any, field: str) -> str | None:
    """Return the number of the submission: the object's, or in a line that is not JSON the only one; None if none."""
    if isinstance(value, dict):
        number = value.get(field)
        return number if isinstance(number, str) and len(number) <= _NUMBER_LENGTH_MAX else None
    numbers = re.findall(rb'"%b"\s*:\s*"([A-Za-z0-9-]{1,32})"' % field.encode(), line.content)
    return numbers[0].decode("ascii") if len(numbers) == 1 else None
