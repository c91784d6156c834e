"""What must hold of fan-out's clock, agenda and adoption in any run, read from its changelogs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import Any

from schemas.declaration_digests import declaration_digests

#: The records of a store's changelog in one partition, in order.
Stored = Sequence[Mapping[str, Any]]


def clock_differences(by_partition: Iterable[Stored], last_day: date) -> Iterator[str]:
    """Yield what is wrong with the days of partitions: they only grow, up to the last one."""
    went_back = other_end = unfinished = 0
    for rows in by_partition:
        days: list[date] = [row["day"] for row in rows]
        went_back += sum(after < before for before, after in pairwise(days))
        other_end += days[-1:] != [last_day]
        unfinished += any(row["is_catching_up"] for row in rows[-1:])
    if went_back:
        yield f"the day of a partition went back {went_back} times"
    if other_end:
        yield f"{other_end} partitions end on another day than the last"
    if unfinished:
        yield f"{unfinished} partitions wait for a record to go on with the agenda"


def agenda_differences(keys: Iterable[str], last_day: date) -> Iterator[str]:
    """Yield whether any of the entries that are left on the agenda is overdue; a key begins with the day."""
    if overdue := sum(key.split("/")[0] <= str(last_day) for key in keys):
        yield f"{overdue} entries of the agenda are overdue"


def adoption_end_differences(stored: Stored, number: int) -> Iterator[str]:
    """Yield whether a partition ends without having adopted the declarations of now, which have this number."""
    if not stored or not stored[-1]["complete"]:
        yield "the adoption isn't complete"
    elif (stored[-1]["number"], digests_of(stored[-1])) != (number, dict(declaration_digests())):
        yield "the adoption ends with other declarations"


def digests_of(stored: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests in a record of the adoption, by name."""
    return {each["name"]: each["digest"] for each in stored["digests"]}
