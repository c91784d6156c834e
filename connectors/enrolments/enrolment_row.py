"""A row of enrolments, and the domain and municipality in whose name it is handed over."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from connectors.files.lines import Line
from connectors.files.parsing import COLUMNS, ENCODING, Encoding, as_it_came, columns_of, decode
from connectors.source import Route
from schemas.municipalities import is_municipality
from schemas.systems import SYSTEMS

HEADER: Final = "業務,市区町村コード,住民票コード,開始日"
FIELDS: Final = ("domain", "municipality", "code", "since")
#: Systems that file enrolments, by themselves or among other events.
FILING: Final = frozenset(s.id for s in SYSTEMS.values() if s.domain is not None and s.publishes)
_PORTAL: Final = "portal-event"


class EnrolmentRow(NamedTuple):
    """A row for its route; `route` is None where the row names nobody to hand it over."""

    route: Route | None
    row: dict[str, Any]

    @property
    def is_fault(self) -> bool:
        """Whether it is carried raw."""
        return self.row.get("fault") is not None


def enrolment_of(line: Line, encoding: Encoding, file: str) -> EnrolmentRow:
    """The line as a row of the schema that its route has; never an error."""
    fault, columns = _columns(line, encoding)
    place = {"file": file, "line": line.number}
    route = _route(*columns[:2]) if len(columns) >= 2 else None
    if fault:
        return EnrolmentRow(route, place | {"raw": as_it_came(line.content), "fault": fault})
    said = dict(zip(FIELDS, columns, strict=True))
    if route and route.schema == _PORTAL:
        return EnrolmentRow(route, place | {"enrolment": said})
    return EnrolmentRow(route, place | said)


def _columns(line: Line, encoding: Encoding) -> tuple[str | None, list[str]]:
    """A fault, if there is one, and the columns; with a fault those that can be read."""
    try:
        columns = columns_of(decode(line.content, encoding))
    except UnicodeError:
        readable = [part.decode("ascii", "replace") for part in line.content.split(b",")]
        return ENCODING, readable
    if columns is None:
        return COLUMNS, []
    return (None if len(columns) == len(FIELDS) else COLUMNS), columns


def _route(domain: str, municipality: str) -> Route | None:
    """Who hands it over; None where the domain files no enrolments, or the municipality is none."""
    if domain not in FILING:
        return None
    if not SYSTEMS[domain].municipal:
        return Route(domain)
    return Route(domain, municipality) if is_municipality(municipality) else None
