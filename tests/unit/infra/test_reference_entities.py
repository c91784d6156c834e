"""The reference model's declared entities, compared with the processors on random entities, submissions and lives.

Neither has code of the other; both follow the docstrings of `schemas.declare`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from infra.verification.reference.reference_entity import fold_entity
from infra.verification.reference.reference_life import LifeDay, ReferenceLife
from infra.verification.reference.reference_readings import ReadingsOfPerson
from infra.verification.reference.reference_timeline import ReferenceTimeline
from processors.entities.causes import PersonCause
from processors.entities.entity_fold import fold
from processors.entities.rows import RowContext, prepared, rows_of
from processors.entities.timeline import Submission, Timeline
from schemas.declare import (
    PART,
    ByResidence,
    Cause,
    Consequence,
    Entity,
    Expires,
    FinalValue,
    Follows,
    HeldBy,
    Reads,
    changes,
    choice,
    closes,
    opens,
    text,
)
from schemas.declare import day as day_field
from schemas.systems import DOMAINS
from tests.unit.infra.random_entities import (
    BASE,
    LAST_DAY,
    PARTS,
    Case,
    Move,
    day,
    random_case,
)
from tests.unit.infra.timeline_steps import reference_steps, steps

pytestmark = pytest.mark.unit

#: Cases of one test. To look at more of them, change the first seed.
FIRST_SEED, CASES = 1, 1_500


def both(case: Case) -> tuple[Timeline, ReferenceTimeline]:
    """Return the timelines of a case's entity by the processors and by the reference model."""
    timeline = fold(case.entity, case.of(case.entity), case.life, {"base": fold(BASE, case.of(BASE))})
    base = fold_entity(BASE, case.events(BASE), ReferenceLife(), {})
    reference = fold_entity(case.entity, case.events(case.entity), case.reference_life, {"base": base})
    return timeline, reference


def timelines_differ(case: Case) -> str:
    """Return what differs between the timelines, nothing if they are equal."""
    timeline, reference = both(case)
    found, should_be = steps(timeline), reference_steps(case.entity, reference)
    if found != should_be:
        return f"processors: {found}\nreference:  {should_be}"
    conflicts = sorted(each.number for each, _ in timeline.without_effect)
    expected = sorted(each.number for each in reference.without_effect)
    return "" if conflicts == expected else f"without effect: processors {conflicts}, reference {expected}"


def rows_differ(case: Case) -> str:
    """Return what differs between the rows of a reading of all fields on any day, protected or not."""
    timeline, reference = both(case)
    for number in range(LAST_DAY + 8):
        for protected in (False, True):
            found = rows(case.entity, timeline, day(number), protected=protected)
            should_be = reference_rows(case.entity, reference, day(number), protected=protected)
            if found != should_be:
                return f"on {day(number)}, processors: {found}\nreference:  {should_be}"
    return ""


def reading_of(entity: Entity) -> Reads:
    """Return a reading of all fields."""
    return Reads("all_fields", entity, entity.field_names, "試験", "試験法")


def rows(
    entity: Entity, timeline: Timeline, on: date, *, protected: bool, protection_on: date = date.min
) -> dict[Any, Any]:
    """Return the rows on a day by the processors, by key."""
    reads = reading_of(entity)
    context = RowContext(on, protected, {}, lambda *_: None, protected, protection_on)
    return {
        (*id_.key, id_.part): {
            "status": row.status,
            **dict(zip((each.name for each in reads.fields), row.columns, strict=True)),
            "effective_on": row.effective_on.isoformat(),
        }
        for id_, row in rows_of(timeline, [prepared(DOMAINS["card"], reads)], context)
    }


def reference_rows(
    entity: Entity, timeline: ReferenceTimeline, on: date, *, protected: bool
) -> dict[Any, Any]:
    """Return the rows on a day by the reference model, by key."""
    life = ReferenceLife([LifeDay("2026-01-01", protected=protected)])
    person = ReadingsOfPerson(life, {entity.id: timeline})
    found = {}
    for key in timeline.versions:
        row = person.row(DOMAINS["card"], reading_of(entity), key, on.isoformat())
        if row is not None:
            part = row.pop("municipality", None)
            found[(*(row[name] for name in entity.key if name != PART), part)] = row
    return found


