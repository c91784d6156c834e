"""Public assistance through all steps: cases of several persons, at the high level."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import orjson
import pyarrow as pa
import pytest

from processors.codes import MESH, CodeKind, domain_codes, person_codes
from schemas.tables import table_from_rows
from schemas.topics import conflict_topic
from streams.sealed_rows import opened_rows
from streams.submission_sealing import SubmissionSealer
from tests.unit.processors.stored_readings import readings_of
from tests.unit.processors.submissions import (
    RECEIVED_MS,
    Row,
    batch,
    high_sealer,
    json_notice,
    json_person,
    key_ring,
    submission_opener,
)
from tests.unit.processors.test_all_steps import AllSteps

pytestmark = pytest.mark.unit

HERE, ELSEWHERE = "131041", "012033"
CODES = ("42990000011", "42990000022", "42990000033")
HEAD, SPOUSE, CHILD = CODES


class Town:
    """All steps, with three persons registered in one place; each submission is received after the one before."""

    def __init__(self) -> None:
        self.steps, self._received = AllSteps(), 0
        persons = [json_person(code=code, local_number=f"13104900000{n:02}") for n, code in enumerate(CODES)]
        self.notice("初期登録", "2026-02-01", persons)

    def notice(
        self, reason: str, day: str, persons: list[Row], municipality: str = HERE, **fields: Any
    ) -> None:
        """Submit a notice of a municipality's register."""
        number = f"{municipality[:5]}-9{self._received:05}"
        content = {"notice": number, "municipality": municipality, "reason": reason, "effective_on": day}
        row = json_notice(**content, recorded_on=day, persons=persons, **fields)
        self.submit("juki-notice", f"in.juki.{municipality}", row)

    def event(
        self, event: str, day: str, municipality: str = HERE, case_number: str | None = "C-1", **fields: Any
    ) -> str:
        """Submit an event of an office, and return its number."""
        number = f"w-{self._received}"
        head = {"event": event, "number": number, "effective_on": day, "recorded_on": day}
        row = head | {"municipality": municipality, "case_number": case_number, **fields}
        self.submit("submission-welfare", f"in.welfare.{municipality}", row)
        return number

    def began(self, day: str = "2026-03-01", **fields: Any) -> str:
        """Submit the beginning of a case of all three."""
        values = {"members": list(CODES), "kinds": "living,medical", "case_head": HEAD, **fields}
        return self.event("AssistanceBegan", day, **values)

    def began_row(self) -> Row:
        """Return the submission of the beginning of a case of all three."""
        head = {"event": "AssistanceBegan", "number": "w-0", "municipality": HERE, "case_number": "C-1"}
        days = dict.fromkeys(("effective_on", "recorded_on"), "2026-03-01")
        return {**head, **days, "members": list(CODES), "kinds": "living", "case_head": HEAD}

    def submit(self, schema: str, topic: str, row: Row) -> None:
        """Process a submission, and all that follows from it."""
        self._received += 1
        self.steps.submit([batch(schema, topic, [row], self._received, RECEIVED_MS + self._received * 1_000)])

    def rows(self, table: str) -> dict[str, Row]:
        """Return the rows of a table of the office, by resident record code."""
        codes = {welfare_code(code): code for code in CODES}
        return {codes[row["code"]]: row for row in readings_of(self.steps).get(f"welfare.{table}", [])}

    def rejections(self) -> dict[str, str]:
        """Return the code of each rejected submission, by number."""
        return {row["notice"]: row["code"] for row in self.steps.records.get("rejected.welfare", [])}


def welfare_code(code: str) -> str:
    """Return the office's own code of a person."""
    mesh = person_codes(key_ring().cipher(MESH), pa.array([code]))
    return str(domain_codes(key_ring().cipher("welfare"), mesh, CodeKind.PERSON)[0])


def test_each_member_has_rows_that_name_the_head() -> None:
    """By the office's own code of the head; with the facts of each member at that municipality."""
    town = Town()
    town.began()
    assistance, residents = town.rows("assistance"), town.rows("resident")
    assert assistance.keys() == residents.keys() == set(CODES)
    assert {row["case_head"] for row in assistance.values()} == {welfare_code(HEAD)}
    assert {row["kinds"] for row in assistance.values()} == {"living,medical"}
    assert {row["municipality"] for row in residents.values()} == {HERE}
    assert all(row["address"] and row["household_code"] for row in residents.values())


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_a_member_leaves_by_law_or_by_the_office(order: tuple[int, ...]) -> None:
    """Nothing is left of who died, moved away or needs no aid any more, whatever was submitted first."""
    town = Town()
    acts: list[Callable[[], object]] = [
        town.began,
        lambda: town.notice("死亡", "2026-04-01", [{"code": CHILD}]),
        lambda: town.notice("転出", "2026-05-01", [{"code": SPOUSE}], moved_to=ELSEWHERE),
        lambda: town.event("AssistanceEnded", "2026-06-01", members=[HEAD]),
    ]
    for number in order:
        acts[number]()
    assert {table: town.rows(table) for table in ("assistance", "resident")} == {
        "assistance": {},
        "resident": {},
    }
    assert town.rejections() == {}


