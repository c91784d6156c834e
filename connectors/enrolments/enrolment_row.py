"""A row of an enrolments file, and the domain and municipality whose input topic it belongs to."""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

from connectors.files.lines import Line
from connectors.files.parsing import (
    COLUMNS_FAULT,
    ENCODING_FAULT,
    Encoding,
    decode,
    split_columns,
    to_base64,
)
from connectors.source import Route
from schemas.catalogue import catalogue
from schemas.declare import ENROLLED
from schemas.municipalities import is_municipality
from schemas.submission_schemas import GENERATED_SCHEMAS
from schemas.systems import SYSTEMS

HEADER: Final = "業務,市区町村コード,住民票コード,開始日"
FIELDS: Final = ("domain", "municipality", "code", "since")
#: Ids of the domains that publish enrolments, alone or among other events.
_SUBMITTERS: Final = frozenset(
    s.id for s in SYSTEMS.values() if s.publishes and s.domain is not None and s.domain.enrolment is not None
)
#: Field that has the enrolment in the schema of a domain that publishes other events too.
_NESTED: Final = "enrolment"


class EnrolmentRow(NamedTuple):
    """A row of the schema of its route; `route` is None if the row names no domain or no municipality."""

    route: Route | None
    row: dict[str, Any]

    @property
    def is_fault(self) -> bool:
        """Whether the row is published unparsed (raw)."""
        return self.row.get("fault") is not None


def parse_enrolment(line: Line, encoding: Encoding, file: str) -> EnrolmentRow:
    """Return the line as a row of the schema of its route.

    A row that cannot be parsed is published unparsed (raw) with a fault; no error is raised.
    """
    fault, columns = _columns(line, encoding)
    origin = {"file": file, "line": line.number}
    route = _route(*columns[:2]) if len(columns) >= 2 else None
    if fault:
        return EnrolmentRow(route, origin | {"raw": to_base64(line.content), "fault": fault})
    enrolment = dict(zip(FIELDS, columns, strict=True))
    return EnrolmentRow(route, origin | (_fields(route, enrolment) if route else enrolment))


def _fields(route: Route, enrolment: dict[str, str]) -> dict[str, Any]:
    """Return the enrolment in the fields of its route's schema."""
    if route.schema in GENERATED_SCHEMAS:
        head = {name: enrolment[name] for name in ("municipality", "code")}
        return head | {"event": ENROLLED, "effective_on": enrolment["since"]}
    return {_NESTED: enrolment} if _is_nested(route.schema) else enrolment


def _columns(line: Line, encoding: Encoding) -> tuple[str | None, list[str]]:
    """Return the fault, or None, and the columns; with a fault those that are readable."""
    try:
        columns = split_columns(decode(line.content, encoding))
    except UnicodeError:
        readable = [column.decode("ascii", "replace") for column in line.content.split(b",")]
        return ENCODING_FAULT, readable
    if columns is None:
        return COLUMNS_FAULT, []
    return (None if len(columns) == len(FIELDS) else COLUMNS_FAULT), columns


def _route(domain: str, municipality: str) -> Route | None:
    """Return the route; None if the domain publishes no enrolments, or its municipality is not valid."""
    if domain not in _SUBMITTERS:
        return None
    if not SYSTEMS[domain].municipal:
        return Route(domain)
    return Route(domain, municipality) if is_municipality(municipality) else None


@cache
def _is_nested(schema: str) -> bool:
    return any(field.name == _NESTED for field in catalogue().schema(schema).type.fields)
