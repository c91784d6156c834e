"""Adoption of other declarations: everybody whom they concern is published again, and nobody else."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from processors.entities.rows import ENTITIES, HISTORIES, READINGS, prepared
from processors.fan_out import FanOutProcessor
from processors.fan_out.adoption import OutdatedWorkerError
from processors.fan_out.declared import Declared
from schemas.declaration_digests import RULES, declaration_digests
from schemas.declare import Amendment, Enrolled, Reads
from schemas.systems import DOMAINS
from tests.fan_out_checks import digests_of
from tests.unit.processors.intake_output import enrolment, event, notice, received
from tests.unit.processors.two_steps import Row, TwoSteps

pytestmark = pytest.mark.unit
FIELDS = {"kind": "standard", "expires_on": "2030-01-01"}


def adopted(number: int) -> Row:
    """Return the record by which declarations are adopted."""
    change = {"person": "", "kind": "ADOPTED", "declarations": number, "seq": 0}
    return (
        change
        | {"effective_on": received("in.operator", 0)["received_at"].date()}
        | received("in.operator", 0)
    )


def with_cards(persons: int) -> TwoSteps:
    """Return the mesh with so many persons who have a card, one of them also a resident who is enrolled in nta."""
    steps = TwoSteps(serialized=True)
    facts = {"name": "山田　花子", "kana": "ヤマダ　ハナコ", "birth_date": "1990-01-01", "sex": "女"}
    facts |= {"relationship": "世帯主", "household": "1", "address": "一丁目"}
    steps.submit([notice("131041", "13104-1", "初期登録", "2026-04-01", {"p0": facts})])
    steps.change([enrolment("nta", None, "p0", "2026-04-02"), enrolment("portal", None, "p0", "2026-04-02")])
    issued = [
        event("card", "CardIssued", f"p{number}", "2026-05-01", "1", serial=f"S{number}", **FIELDS)
        for number in range(persons)
    ]
    steps.change(issued)
    return steps


def pretend_adopted(steps: TwoSteps, number: int, **others: str) -> None:
    """Store that the declarations of today were adopted before, but for these, which had another digest or none."""
    digests = {name: digest for name, digest in declaration_digests().items() if others.get(name) != ""}
    record = {"number": number, "complete": True, "after": "", "persons": 0}
    record["digests"] = [{"name": name, "digest": d} for name, d in (digests | others).items() if d]
    steps.fan_out_state["adoption"].put("adoption", record)


def adopt(steps: TwoSteps, number: int, others: Declared | None = None) -> dict[str, list[Row]]:
    """Adopt declarations, those of today or others, and return what follows by topic."""
    steps.fan_out = FanOutProcessor(number, others)
    return steps.change([adopted(number)])


def forget_rows(steps: TwoSteps) -> None:
    """Change the state to that before the reading of cards was declared."""
    store = steps.fan_out_state["entities"]
    for key, value in list(store.values.items()):
        store.put(key, {**value, "rows": []})


@pytest.mark.parametrize(("number", "complete"), [(1, False), (0, True)])
def test_declarations_in_between_are_made_up_for(number: int, complete: bool) -> None:
    """Of declarations 1 only part of the persons adopted that nobody reads cards, or none; 2 are as before 1."""
    steps = with_cards(5)
    forget_rows(steps)
    pretend_adopted(steps, number)
    store = steps.fan_out_state["adoption"]
    store.put(
        "adoption", {**store.values["adoption"], "complete": complete, "after": "" if complete else "p3"}
    )
    outputs = adopt(steps, 2)
    receivers = [row["person"] for row in outputs["change.card"] if row["entity"] == "card"]
    assert sorted(receivers) == [f"p{n}" for n in range(5)]
    stored = store.values["adoption"]
    assert (stored["number"], stored["complete"], digests_of(stored)) == (
        2,
        True,
        dict(declaration_digests()),
    )


def test_a_worker_with_later_declarations_does_not_complete_an_adoption() -> None:
    """Who was looked at before has what the earlier declarations say."""
    steps = with_cards(5)
    pretend_adopted(steps, 1)
    store = steps.fan_out_state["adoption"]
    begun = {**store.values["adoption"], "complete": False, "after": "p3", "persons": 4}
    store.put("adoption", begun)
    steps.fan_out = FanOutProcessor(2)
    assert steps.change([adopted(1) | {"kind": "ADOPTING", "declarations": None}]) == {}
    assert store.values["adoption"] == begun


def test_a_reading_that_is_added_reaches_everybody_it_concerns() -> None:
    """The new reader gets a row of everybody with a card, in portions; nothing else is published."""
    steps = with_cards(450)
    forget_rows(steps)
    pretend_adopted(steps, 1, card="")
    outputs = adopt(steps, 2)
    assert list(outputs) == ["change.card"]
    receivers = [row["person"] for row in outputs["change.card"] if row["entity"] == "card"]
    assert sorted(receivers) == sorted(f"p{n}" for n in range(450))
    stored = steps.fan_out_state["adoption"].values["adoption"]
    assert (stored["number"], stored["complete"], stored["persons"]) == (2, True, 450)


def declared(*readings: Reads) -> Declared:
    """Return declarations by which domain card reads these of cards, and nothing else."""
    read = tuple(prepared(DOMAINS["card"], reads) for reads in readings if not reads.ended)
    histories = tuple(reading for reading in read if reading.history)
    return Declared({**READINGS, "card": read}, {**HISTORIES, "card": histories})


def changed_cards(outputs: dict[str, list[Row]]) -> list[tuple[str, str, str]]:
    """Return table, person and operation of each change for domain card, which alone has any."""
    assert list(outputs) == ["change.card"]
    return sorted((row["entity"], row["person"], row["op"]) for row in outputs["change.card"])


CARDS = next(reads for reads in DOMAINS["card"].reads if reads.name == "card")


def test_a_reading_that_has_ended_is_taken_away() -> None:
    """Everybody's row is deleted, and every row of the history; nothing comes back by what happens afterwards."""
    steps = with_cards(2)
    pretend_adopted(steps, 1, card="with rows")
    assert changed_cards(adopt(steps, 2, declared(replace(CARDS, ended=True)))) == [
        (table, person, "DELETE") for table in ("card", "card_history") for person in ("p0", "p1")
    ]
    assert steps.change([event("card", "CardLost", "p0", "2026-06-01", "2", serial="S0")]) == {}