def test_a_move_on_one_day_ends_the_case_too() -> None:
    """There is no day without a registration; the new office begins a case of its own on that day."""
    town = Town()
    town.began()
    person = json_person(code=SPOUSE, local_number="0120390000001", household="012039000001")
    town.notice("転出", "2026-05-01", [{"code": SPOUSE}], moved_to=ELSEWHERE)
    town.notice("転入", "2026-05-01", [person], ELSEWHERE, moved_from=HERE)
    assert town.rows("assistance").keys() == {HEAD, CHILD}
    fields = {"members": [SPOUSE], "kinds": "living", "case_head": SPOUSE}
    town.event("AssistanceBegan", "2026-05-01", ELSEWHERE, "D-1", **fields)
    assert town.rows("assistance")[SPOUSE]["municipality"] == ELSEWHERE
    assert town.rows("resident")[SPOUSE]["municipality"] == ELSEWHERE


def test_a_cancellation_takes_back_all_or_nothing() -> None:
    """It must name the same persons; then nobody has a row, as if there had been no case."""
    town = Town()
    number = town.began()
    in_part = [
        town.event("Cancelled", "2026-03-02", case_number=None, cancels=number, **named)
        for named in ({"members": [HEAD, CHILD]}, {"code": HEAD}, {"members": [*CODES, "42990000044"]})
    ]
    assert town.rejections() == dict.fromkeys(in_part, "CANCELS_OTHER_PERSONS")
    assert town.rows("assistance").keys() == set(CODES)
    town.event("Cancelled", "2026-03-02", case_number=None, cancels=number, members=[CHILD, HEAD, SPOUSE])
    assert town.rows("assistance") == town.rows("resident") == {}


def test_members_join_and_leave() -> None:
    """Who joins names the head, and is named in what happens to the case afterwards."""
    town = Town()
    town.began(members=[HEAD, SPOUSE])
    town.event("MemberJoined", "2026-04-01", code=CHILD, kinds="living,education", case_head=HEAD)
    town.event("MemberLeft", "2026-05-01", code=SPOUSE)
    town.event("AssistanceSuspended", "2026-06-01", members=[HEAD, CHILD])
    rows = town.rows("assistance")
    assert {code: (row["kinds"], row["state"], row["case_head"]) for code, row in rows.items()} == {
        HEAD: ("living,medical", "suspended", welfare_code(HEAD)),
        CHILD: ("living,education", "suspended", welfare_code(HEAD)),
    }


@pytest.mark.parametrize(
    "content",
    [
        {"event": 5},
        {"members": "42990000011"},
        {"members": ["42990000011", None]},
        [],
        "x",
        {"raw": {"a": "b"}},
    ],
)
def test_a_sealed_submission_of_another_form_is_rejected(content: Any) -> None:
    """One that its office sealed itself; the one after it is accepted."""
    town, topic = Town(), f"in.welfare.{HERE}"
    sealer = SubmissionSealer(submission_opener().public_key)
    town.submit("submission-welfare", topic, {"sealed": sealer.seal(orjson.dumps(content), topic)})
    assert list(town.rejections().values()) == ["UNREADABLE"]
    table = table_from_rows("submission-welfare", [town.began_row()])
    (sealed,) = sealer.sealed_table(topic, table).to_pylist()
    town.submit("submission-welfare", topic, sealed)
    assert town.rows("assistance").keys() == set(CODES)


def test_nobody_is_in_two_cases_on_a_day() -> None:
    """The later one has no effect, which only its own office learns, until the earlier one ends."""
    town = Town()
    number = town.began()
    other = town.began("2026-04-01", municipality=ELSEWHERE, case_number="D-1", members=[HEAD])
    assert town.rows("assistance")[HEAD]["municipality"] == HERE
    topic = conflict_topic("welfare")
    boxes = [row["sealed"] for row in town.steps.records[topic]]
    (conflict,) = (
        row for row in opened_rows(high_sealer(), topic, "conflict", boxes) if isinstance(row, dict)
    )
    assert (conflict["municipality"], conflict["number"], conflict["status"]) == (ELSEWHERE, other, "OPEN")
    town.event("Cancelled", "2026-03-02", case_number=None, cancels=number, members=list(CODES))
    assert town.rows("assistance")[HEAD]["municipality"] == ELSEWHERE
