"""Rows about those who hold something else: since when the domain sees a row as it is."""

from __future__ import annotations

from datetime import date

import pytest

from processors.entities.rows import READINGS, RowContext, rows_of
from processors.entities.timeline import Timeline, Version
from schemas.declare import RESIDENT
from schemas.systems.jpki import CERTIFICATE

pytestmark = pytest.mark.unit
HOLDER = next(reading for reading in READINGS[RESIDENT.id] if reading.reads.name == "holder")
VALUES = ("山田　花子",) + (None,) * (len(RESIDENT.field_names) - 1)


def resident(died_on: int) -> Timeline:
    """Return the timeline of a resident since 1 January who dies on a day of January."""
    versions = [Version(date(2026, 1, 1), True, VALUES), Version(date(2026, 1, died_on), False, VALUES)]
    return Timeline({(): versions})


def certificate(begins: int, ends: int | None) -> Timeline:
    """Return the timeline of a certificate that is open from a day of January on, until another one."""
    empty = (None,) * len(CERTIFICATE.field_names)
    versions = [Version(date(2026, 1, begins), True, empty)]
    versions += [] if ends is None else [Version(date(2026, 1, ends), False, empty)]
    return Timeline({("E1",): versions})


@pytest.mark.parametrize(
    ("died_on", "begins", "ends", "since"),
    [
        (10, 5, None, 10),
        (10, 15, None, 15),
        (10, 15, 20, 15),
        (10, 5, 20, 10),
        (20, 5, 10, 10),
    ],
)
def test_since_when_the_row_is_closed(died_on: int, begins: int, ends: int | None, since: int) -> None:
    """By the death, or by the end of the certificate; not before the domain saw the person for the first time."""
    context = RowContext(
        date(2026, 1, 31), False, {CERTIFICATE.id: certificate(begins, ends)}, lambda domain, part: None
    )
    ((_, row),) = rows_of(resident(died_on), [HOLDER], context)
    assert (row.status, row.effective_on) == ("closed", date(2026, 1, since))
