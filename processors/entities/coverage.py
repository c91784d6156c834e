"""Whether, and since when, a person belongs to those whom a reading is about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final, NamedTuple

from processors.entities.timeline import Version


class CoverageState(NamedTuple):
    """Whether a person belongs to those whom a reading is about, and since when; not open if they did before.

    `began` is the day on which they came to belong to them last.
    """

    open: bool
    since: date
    began: date


#: The coverage of a reading that is about everybody.
EVERYBODY: Final = CoverageState(open=True, since=date.min, began=date.min)

#: The first day of a period, and the first day after it; None if it doesn't end.
Period = tuple[date, date | None]


def open_periods(versions: Sequence[Version]) -> Iterator[Period]:
    """Yield the periods in which a key is open."""
    begins: date | None = None
    for version in versions:
        if version.open and begins is None:
            begins = version.begins
        elif not version.open and begins is not None:
            yield begins, version.begins
            begins = None
    if begins is not None:
        yield begins, None


def held(periods: Sequence[Period], day: date) -> CoverageState | None:
    """Return whether any of the periods holds on a day, and since when one after the other does, or none does."""
    found: CoverageState | None = None
    last_day: date | None = None
    for begins, ends in sorted(periods, key=lambda period: period[0]):
        if begins > day:
            break
        if found is None or (last_day is not None and begins > last_day):
            found, last_day = CoverageState(open=True, since=begins, began=begins), ends
        elif last_day is not None:
            last_day = None if ends is None else max(last_day, ends)
    if found is None or last_day is None or last_day > day:
        return found
    return found._replace(open=False, since=last_day)
