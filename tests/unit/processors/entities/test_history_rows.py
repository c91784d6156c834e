"""Histories: for each two days, what held on one of them as it was known on the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from random import Random
from typing import Any

import pytest

from processors.conversion.change_columns import change_columns
from processors.entities.entity_fold import fold
from processors.entities.history_rows import KnownTimeline, history_rows
from processors.entities.rows import PreparedReading, Row, RowContext, RowId, prepared, rows_of
from processors.entities.timeline import Submission, Timeline
from schemas.declare import DeclarationError, Enrolled, HeldBy, Reads, history_of
from schemas.systems import DOMAINS, Domain
from tests.unit.infra.random_entities import BASE, LAST_DAY, Case, day, random_case
from tests.unit.processors.conversion.test_conversion import KEYS, change
from tests.unit.processors.conversion.test_conversion import PERSON as PERSON_CODE
from tests.unit.processors.entities import cards
from tests.unit.processors.protection_tables import measure, protected, protection_tables
from tests.unit.processors.submissions import batch

pytestmark = pytest.mark.unit
CARD = DOMAINS["card"]
#: What a table shows: by municipality and key, the status, the columns and the day of effect.
Shown = dict[tuple[Any, ...], tuple[Any, ...]]


def as_of(rows: Mapping[RowId, Row], reading: PreparedReading, effective: date, known: date) -> Shown:
    """Return what held on a day as known on another, by the rows of a history."""
    names = [each.name for each in history_of(reading.reads).fields]
    shown: Shown = {}
    for id_, row in rows.items():
        columns = dict(zip(names, row.columns, strict=True))
        days = [columns.pop(name) for name in ("valid_from", "valid_to", "known_from", "known_to")]
        if covers(days[0], days[1], effective) and covers(days[2], days[3], known):
            key = (id_.part, *id_.key[:-2])
            assert key not in shown, "two rows hold at the same time"
            shown[key] = (row.status, row.effective_on, tuple(columns.values()))
    return shown


def covers(first: str | None, end: str | None, day: date) -> bool:
    """Return whether a day is from the first one on and before the end, None if there is none."""
    return (first or "") <= day.isoformat() and (end is None or day.isoformat() < end)


# -- random entities, against folds of what had been received


def received_day(submission: Submission) -> date:
    """Return the day on which a submission of these tests is received."""
    return day(int(submission.received) % LAST_DAY + 1)


def folded(case: Case, lives: Sequence[tuple[date, Case]], known: date) -> Timeline:
    """Return the timeline of what had been received by the end of a day."""
    until_then = [each for each in case.submissions if received_day(each) <= known]
    life = [each.life for since, each in lives if since <= known]
    prefix = replace(case, submissions=tuple(until_then), moves=(), causes=())
    return fold(
        case.entity,
        prefix.of(case.entity),
        life[-1] if life else prefix.life,
        {BASE.id: fold(BASE, prefix.of(BASE))},
    )


@pytest.mark.parametrize("first", range(0, 300, 50))
def test_a_history_has_what_was_known_of_every_day(first: int) -> None:
    """Its rows say for all two days what the fold of the submissions received by the one says of the other."""
    for seed in range(first, first + 50):
        case, rng = random_case(seed), Random(seed)  # noqa: S311 (nothing secret)
        reads = Reads(
            "all",
            case.entity,
            case.entity.field_names,
            "試験",
            "試験法",
            history=True,
            history_basis="試験法",
        )
        reading = prepared(CARD, reads)
        # What was known of the life: cases of other seeds, whose lives have nothing in common.
        lives = [(on, random_case(rng.randint(0, 99))) for on in sorted(rng.sample(_days(1), 2))]
        received = {received_day(each) for each in case.submissions} | {since for since, _ in lives}
        known = [KnownTimeline(on, folded(case, lives, on)) for on in sorted(received)]
        for today in (day(LAST_DAY + 6), day(rng.randint(1, LAST_DAY))):
            protected = rng.random() < 0.3
            rows = list(history_rows(known, [reading], today, ever_protected=protected))
            assert len(dict(rows)) == len(rows)
            for on in _days(0):
                timeline = folded(case, lives, on)
                for effective in (each for each in _days(6) if each <= today):
                    context = RowContext(effective, protected, {}, lambda *_: None)
                    expected = {
                        (id_.part, *id_.key): (row.status, row.effective_on, row.columns)
                        for id_, row in rows_of(timeline, [reading], context)
                    }
                    assert as_of(dict(rows), reading, effective, on) == expected, (seed, effective, on)


def _days(more: int) -> list[date]:
    return [day(number) for number in range(LAST_DAY + 1 + more)]


# -- examples

READING = replace(cards.READING, history="library_card_history")


def history(*known: tuple[int, list[Submission]], today: int = 30, protected: bool = False) -> list[Any]:
    """Return the rows, of what was known at the end of these days, as numbers of days and values, in their order."""
    timelines = [KnownTimeline(cards.day(on), fold(cards.LIBRARY_CARD, each)) for on, each in known]
    rows = history_rows(timelines, [READING], cards.day(today), ever_protected=protected)
    found = []
    for _, row in rows:
        _, valid_from, known_from, state, branch, valid_to, known_to = row.columns
        days = [
            text and (date.fromisoformat(text) - cards.FIRST).days + 1
            for text in (valid_from, valid_to, known_from, known_to)
        ]
        found.append((*days, row.status, state, branch))
    return sorted(found, key=str)


ISSUED = cards.submission("CardIssued", 1, branch="中央")
MOVED = cards.submission("BranchChanged", 5, branch="西")


def test_what_is_received_later_ends_what_was_known() -> None:
    """A change received on day 9, which takes effect on day 5, splits the period; before, it wasn't known."""
    assert history((2, [ISSUED]), (9, [ISSUED, MOVED])) == [
        (1, 5, 9, None, "active", "active", "中央"),
        (1, None, 2, 9, "active", "active", "中央"),
        (5, None, 9, None, "active", "active", "西"),
    ]


