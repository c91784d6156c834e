"""The source of days, and the file in which it remembers the last one that the broker has."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from pathlib import Path
from typing import Final

import orjson

from connectors.source import Route, SubmissionBatch
from infra.apply.installation import Installation
from infra.errors import OperatorError
from infra.local.home import write_json
from schemas.systems import CLOCK
from schemas.tables import table_from_rows

_DAY: Final = "day"


def file_of(installation: Installation) -> Path:
    """Return the file with the last day submitted from this installation."""
    return installation.folder / "clock.json"


def last_submitted(file: Path) -> date | None:
    """Return the last day submitted, None if there was none. Raise OperatorError for a damaged file."""
    try:
        return date.fromisoformat(orjson.loads(file.read_bytes())[_DAY])
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise OperatorError(
            f"{file} is damaged: delete it; the clock then goes on with the day of today"
        ) from error


class DaysSource:
    """A source of these days, one submission each (`connectors.source` has its lifecycle)."""

    def __init__(self, file: Path, days: Sequence[date]) -> None:
        self._file, self._days = file, days
        self._is_polled = False

    @property
    def bytes_total(self) -> int:
        """Return 0: the days have no input."""
        return 0

    @property
    def bytes_done(self) -> int:
        """Return 0: the days have no input."""
        return 0

    def open(self) -> Collection[Route]:
        """Return the route of the clock."""
        return [Route(CLOCK)]

    def poll(self) -> Sequence[SubmissionBatch]:
        """Return all days at the first call."""
        if self._is_polled or not self._days:
            return []
        self._is_polled = True
        route, rows = Route(CLOCK), [{_DAY: str(day)} for day in self._days]
        return [SubmissionBatch(route, table_from_rows(route.schema, rows), len(rows), 0)]

    def commit(self) -> None:
        """Remember the last day."""
        if self._is_polled:
            write_json(self._file, {_DAY: str(self._days[-1])})

    def close(self) -> None:
        """Do nothing: the source holds no resources."""
