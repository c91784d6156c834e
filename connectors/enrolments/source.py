"""The source of `enrolments*.csv`: each row goes to its domain's own `in.` topic, as that domain's user.

A row that names no domain, or no municipality of a municipal domain, has no topic: nobody has the right to hand it
over, and there is no register to which it could be reported as refused. So that no row is lost without a word, the
file is then refused as a whole, before anything is published, with the lines named (UnroutableError). All other
faults travel with the row, for intake to refuse.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from connectors.enrolments.enrolment_row import HEADER, EnrolmentRow, enrolment_of
from connectors.errors import UnroutableError
from connectors.files.parsing import Encoding, encoding_of
from connectors.files.source import FileSettings, FileSource
from connectors.source import Route, SubmissionBatch
from schemas.tables import table_from_rows


class EnrolmentsSource(FileSource[EnrolmentRow]):
    """Reads a file of enrolments; `encoding` overrides what the header says."""

    def __init__(
        self, path: Path, encoding: Encoding | None = None, settings: FileSettings | None = None
    ) -> None:
        super().__init__(path, settings)
        self._encoding = encoding

    def open(self) -> Collection[Route]:
        """Looks the whole file through; SourceFileError: nothing of it can be taken in."""
        header = next(self._file.lines())
        encoding = encoding_of(self._file.name, header.content, HEADER, self._encoding)
        routes: dict[Route, None] = {}
        lost: list[int] = []
        for enrolment in self._enrolments(encoding):
            if enrolment.route:
                routes[enrolment.route] = None
            else:
                lost.append(enrolment.row["line"])
        if lost:
            raise UnroutableError(self._sentence(lost))
        self._begin(self._enrolments(encoding), _by_route)
        return list(routes)

    def _enrolments(self, encoding: Encoding) -> Iterator[EnrolmentRow]:
        return (enrolment_of(line, encoding, self._file.name) for line in self._lines(after=1))

    def _sentence(self, lost: list[int]) -> str:
        named = lost[: self._settings.lines_named_max]
        more = f" and {len(lost) - len(named)} more" if len(lost) > len(named) else ""
        lines = ", ".join(map(str, named))
        return (
            f"{self._file.name}: no domain that takes enrolments, or no municipality of it, in line {lines}{more};"
            " nothing of the file was taken in"
        )


def _by_route(enrolments: list[EnrolmentRow]) -> Sequence[SubmissionBatch]:
    by_route: dict[Route, list[EnrolmentRow]] = {}
    for enrolment in enrolments:
        if enrolment.route:
            by_route.setdefault(enrolment.route, []).append(enrolment)
    return [_hand_overs(route, theirs) for route, theirs in by_route.items()]


def _hand_overs(route: Route, enrolments: list[EnrolmentRow]) -> SubmissionBatch:
    table = table_from_rows(route.schema, [enrolment.row for enrolment in enrolments])
    return SubmissionBatch(route, table, len(enrolments), sum(e.is_fault for e in enrolments))