def test_what_is_taken_back_stays_in_what_was_known() -> None:
    """The cancelled version was known for a time, and the one before it is known again."""
    assert history((2, [ISSUED]), (9, [ISSUED, MOVED]), (12, [ISSUED])) == [
        (1, 5, 9, 12, "active", "active", "中央"),
        (1, None, 12, None, "active", "active", "中央"),
        (1, None, 2, 9, "active", "active", "中央"),
        (5, None, 9, 12, "active", "active", "西"),
    ]


def test_the_future_is_in_no_row() -> None:
    """A version that hasn't begun has no row, and the one before it no end."""
    known = (2, [ISSUED, MOVED])
    assert history(known, today=4) == [(1, None, 2, None, "active", "active", "中央")]
    assert len(history(known, today=5)) == 2


def test_the_place_of_a_person_who_was_protected_is_in_no_row() -> None:
    """So a change of the place alone is no period either; a closed row has none in any case."""
    closed = cards.submission("CardReturned", 8)
    known = (9, [ISSUED, MOVED, closed])
    assert history(known, protected=True) == [
        (1, 8, 9, None, "active", "active", None),
        (8, None, 9, None, "closed", "active", None),
    ]
    assert history(known)[-1] == (8, None, 9, None, "closed", "active", None)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"history_basis": ""}, "reading card has a history, which needs a history_basis"),
        ({"of": Enrolled()}, "isn't about everybody of whom there is a card"),
        ({"of": HeldBy(cards.LIBRARY_CARD)}, "isn't about everybody of whom there is a card"),
        ({"name": "a" * 43}, "has a name of over 50 characters"),
    ],
)
def test_a_history_that_can_not_be_is_a_fault(changes: Mapping[str, Any], sentence: str) -> None:
    """The declaration says why when it is made."""
    with pytest.raises(DeclarationError, match=sentence):
        replace(CARD.reads[0], **changes)


def test_a_history_and_a_reading_of_one_name_are_a_fault() -> None:
    """Both would be the same table."""
    other = replace(CARD.reads[0], name="card_history", history=False)
    with pytest.raises(DeclarationError, match="card: two readings have the same name, card_history"):
        replace(CARD, reads=(*CARD.reads, other))


def test_conversion_withholds_the_places_of_a_history_once_and_for_all() -> None:
    """Also in a change that fan-out made before it knew of the measure; in the table they are shown after its end."""
    reads = replace(READING.reads, history=True, history_basis="図書館法")
    domain = replace(CARD, reads=(reads,))
    row = ["A", "active", "中央"]
    old = ["A", "2026-04-01", "2026-04-02", "active", "中央", None, None]
    changes = [
        change(entity=name, columns=columns, facts=None)
        for name, columns in (("library_card", row), ("library_card_history", old))
    ]
    table = batch("domain-change", "change.card", changes).table
    ended = protected(PERSON_CODE, measure(date(2026, 5, 1), date(2026, 6, 1)))
    for records, expected in (((), ["中央", "中央"]), ((ended,), ["中央", None])):
        converted = change_columns(domain, KEYS.cipher("card"), table, protection_tables(*records))
        columns = converted.columns_by_entity
        found = [columns[name]["branch"][number].as_py() for number, name in enumerate(reads_names(domain))]
        assert found == expected


def reads_names(domain: Domain) -> list[str]:
    """Return the names of all tables of readings."""
    return [each.name for each in domain.readings]