def test_a_reading_with_other_columns_reaches_everybody() -> None:
    """Its rows are sent again, as far as they have other values."""
    steps = with_cards(2)
    steps.change(
        [event("card", "CardIssued", "p2", "2026-05-01", "1", serial="S2", **FIELDS | {"kind": "abroad"})]
    )
    pretend_adopted(steps, 1, card="with other columns")
    others = declared(replace(CARDS, columns=(*CARDS.columns[1:], "kind"), history=False))
    changed = changed_cards(adopt(steps, 2, others))
    assert [each for each in changed if each[0] == "card"] == [
        ("card", person, "UPSERT") for person in ("p0", "p1", "p2")
    ]


def test_a_reading_about_others_reaches_who_comes_and_who_goes() -> None:
    """Who doesn't belong to them any more and never did loses the row; who still does keeps it as it is."""
    steps = with_cards(2)
    steps.change([enrolment("card", None, "p0", "2026-04-02")])
    everybody = declared(replace(CARDS, history=False))
    only_enrolled = declared(replace(CARDS, history=False, of=Enrolled()))
    pretend_adopted(steps, 1, card="about everybody, with a history")
    adopt(steps, 2, everybody)
    pretend_adopted(steps, 2, card="about everybody")
    assert changed_cards(adopt(steps, 3, only_enrolled)) == [("card", "p1", "DELETE")]
    pretend_adopted(steps, 3, card="about who is enrolled")
    assert changed_cards(adopt(steps, 4, everybody)) == [("card", "p1", "UPSERT")]


def test_an_entity_that_is_not_declared_any_more() -> None:
    """Its conflicts are withdrawn and its days come off the agenda; its events stay, should it be declared again."""
    steps = with_cards(2)
    steps.change([event("card", "CardFound", "p1", "2026-05-02", "2", serial="T")])
    agenda, entities = steps.fan_out_state["agenda"], steps.fan_out_state["entities"]
    for key in ("p0/card", "p1/card"):
        entities.put(key.replace("card", "ticket"), {**entities.values[key], "rows": []})
    for person in ("p0", "p1"):
        state = steps.fan_out_state["persons"].values[person]
        planned = [*state["entities"], {"entity": "ticket", "next_on": date(2026, 1, 1)}]
        steps.fan_out_state["persons"].put(person, {**state, "entities": planned})
        agenda.put(f"2026-01-01/{person}/ticket", {"entity": "ticket"})
    pretend_adopted(steps, 1, ticket="a ticket")
    outputs = adopt(steps, 2)
    assert [(row["entity"], row["status"]) for row in outputs["conflict"]] == [("ticket", "WITHDRAWN")]
    assert list(outputs) == ["conflict"]
    assert not any(key.endswith("ticket") for key in agenda.values)
    assert len(entities.values["p1/ticket"]["submissions"]) == 2


