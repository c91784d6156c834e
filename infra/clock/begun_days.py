"""Which days to submit when. Pure: the time of the machine's clock is an argument, in milliseconds since 1970."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from processors.japan import day_of_ms, first_ms_of

#: A day is submitted so long after its midnight. By then it has begun by the brokers' clocks too: intake rejects a day
#: that is later than the day of its receipt.
AFTER_MIDNIGHT_MS: Final = 60_000
#: Most days submitted at once. A day stands for all before it, so the oldest ones of a longer stop are left out.
DAYS_MAX: Final = 400


def begun_day(now_ms: int) -> date:
    """Return the last day that has begun in Japan."""
    return day_of_ms(now_ms - AFTER_MIDNIGHT_MS)


def ms_until_next(now_ms: int) -> int:
    """Return the milliseconds until the next day begins."""
    return first_ms_of(begun_day(now_ms) + timedelta(days=1)) + AFTER_MIDNIGHT_MS - now_ms


def days_to_submit(last: date | None, today: date) -> list[date]:
    """Return the days after the last one submitted, up to today; only today if none was submitted yet.

    There are none if the last one isn't before today, because the machine's clock was set back.
    """
    first = today if last is None else last + timedelta(days=1)
    number = min((today - first).days + 1, DAYS_MAX)
    return [today - timedelta(days=before) for before in reversed(range(number))]
