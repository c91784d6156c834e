"""(a), (d) Household, then fan-out, each on servers of its own: a synthetic city and a month of changes."""

from __future__ import annotations

from pathlib import Path

from tests.bench import quix, stateful
from tests.bench.cluster import running
from tests.bench.figures import Figure, at_least
from tests.bench.sizes import Say, Sizes

GOAL = at_least(3)


def measure(folder: Path, sizes: Sizes, say: Say) -> list[Figure]:
    """Each step against the bare loop, a record at a time and Quix Streams; both together against the latter."""
    missing = ""
    try:
        python = quix.python(folder, say)
    except quix.MissingError as error:
        python, missing = None, str(error)
    found = []
    for step in stateful.STEPS:
        # What household puts out is not what fan-out is fed: each has servers of its own.
        with running(folder) as place:
            found.append(stateful.Comparison(place, step, sizes, python, say).run())
    return [
        *(figure for each in found for figure in stateful.figures(each)),
        *stateful.against_quix(found, GOAL, missing),
    ]