def insured_residents() -> TwoSteps:
    """Return the mesh with residents of 65 years, insured since 2025, and of 60 years, all registered since 2020."""
    steps = TwoSteps(serialized=True)
    facts = {"name": "山田　花子", "kana": "ヤマダ　ハナコ", "sex": "女", "relationship": "世帯主"}
    facts |= {"household": "1", "address": "一丁目"}
    persons = {
        f"p{year}": facts | {"birth_date": f"{year}-01-02", "household": year} for year in ("1960", "1965")
    }
    steps.submit([notice("131041", "13104-1", "初期登録", "2020-04-01", persons)])
    return steps


@pytest.mark.parametrize(
    ("age", "correction", "expected"),
    [
        (67, False, []),
        (67, True, [("p1960", "DELETE", None)]),
        (60, False, [("p1965", "UPSERT", "2026-04-01")]),
        (60, True, [("p1960", "UPSERT", "2020-04-01"), ("p1965", "UPSERT", "2025-01-01")]),
    ],
)
def test_a_change_of_law_reaches_those_for_whom_it_changes_anything(
    monkeypatch: pytest.MonkeyPatch, age: int, correction: bool, expected: list[tuple[str, str, str | None]]
) -> None:
    """Another age from 1 April 2026 on: days before keep the old one, unless it is a correction."""
    steps = insured_residents()
    insurance = ENTITIES["care-insurance"]
    rule = insurance.by_residence
    assert rule is not None
    amendment = Amendment(date(2026, 4, 1), follows=(replace(rule, from_age=age),), correction=correction)
    monkeypatch.setitem(ENTITIES, insurance.id, replace(insurance, amendments=(amendment,)))
    pretend_adopted(steps, 1, **{insurance.id: "without amendments"})
    changes = adopt(steps, 2).get("change.care", [])
    assert [
        (row["person"], row["op"], row["effective_on"].isoformat() if row["op"] == "UPSERT" else None)
        for row in changes
        if row["entity"] == "insurance"
    ] == expected


def test_an_event_from_before_a_field_was_declared() -> None:
    """It has no value of it, whether it is stored or on its way; sent again, it is a duplicate."""
    steps, expected = with_cards(2), with_cards(2)
    store = steps.fan_out_state["entities"]
    for key in ("p0/card", "p1/card"):
        (submission,) = store.values[key]["submissions"]
        store.put(
            key, {**store.values[key], "submissions": [{**submission, "fields": submission["fields"][:4]}]}
        )
    lost = event("card", "CardLost", "p0", "2026-06-01", "2", serial="S0")
    short = {**lost, "event": {**lost["event"], "fields": lost["event"]["fields"][:4]}}
    again = event("card", "CardIssued", "p1", "2026-05-01", "1", serial="S1", **FIELDS)
    assert steps.change([short, again]) == expected.change([lost, again])


def test_nothing_is_published_twice() -> None:
    """Declarations that differ in nothing that a domain sees publish nothing, and look at nobody if they are equal."""
    steps = with_cards(3)
    pretend_adopted(steps, 1, card="an earlier one")
    assert adopt(steps, 2) == {}
    assert adopt(steps, 3) == {}
    assert steps.fan_out_state["adoption"].values["adoption"]["persons"] == 0


def test_a_person_who_is_not_concerned_is_not_written_again() -> None:
    """The state of a person who sees nothing of the other declarations stays as it is, without a record of it."""
    steps = with_cards(3)
    pretend_adopted(steps, 1, card="an earlier one", **{RULES: ""})
    before = dict(steps.fan_out_state["persons"].values)
    assert adopt(steps, 2) == {}
    after = steps.fan_out_state["persons"].values
    assert [key for key, value in after.items() if value is not before[key]] == []


