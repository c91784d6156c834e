"""Resident tax of a year: who assesses it, who receives it, and what of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import chain, permutations
from random import Random
from typing import Any

import pytest

from processors.entities.timeline import Timeline
from processors.fan_out.person_entities import PersonEntities
from tests.unit.processors.intake_output import day_begun, event, notice
from tests.unit.processors.two_steps import DomainStores, Row, TwoSteps

pytestmark = pytest.mark.unit
A, B = "131041", "011002"
FACTS = {
    "name": "山田　花子",
    "kana": "ヤマダ　ハナコ",
    "sex": "女",
    "relationship": "世帯主",
    "household": "1",
}


def registered(
    municipality: str, on: str, reason: str = "初期登録", born: str = "1950-05-05", **others: Any
) -> Row:
    """Return the notice by which the person becomes a resident."""
    facts = FACTS | {"birth_date": born, "address": f"{municipality}の町"}
    line = 2 if reason == "転入" else 1
    return notice(municipality, f"{municipality[:5]}-1", reason, on, {"p": facts}, line=line, **others)


def left(municipality: str, on: str, number: str = "2", reason: str = "転出", **others: Any) -> Row:
    """Return a notice by which the person moves out or dies, or by which that is cancelled."""
    line = 2 + int(number)
    return notice(municipality, f"{municipality[:5]}-{number}", reason, on, {"p": {}}, line=line, **others)


def tax(
    name: str, on: str, number: str, part: str = A, *, year: str = "2026", levy: str = "levied", **others: str
) -> Row:
    """Return an event of an assessment."""
    fields = {"levy": levy, "income": "3000000", "amount": "170000", "collected": "ordinary"} | others
    if name == "AssessmentWithdrawn":
        fields = {}
    return event("local-tax", name, "p", on, number, municipality=part, year=year, **fields)


ASSESSED = tax("Assessed", "2026-06-01", "1")


class Mesh:
    """Household and fan-out with one person."""

    def __init__(self, *rows: Row) -> None:
        self.steps = TwoSteps(serialized=True)
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> dict[str, list[Row]]:
        """Process a notice or an event; return fan-out's outputs by topic."""
        is_notice = "kind" not in row
        return self.steps.submit([row]) if is_notice else self.steps.change([row])

    def rows(self, domain: str, reading: str) -> dict[tuple[Any, ...], Row]:
        """Return the rows of a reading by municipality and key."""
        readings = DomainStores(self.steps.outputs).readings
        return {key[3:]: row for key, row in readings.items() if key[:2] == (domain, reading)}

    def statuses(self, domain: str, reading: str) -> dict[tuple[Any, ...], str]:
        """Return the statuses of the rows of a reading."""
        return {key: row["status"] for key, row in self.rows(domain, reading).items()}

    @property
    def conflicts(self) -> list[str]:
        """The numbers of the events that have no effect."""
        return sorted(self.reasons)

    @property
    def reasons(self) -> dict[str, str]:
        """Why each event that has no effect has none, by number."""
        of_events = DomainStores(self.steps.outputs).conflicts.values()
        return {each["number"]: each["code"] for each in of_events if each["kind"] == "EVENT_WITHOUT_EFFECT"}


MOVED = (
    left(A, "2026-01-02", moved_to=B),
    registered(B, "2026-01-02", "転入", moved_from=A),
)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_who_moves_on_2_january_is_taxed_by_the_municipality_of_before(order: Sequence[int]) -> None:
    """Its assessment stays open, with the new address; the other one has none (check 4), in whatever order."""
    mesh = Mesh(registered(A, "2025-04-01"))
    rows = (ASSESSED, *MOVED)
    for index in order:
        mesh.add(rows[index])
    assert mesh.statuses("local-tax", "assessment") == {(A, "2026"): "active"}
    ((key, row),) = mesh.rows("local-tax", "taxpayer").items()
    assert (key, row["status"], row["address"]) == ((A,), "active", f"{B}の町")
    assert row["effective_on"] == date(2026, 6, 1)
    assert mesh.conflicts == []


