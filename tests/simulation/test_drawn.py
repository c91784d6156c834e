"""What is drawn for histories: the submissions about entities, and the declarations of before, reach everything."""

from __future__ import annotations

from datetime import timedelta

from processors.entities.rows import READINGS
from schemas.declaration_digests import RULES, declaration_digests
from schemas.declare import CANCELLED
from tests.simulation.card_submissions import DAYS, FIRST_DAY
from tests.simulation.declarations import (
    AdoptionPlan,
    Installed,
    absent,
    draw_adoption_plan,
    former_declarations,
    of_everybody,
    other_columns,
    without_history,
)
from tests.simulation.entity_submissions import draw_entity_submissions
from tests.simulation.mesh import WORKERS

HOMES = {f"{number:011}": ["131041", "012033"] for number in range(16)}
EVENTS = {
    "CertificateIssued", "CertificateSuspended", "CertificateResumed", "CertificateRevoked", "CertificateDeleted",
    "CareCertified", "CareLevelChanged", "CareCertificationEnded", "InstitutionEntered", "InstitutionLeft", CANCELLED,
}  # fmt: skip


def test_every_event_is_drawn_on_every_day() -> None:
    """Some are too far ahead, twice, or under a number that is taken."""
    drawn = [submission for seed in range(40) for submission in draw_entity_submissions(HOMES, seed)]
    assert {each.line["event"] for each in drawn} == EVENTS
    assert {each.received_on for each in drawn} == {FIRST_DAY + timedelta(after) for after in range(DAYS)}
    assert {each.municipality for each in drawn} == {None, "131041", "012033"}
    assert any(each.is_too_far_ahead for each in drawn)
    one = draw_entity_submissions(HOMES, 1)
    assert one == draw_entity_submissions(HOMES, 1)
    assert [each.received_on for each in one] == sorted(each.received_on for each in one)


def test_declarations_of_before_differ_in_every_way() -> None:
    """Each change makes another reading of one that exists, and each digest differs where a reading does."""
    readings = [reading for of_entity in READINGS.values() for reading in of_entity]
    assert all(absent(reading) is None for reading in readings)
    for change in (without_history, of_everybody, other_columns):
        assert any(change(reading) != reading for reading in readings), change.__name__
    former = former_declarations({"card": absent}, [RULES])
    assert former.readings["card"] == former.histories["card"] == ()
    now = declaration_digests()
    assert {name for name in now if former.digests[name] != now[name]} == {"card", RULES}


def test_workers_have_what_is_installed_when_they_start() -> None:
    """First the declarations of before; those that start after the installation have those of now."""
    plans: list[AdoptionPlan] = [draw_adoption_plan(seed, WORKERS) for seed in range(40)]
    assert {slot for plan in plans for slot in plan.restarted} == set(range(WORKERS))
    assert {plan.installed_at for plan in plans} == {0.0, 0.5, 1.0}
    installed = Installed(plans[0])
    assert installed.processor()._declared == plans[0].former
    installed.number += 1
    assert installed.processor()._declared.readings == READINGS
