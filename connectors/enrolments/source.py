"""The source of `enrolments*.csv`: each row goes to its domain's own input topic, as that domain's user.

A row that names no domain, or no municipality of a municipal domain, has no input topic. No user may publish it, and
there is no submitter to whom a rejection could be reported. The whole file is then rejected before anything is
published, with the lines named (UnroutableError), so no row is lost silently. All other faults are carried with
their row, and intake rejects it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from connectors.enrolments.enrolment_row import HEADER, EnrolmentRow, parse_enrolment
from connectors.errors import UnroutableError
from connectors.files.parsing import Encoding, detect_encoding
from connectors.files.source import FileSettings, FileSource
from connectors.source import Route, SubmissionBatch
from schemas.tables import table_from_rows


class EnrolmentsSource(FileSource[EnrolmentRow]):
    """A source of an enrolments file; the header must be in `encoding`, if that is passed."""

    def __init__(
        self, path: Path, encoding: Encoding | None = None, settings: FileSettings | None = None
    ) -> None:
        super().__init__(path, settings)
        self._encoding = encoding

    def open(self) -> Collection[Route]:
        """Check the whole file. Raise SourceFileError if it cannot be ingested."""
        header = next(self._file.lines())
        encoding = detect_encoding(self._file.name, header.content, HEADER, self._encoding)
        routes: dict[Route, None] = {}
        unroutable_lines: list[int] = []
        for enrolment in self._enrolments(encoding):
            if enrolment.route:
                routes[enrolment.route] = None
            else:
                unroutable_lines.append(enrolment.row["line"])
        if unroutable_lines:
            raise UnroutableError(self._unroutable_message(unroutable_lines))
        self._start_polling(self._enrolments(encoding), _to_batches)
        return list(routes)

    def _enrolments(self, encoding: Encoding) -> Iterator[EnrolmentRow]:
        return (parse_enrolment(line, encoding, self._file.name) for line in self._lines(skip=1))

    def _unroutable_message(self, numbers: list[int]) -> str:
        named = numbers[: self._settings.lines_named_max]
        more = f" and {len(numbers) - len(named)} more" if len(numbers) > len(named) else ""
        lines = ", ".join(map(str, named))
        return (
            f"{self._file.name}: no domain that publishes enrolments, or no municipality of it, in line {lines}{more};"
            " correct or remove these lines"
        )


def _to_batches(enrolments: list[EnrolmentRow]) -> Sequence[SubmissionBatch]:
    by_route: dict[Route, list[EnrolmentRow]] = {}
    for enrolment in enrolments:
        if enrolment.route:
            by_route.setdefault(enrolment.route, []).append(enrolment)
    return [_to_batch(route, group) for route, group in by_route.items()]


def _to_batch(route: Route, enrolments: list[EnrolmentRow]) -> SubmissionBatch:
    table = table_from_rows(route.schema, [enrolment.row for enrolment in enrolments])
    return SubmissionBatch(route, table, len(enrolments), sum(e.is_fault for e in enrolments))