@pytest.mark.parametrize("on", ["2025-12-31", "2026-01-01"])
def test_who_moves_until_1_january_is_taxed_by_the_new_municipality(on: str) -> None:
    """The other one's assessment has no effect, and is a conflict; so has that of a year that hasn't begun."""
    moves = (left(A, on, moved_to=B), registered(B, on, "転入", moved_from=A))
    mesh = Mesh(registered(A, "2025-04-01"), *moves, ASSESSED, tax("Assessed", "2026-06-01", "2", B))
    assert mesh.statuses("local-tax", "assessment") == {(B, "2026"): "active"}
    assert set(mesh.rows("local-tax", "taxpayer")) == {(B,)}
    assert mesh.conflicts == ["1"]
    mesh.add(tax("Assessed", "2026-06-01", "3", B, year="2027"))
    mesh.add(tax("Assessed", "2026-06-01", "4", B, year="0000"))
    assert mesh.reasons == {"1": "NOT_REGISTERED", "3": "TOO_EARLY", "4": "TOO_EARLY"}


def test_an_assessment_of_somebody_who_had_died_never_was() -> None:
    """A death of 31 December, listed in February, takes it away (check 5); its cancellation brings it back."""
    mesh = Mesh(registered(A, "2020-04-01"), tax("Assessed", "2026-01-20", "1"))
    before = mesh.rows("local-tax", "assessment")
    assert mesh.statuses("local-tax", "assessment") == {(A, "2026"): "active"}
    death = left(A, "2025-12-31", reason="死亡")
    deleted = [row for row in mesh.add(death)["change.local-tax"] if row["op"] == "DELETE"]
    assert {row["entity"] for row in deleted} == {"assessment", "taxpayer", "assessment_history"}
    assert mesh.rows("local-tax", "assessment") == mesh.rows("local-tax", "taxpayer") == {}
    assert mesh.rows("intermediate-server", "assessment") == mesh.rows("care", "resident_tax") == {}
    assert mesh.conflicts == ["1"]
    mesh.add(left(A, "2026-02-20", "3", "取消", cancels=death["notice"]))
    assert mesh.rows("local-tax", "assessment") == before
    assert mesh.conflicts == []


def test_a_death_after_1_january_leaves_the_assessment() -> None:
    """The heirs owe the tax; the row of the dead person is closed, without the address."""
    mesh = Mesh(
        registered(A, "2020-04-01"), tax("Assessed", "2026-01-20", "1"), left(A, "2026-01-02", reason="死亡")
    )
    assert mesh.statuses("local-tax", "assessment") == {(A, "2026"): "active"}
    assert mesh.rows("local-tax", "taxpayer")[A,]["status"] == "closed"
    assert mesh.rows("local-tax", "taxpayer")[A,]["address"] is None


def test_a_second_assessment_and_a_correction_of_none_are_conflicts() -> None:
    """Until what makes them right arrives."""
    mesh = Mesh(registered(A, "2020-04-01"), tax("AssessmentCorrected", "2026-08-01", "2", amount="1"))
    assert mesh.conflicts == ["2"]
    mesh.add(ASSESSED)
    assert mesh.conflicts == []
    assert mesh.rows("local-tax", "assessment")[A, "2026"]["amount"] == "1"
    mesh.add(tax("Assessed", "2026-07-01", "3"))
    assert mesh.conflicts == ["3"]
    mesh.add(tax("AssessmentWithdrawn", "2026-06-15", "4"))
    assert mesh.conflicts == []
    assert mesh.rows("local-tax", "assessment")[A, "2026"]["effective_on"] == date(2026, 8, 1)


def test_a_conflict_has_the_reason_of_now() -> None:
    """It is published again when an event has no effect for another reason than before."""
    mesh = Mesh(ASSESSED, tax("Assessed", "2026-07-01", "3"))
    assert mesh.reasons == {"1": "NOT_REGISTERED", "3": "NOT_REGISTERED"}
    mesh.add(registered(A, "2020-04-01"))
    assert mesh.reasons == {"3": "OPEN_ALREADY"}


def test_a_withdrawn_assessment_takes_its_taxpayer_with_it() -> None:
    """Once nothing is owed in a municipality, it no longer has the address."""
    mesh = Mesh(registered(A, "2020-04-01"), ASSESSED, tax("Assessed", "2025-06-01", "5", year="2025"))
    mesh.add(tax("AssessmentWithdrawn", "2026-07-01", "2"))
    assert mesh.statuses("local-tax", "taxpayer") == {(A,): "active"}
    mesh.add(tax("AssessmentWithdrawn", "2026-07-02", "3", year="2025"))
    assert mesh.statuses("local-tax", "taxpayer") == {(A,): "closed"}
    assert mesh.rows("local-tax", "taxpayer")[A,]["address"] is None


