"""What must stay in order with a notice in its municipality's list; see `processors.order`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processors.household.register import Register
from processors.order import About, strands_of
from streams.contract import Strands

Row = Mapping[str, Any]


def strands_in(row: Row, register: Register) -> Strands:
    """The strands of a notice at the end of the list; within its municipality."""
    cancelled = register.listed(row["cancels"]) if row["cancels"] is not None else None
    named = row["persons"] is not None
    persons = [each["person"] for each in row["persons"] or ()]
    persons += cancelled.persons if cancelled else ()
    persons += () if named or row["household"] is None else register.members(row["household"])
    locals_ = [register.local(person) for person in persons]
    facts = [each["facts"] for each in row["persons"] or ()] + [row["to"] or {}]
    # Whose notice is cancelled, is again where that one found them.
    again = (
        [register.local(person).without(cancelled.seq) for person in cancelled.persons] if cancelled else []
    )
    found = strands_of(
        About(
            persons=persons,
            numbers=(row["notice"], row["cancels"]),
            joined=[
                *(each.get("household") for each in facts),
                *(local.household for local in again if local.resident),
            ],
            left=[local.household for local in locals_ if local.resident],
            meant=None if named else row["household"],
        )
    )
    return Strands(_within(row, found.waits), _within(row, found.holds))


def _within(row: Row, strands: Any) -> list[str]:
    return [f"{row['municipality']}/{strand}" for strand in strands]