def held_rows_differ(case: Case) -> str:
    """Return what differs between a municipal domain's rows of what the holders of a case's entity have."""
    if not case.entity.by_part:
        return ""
    domain, reads = (
        DOMAINS["local-tax"],
        Reads("held", BASE, ("state",), "試験", "試験法", of=HeldBy(case.entity)),
    )
    timeline, reference = both(case)
    opened = Case(
        BASE, (submitted("BaseOpened", 3, None, "B1", None), submitted("BaseClosed", 9, None, "B1", None))
    )
    base_timeline, base_reference = both(opened)
    person = ReadingsOfPerson(ReferenceLife(), {"base": base_reference, case.entity.id: reference})
    for number in range(LAST_DAY + 8):
        context = RowContext(day(number), False, {case.entity.id: timeline}, lambda *_: None)
        found = {
            id_.part: (row.status, row.effective_on.isoformat(), row.columns)
            for id_, row in rows_of(base_timeline, [prepared(domain, reads)], context)
        }
        rows_of_parts = {
            part: person.row(domain, reads, ("B1",), day(number).isoformat(), part) for part in PARTS
        }
        should_be = {
            part: (row["status"], row["effective_on"], (row["base"], row["state"]))
            for part, row in rows_of_parts.items()
            if row is not None
        }
        if found != should_be:
            return f"on {day(number)}, processors: {found}\nreference:  {should_be}"
    return ""


def smallest(case: Case, differ: Callable[[Case], str]) -> Case:
    """Return a case that still differs, but no more with one thing less."""
    for simpler in case.simpler():
        if differ(simpler):
            return smallest(simpler, differ)
    return case


@pytest.mark.parametrize("differ", [timelines_differ, rows_differ, held_rows_differ])
def test_the_reference_model_agrees_with_the_processors(differ: Callable[[Case], str]) -> None:
    """Timelines, events without effect, and rows of every day are equal, whatever the entity."""
    count = CASES if differ is timelines_differ else CASES // 10
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        case = random_case(seed)
        if differ(case):
            case = smallest(case, differ)
            pytest.fail(f"seed {seed}\n{case}\n{differ(case)}")


# -- where the processors differ from the docstrings, as the reference model reads them

HERE, ELSEWHERE = PARTS
PASS_FIELDS = (
    text("serial", "番号", 8),
    choice("state", "状態", "valid", "void"),
    choice("print", "券面", "current", "old"),
    day_field("until", "期限").optional(),
    text("place", "場所", 8).optional().location(),
)
PASS_EVENTS = (
    opens("PassIssued", "交付", "until", "place", state="valid", print="current"),
    changes("PassOutdated", "券面の変更", print="old"),
    changes("PassVoided", "失効", state="void"),
)
INSURANCE_FIELDS = (choice("kept", "特例", "yes", "no"), day_field("kept_until", "特例の期限").optional())
INSURANCE_EVENTS = (
    opens("Insured", "資格取得", kept="no").anywhere(),
    changes("Kept", "特例の適用", "kept_until", kept="yes"),
    changes("KeptNoLonger", "特例の終了", kept="no"),
    closes("Uninsured", "資格喪失"),
)


def pass_with(*follows: Consequence) -> Entity:
    """Return a pass that is outdated or void by itself; a void one stays void."""
    final = (FinalValue("state", "void"),)
    return Entity("pass", "利用証", PASS_FIELDS, PASS_EVENTS, ("serial",), final, follows)


def insurance(closes_after_days: int, *follows: Consequence) -> Entity:
    """Return an insurance by residence from the age of 65 on."""
    by_residence = ByResidence("Insured", "Uninsured", 65, closes_after_days, keeps=("kept", "yes"))
    return Entity(
        "insurance", "保険", INSURANCE_FIELDS, INSURANCE_EVENTS, (PART,), (), (by_residence, *follows)
    )


def submitted(event: str, on: int, part: str | None, *values: str | None) -> Submission:
    """Return a submission on a day, received on that day."""
    return Submission("s", part, f"{event}-{on}", event, day(on), day(on), f"{on:02d}", None, values)