def test_the_care_insurer_learns_whether_the_insured_is_exempt_and_nothing_else() -> None:
    """Another amount sends nothing to it; another class does (check 25)."""
    mesh = Mesh(registered(A, "2020-04-01"), tax("Assessed", "2024-06-01", "1", year="2024"))
    assert mesh.rows("care", "resident_tax")[A, "2024"] == {
        "year": "2024",
        "exempt": "no",
        "status": "active",
        "effective_on": date(2024, 6, 1),
    }
    changed = mesh.add(
        tax("AssessmentCorrected", "2024-06-01", "2", year="2024", income="1500000", amount="60000")
    )
    assert set(changed) >= {"change.local-tax", "change.intermediate-server"}
    assert "change.care" not in changed
    changed = mesh.add(tax("AssessmentCorrected", "2024-06-01", "3", year="2024", levy="exempt", amount="0"))
    assert [row["columns"] for row in changed["change.care"]] == [["2024", "yes"]]
    copy = mesh.rows("intermediate-server", "assessment")[A, "2024"]
    assert (copy["levy"], copy["amount"], copy["effective_on"]) == ("exempt", "0", date(2024, 6, 1))


def test_who_is_not_insured_is_nobody_of_whom_care_learns() -> None:
    """A younger person's assessment is sent to it once they are insured."""
    mesh = Mesh(registered(A, "2020-04-01", born="1961-12-02"), ASSESSED)
    assert mesh.rows("care", "resident_tax") == {}
    mesh.add(day_begun("2026-12-01"))
    assert mesh.rows("care", "resident_tax")[A, "2026"]["effective_on"] == date(2026, 12, 1)


def test_who_has_no_assessment_is_not_looked_at_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Insured persons would be covered by the reading of care, but nothing of them is folded before an assessment."""
    looked_at: set[str] = set()
    timelines = PersonEntities.timelines

    def counting(self: PersonEntities, *arguments: Any) -> dict[str, Timeline]:
        found = timelines(self, *arguments)
        looked_at.update(found)
        return found

    monkeypatch.setattr(PersonEntities, "timelines", counting)
    mesh = Mesh(registered(A, "2020-04-01"), left(A, "2026-02-02", reason="転居"))
    assert "care-insurance" in looked_at
    assert "assessment" not in looked_at
    mesh.add(ASSESSED)
    assert "assessment" in looked_at


@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_arrival_across_topics_does_not_matter(seed: int) -> None:
    """Rows, histories and conflicts are the same, whatever the order of registers and tax offices."""
    rng = Random(seed)  # noqa: S311
    death = left(A, rng.choice(["2025-12-31", "2026-01-01", "2026-01-02"]), reason="死亡")
    cancelled = [left(A, "2026-02-20", "3", "取消", cancels=death["notice"])][: rng.randint(0, 1)]
    of_a = [registered(A, "2020-04-01"), *rng.choice([[], [MOVED[0]], [death, *cancelled]])]
    of_b = [MOVED[1]][: rng.randint(0, 1)]
    taxes = [
        [
            tax("Assessed", "2026-02-01", "1", part, received_on="2026-09-02"),
            tax("AssessmentCorrected", "2026-02-01", "2", part, amount="1", received_on="2026-09-04"),
            event(
                "local-tax", "Cancelled", "p", "2026-02-01", "3", municipality=part, cancels=rng.choice("12")
            ),
        ][: rng.randint(1, 3)]
        for part in (A, B)
    ]
    topics = [of_a, of_b, *taxes]
    one_by_one, mixed = Mesh(*chain.from_iterable(topics)), Mesh()
    while any(topics):
        mixed.add(rng.choice([topic for topic in topics if topic]).pop(0))
    for mesh in (one_by_one, mixed):
        mesh.add(day_begun("2026-09-10"))
    assert DomainStores(mixed.steps.outputs).content() == DomainStores(one_by_one.steps.outputs).content()
