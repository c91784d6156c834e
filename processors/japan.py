"""Days in Japan's time, which has no daylight saving: nine hours ahead of UTC."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

JAPAN_AHEAD_MS: Final = 9 * 3_600_000
DAY_MS: Final = 86_400_000
_EPOCH: Final = date(1970, 1, 1)


def day_of_ms(time_ms: int) -> date:
    """Return the day in Japan of a time in milliseconds since 1970."""
    return _EPOCH + timedelta(days=(time_ms + JAPAN_AHEAD_MS) // DAY_MS)


def first_ms_of(day: date) -> int:
    """Return the time at which a day begins in Japan, in milliseconds since 1970."""
    return (day - _EPOCH).days * DAY_MS - JAPAN_AHEAD_MS