def registered(on: int, part: str | None) -> Move:
    """Return that the person is registered in a municipality from a day on, or moves out."""
    return Move(day(on), part, Cause.REGISTERED if part else Cause.DEPARTED)


ONCE_DIFFERENT = {
    "What follows by itself on one day comes in the order of the events": Case(
        pass_with(
            Follows("PassVoided", Cause.MOVED_ABROAD),
            Follows("PassOutdated", Cause.FACTS_CHANGED, frozenset({"address"})),
        ),
        (submitted("PassIssued", 1, None, "P", None, None, None, None),),
        (registered(1, HERE), Move(day(5), None, Cause.MOVED_ABROAD)),
        (PersonCause(day(5), Cause.FACTS_CHANGED, frozenset({"address"})),),
    ),
    "What is open by residence doesn't close while the person is registered there, however young": Case(
        insurance(1),
        (submitted("Insured", 2, HERE, None, None),),
        (registered(1, HERE),),
        birth=date(1990, 1, 1),
    ),
    "What is kept open keeps no key of another municipality open": Case(
        insurance(0),
        (
            submitted("Kept", 2, HERE, None, None),
            submitted("Insured", 4, ELSEWHERE, None, None),
        ),
        (registered(1, HERE), registered(3, ELSEWHERE), registered(5, None)),
    ),
    "What is kept until a day closes on the next one": Case(
        insurance(0, Expires("KeptNoLonger", "kept_until")),
        (submitted("Kept", 2, HERE, None, day(7).isoformat()),),
        (registered(1, HERE), registered(3, ELSEWHERE)),
    ),
    "What closes after days closes so many days after the person has left": Case(
        insurance(4),
        (submitted("Insured", 2, HERE, None, None),),
        (registered(1, HERE), registered(3, ELSEWHERE), registered(6, None)),
        birth=date(1990, 1, 1),
    ),
    "What is valid for ever never expires": Case(
        pass_with(Expires("PassVoided", "until")),
        (submitted("PassIssued", 1, None, "P", None, None, "9999-12-31", None),),
    ),
}


@pytest.mark.parametrize("case", ONCE_DIFFERENT.values(), ids=list(ONCE_DIFFERENT))
def test_a_case_that_both_once_told_apart(case: Case) -> None:
    """Random cases avoid these: the fold and the reference model differed in each before."""
    assert timelines_differ(case) == ""


def test_the_day_of_a_row_is_the_day_since_which_a_place_is_withheld() -> None:
    """Of a pass of day 1 the domain sees no place since day 5, on which the protection of the person began."""
    issued = Case(pass_with(), (submitted("PassIssued", 1, None, "P", None, None, None, "here"),))
    timeline, reference = both(issued)
    life = ReferenceLife([LifeDay(day(5).isoformat(), protected=True)])
    person = ReadingsOfPerson(life, {"pass": reference})
    row = person.row(DOMAINS["card"], reading_of(issued.entity), ("P",), day(9).isoformat())
    (found,) = rows(issued.entity, timeline, day(9), protected=True, protection_on=day(5)).values()
    assert row is not None
    assert found["effective_on"] == row["effective_on"] == day(5).isoformat()


def test_the_day_of_a_row_is_the_day_since_which_any_key_covers_it() -> None:
    """Who has had a pass since day 1 is covered since then, also with a second one since day 3."""
    issued = [submitted("PassIssued", on, None, f"P{on}", *[None] * 4) for on in (1, 3)]
    passes = Case(pass_with(), tuple(issued))
    timeline, reference = both(passes)
    base = Case(BASE, (submitted("BaseOpened", 1, None, "B", None),))
    base_timeline, base_reference = both(base)
    reads = Reads("covered", BASE, BASE.field_names, "試験", "試験法", of=HeldBy(passes.entity))
    context = RowContext(day(9), False, {"pass": timeline}, lambda *_: None)
    ((_, found),) = rows_of(base_timeline, [prepared(DOMAINS["card"], reads)], context)
    person = ReadingsOfPerson(ReferenceLife(), {"base": base_reference, "pass": reference})
    row = person.row(DOMAINS["card"], reads, ("B",), day(9).isoformat())
    assert row is not None
    assert found.effective_on.isoformat() == row["effective_on"] == day(1).isoformat()