def test_a_domain_that_is_added_gets_its_rows_and_no_messages() -> None:
    """Rules of rows are applied to the whole history of everybody; messages are never sent again."""
    steps = with_cards(2)
    store = steps.fan_out_state["persons"]
    person = store.values["p0"]
    rows = [row for row in person["state"]["rows"] if row["domain"] != "nta"]
    store.put("p0", {**person, "state": {**person["state"], "rows": rows}})
    pretend_adopted(steps, 1, **{RULES: ""})
    outputs = adopt(steps, 2)
    assert list(outputs) == ["change.nta"]
    assert [(row["person"], row["op"], row["status"]) for row in outputs["change.nta"]] == [
        ("p0", "UPSERT", "active")
    ]


def test_a_row_that_no_rule_gives_any_more_is_deleted() -> None:
    """If a rule or an enrolment no longer gives a row, the domain's row goes."""
    steps = with_cards(1)
    store = steps.fan_out_state["persons"]
    person = store.values["p0"]
    extra = {**person["state"]["rows"][-1], "domain": "pension", "municipality": None}
    rows = [*person["state"]["rows"], extra]
    store.put("p0", {**person, "state": {**person["state"], "rows": rows}})
    pretend_adopted(steps, 1, **{RULES: ""})
    outputs = adopt(steps, 2)
    assert [(row["person"], row["op"]) for row in outputs["change.pension"]] == [("p0", "DELETE")]


def test_only_the_worker_of_the_same_declarations_adopts() -> None:
    """A lower number has no effect, as a replay reads those of before; a higher one ends the worker."""
    steps = with_cards(2)
    forget_rows(steps)
    pretend_adopted(steps, 2, card="")
    steps.fan_out = FanOutProcessor(3)
    assert steps.change([adopted(2)]) == {}
    with pytest.raises(OutdatedWorkerError):
        steps.change([adopted(4)])
    assert list(steps.change([adopted(3)])) == ["change.card"]
    assert steps.change([adopted(3)]) == {}


def test_a_worker_of_before_works_on_no_partition_that_has_begun_to_adopt() -> None:
    """It would undo what was adopted, and complete the adoption with its own declarations."""
    steps = with_cards(2)
    pretend_adopted(steps, 2)
    steps.fan_out = FanOutProcessor(1)
    with pytest.raises(OutdatedWorkerError):
        steps.change([event("card", "CardLost", "p1", "2026-06-01", "2", serial="S1")])


def test_a_person_who_failed_adopts_later() -> None:
    """The record of that person is retried after the partition has adopted everything: it publishes all the same."""
    steps = with_cards(2)
    forget_rows(steps)
    pretend_adopted(steps, 1, card="")
    adopt(steps, 2)
    store = steps.fan_out_state["entities"]
    store.put("p1/card", {**store.values["p1/card"], "rows": []})
    retried = {**adopted(2), "kind": "ADOPTING", "person": "p1", "declarations": None}
    outputs = steps.change([retried])
    assert {row["person"] for row in outputs["change.card"]} == {"p1"}


def test_other_records_go_on_meanwhile() -> None:
    """What arrives between two portions is processed at once, and the end is the same."""
    steps, expected = with_cards(250), with_cards(250)
    lost = event("card", "CardLost", "p249", "2026-06-01", "2", serial="S249")
    expected.change([lost])
    forget_rows(steps)
    pretend_adopted(steps, 1, card="")
    steps.outputs.pop("change.card")
    steps.fan_out = FanOutProcessor(2)
    steps.change([adopted(2), lost])
    states = [{key: row["state"] for key, row in _readings(each).items()} for each in (steps, expected)]
    assert states[0] == states[1]


def _readings(steps: TwoSteps) -> dict[tuple[Any, ...], Row]:
    """Return the last row published of each card, whatever its revision."""
    return {
        (row["person"], row["columns"][0]): {"state": row["columns"][2]}
        for row in steps.outputs["change.card"]
    }


def test_a_person_whose_fold_fails_stops_nobody() -> None:
    """It becomes a record of that person, which fails alone; everybody else adopts."""
    steps = with_cards(3)
    store = steps.fan_out_state["entities"]
    broken = store.values["p1/card"]
    submission = {**broken["submissions"][0], "event": "CardEaten"}
    store.put("p1/card", {**broken, "submissions": [submission]})
    for key in ("p0/card", "p2/card"):
        store.put(key, {**store.values[key], "rows": []})
    pretend_adopted(steps, 1, card="")
    sent = len(steps.outputs["change.card"])
    with pytest.raises(KeyError):
        adopt(steps, 2)
    assert {row["person"] for row in steps.outputs["change.card"][sent:]} == {"p0", "p2"}
