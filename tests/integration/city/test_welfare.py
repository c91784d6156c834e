"""Public assistance through the real stack: cases of several persons, who leaves one, and what is taken back.

Given cases, and others with persons and days drawn at random; whatever the order in which register and office submit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from infra.keys import load_keys
from processors.codes import MESH, CodeKind, domain_codes, person_codes
from tests.integration.city.life_events import A, B, Person, Population, Stores, ingest
from tests.integration.cluster import IntegrationCluster, selected

pytestmark = pytest.mark.proof

TODAY = (datetime.now(UTC) + timedelta(hours=9)).date()
SEED = int(os.environ.get("LIFE_EVENTS_SEED", TODAY.toordinal()))
OFFICE, OTHER_OFFICE = f"welfare_{A}", f"welfare_{B}"


def days_ago(days: int) -> date:
    """Return the day that was so many days ago."""
    return TODAY - timedelta(days=days)


@dataclass
class Case:
    """A case: its members, the head first, and the numbers of what was submitted, by event."""

    members: list[Person]
    number: str
    began: date
    submitted: dict[str, str] = field(default_factory=dict)

    @property
    def head(self) -> Person:
        """The head of the household."""
        return self.members[0]

    @property
    def codes(self) -> list[str]:
        """The resident record codes of the members."""
        return [member.code for member in self.members]


class Story:
    """All persons and cases."""

    def __init__(self) -> None:
        self.population = Population(SEED)
        self.whole = [self._whole(register_first=first) for first in (True, False, True, False)]
        self.cancelled = self._case()
        self._cancel(self.cancelled, self.cancelled.codes[::-1])
        self.cancelled_in_part = self._case()
        self._cancel(self.cancelled_in_part, self.cancelled_in_part.codes[:2])
        self.cancelled_alone = self._case()
        self._cancel(self.cancelled_alone, None)
        self.joined = self._joined()
        self.ends_tomorrow = self._ends_tomorrow()
        self.claimed_twice = self._claimed_twice()
        self.rejected = self._rejected()

    def _case(self, stage: int = 1) -> Case:
        """Return a case of three persons registered in A, all of whom the office names at once."""
        members = [self.population.person() for _ in range(3)]
        for member in members:
            member.registered(0, A, "初期登録", days_ago(400))
        case = Case(members, f"C-{members[0].code[-6:]}", self.population.day(days_ago(390), days_ago(300)))
        fields = {"case_number": case.number, "kinds": "living,housing", "case_head": case.head.code}
        number = case.head.event(stage, OFFICE, "AssistanceBegan", case.began, members=case.codes, **fields)
        case.submitted["AssistanceBegan"] = number
        return case

    def _whole(self, *, register_first: bool) -> Case:
        """Return a case of which one member dies, one moves to B, and aid for the head ends."""
        register, office = (1, 2) if register_first else (2, 1)
        case = self._case(office)
        _, died, moved = case.members
        died_on = self.population.day(days_ago(290), days_ago(10))
        moved_on = self.population.day(days_ago(290), days_ago(10))
        ended_on = self.population.day(days_ago(290), days_ago(10))
        died.notice(register, A, "死亡", died_on)
        moved.notice(register, A, "転出", moved_on, moved_to=B)
        moved.registered(register, B, "転入", moved_on, moved_from=A)
        case.head.event(
            office, OFFICE, "AssistanceEnded", ended_on, members=[case.head.code], case_number=case.number
        )
        return case

    def _cancel(self, case: Case, members: list[str] | None) -> None:
        named: dict[str, Any] = {} if members is None else {"members": members}
        cancels = case.submitted["AssistanceBegan"]
        number = case.head.event(2, OFFICE, "Cancelled", case.began, cancels=cancels, **named)
        case.submitted["Cancelled"] = number

    def _joined(self) -> tuple[Case, Person, Person]:
        """Return a case that a child joins and that somebody leaves, and these two; a suspension of who stays."""
        case, child = self._case(), self.population.person(days_ago(200))
        child.registered(1, A, "出生", days_ago(200))
        fields = {"case_number": case.number, "kinds": "living", "case_head": case.head.code}
        child.event(2, OFFICE, "MemberJoined", days_ago(190), **fields)
        leaver = case.members[2]
        leaver.event(2, OFFICE, "MemberLeft", days_ago(100), case_number=case.number)
        staying = [case.head.code, case.members[1].code, child.code]
        case.head.event(
            2, OFFICE, "AssistanceSuspended", days_ago(50), members=staying, case_number=case.number
        )
        return case, child, leaver

    def _ends_tomorrow(self) -> Case:
        """Return a case that ends tomorrow; of two members tax is assessed, and one of them is exempt."""
        case = self._case()
        case.head.event(
            2, OFFICE, "AssistanceEnded", days_ago(-1), members=case.codes, case_number=case.number
        )
        for member, levy in zip(case.members, ("exempt", "levied"), strict=False):
            fields = {"year": str(TODAY.year), "levy": levy, "income": "3000000", "amount": "120000"}
            member.event(2, f"local-tax_{A}", "Assessed", days_ago(1), **fields)
        return case

    def _claimed_twice(self) -> Case:
        """Return a case in A whose members another office takes into a case of its own on a later day."""
        case = self._case()
        fields = {"case_number": "X-1", "kinds": "medical", "case_head": case.head.code}
        case.head.event(2, OTHER_OFFICE, "AssistanceBegan", days_ago(20), members=case.codes, **fields)
        return case

    def _rejected(self) -> dict[str, str]:
        """Add submissions with one fault each about a family without aid; return their codes by number."""
        family = [self.population.person() for _ in range(2)]
        for member in family:
            member.registered(0, A, "初期登録", days_ago(400))
        codes, first = [member.code for member in family], family[0]
        fields = {"case_number": "R-1", "kinds": "living", "case_head": codes[0], "members": codes}
        faults: list[tuple[dict[str, Any], str]] = [
            ({"members": []}, "MISSING/members"),
            ({"members": [*codes, codes[0]]}, "REPEATED/members"),
            ({"members": [*codes, "123"]}, "FORM/members"),
            ({"members": [f"{number:011}" for number in range(101)]}, "MANY/members"),
            ({"code": codes[0]}, "UNEXPECTED/code"),
            ({"case_head": "99999999999"}, "NO_MEMBER/case_head"),
            ({"kinds": "housing,living"}, "FORM/kinds"),
            ({"municipality": B}, "NOT_SUBMITTER"),
        ]
        return {
            first.event(1, OFFICE, "AssistanceBegan", days_ago(90), **{**fields, **fault}): code
            for fault, code in faults
        }


@pytest.fixture(scope="module")
def story(
    servers: IntegrationCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Story, Stores, IntegrationCluster]]:
    """Yield the cases, and the stores after everything about them was ingested, in a mesh of its own data."""
    with selected(servers):
        servers.start_empty()
        cases = Story()
        ingest(servers, cases.population.persons, tmp_path_factory.mktemp("welfare"))
        assert servers.dead_letters() == []
        yield cases, Stores(servers), servers


def tables(stores: Stores, person: Person) -> dict[str, list[str | None]]:
    """Return the status of the person's rows in each table of the office."""
    names = ("assistance", "resident", "assessment")
    return {name: [row["status"] for row in stores.rows(person, "welfare", name)] for name in names}


NOTHING: dict[str, list[str | None]] = {"assistance": [], "resident": [], "assessment": []}


def test_nothing_is_left_of_who_is_in_no_case_any_more(
    story: tuple[Story, Stores, IntegrationCluster],
) -> None:
    """By law of who dies or moves away, by the office of the head, in any order; not before its day."""
    cases, stores, _ = story
    for case in cases.whole:
        assert [tables(stores, member) for member in case.members] == [NOTHING] * 3
    for member in cases.ends_tomorrow.members:
        assert tables(stores, member)["assistance"] == ["active"]


def test_the_office_reads_whether_a_member_owes_tax(story: tuple[Story, Stores, IntegrationCluster]) -> None:
    """Of who is in a case, and no more than yes or no."""
    cases, stores, _ = story
    exempt, levied, unassessed = cases.ends_tomorrow.members
    assert stores.row(exempt, "welfare", "assessment")["exempt"] == "yes"
    assert stores.row(levied, "welfare", "assessment")["exempt"] == "no"
    assert stores.rows(unassessed, "welfare", "assessment") == []


def test_the_head_is_named_by_the_own_code_of_the_domain(
    story: tuple[Story, Stores, IntegrationCluster],
) -> None:
    """It is the code of the head's own row; no other domain has the code."""
    cases, stores, servers = story
    keys = load_keys(servers.installation.key_file)
    for case in (cases.joined[0], cases.cancelled_in_part):
        mesh = person_codes(keys.cipher(MESH), pa.array([case.head.code]))
        (code,) = domain_codes(keys.cipher("welfare"), mesh, CodeKind.PERSON).to_pylist()
        heads = {
            row["case_head"]
            for member in case.members
            for row in stores.rows(member, "welfare", "assistance")
        }
        assert heads == {code}


def test_a_cancellation_takes_back_all_or_nothing(story: tuple[Story, Stores, IntegrationCluster]) -> None:
    """With all members nobody has a row; with some of them, or one, everybody keeps it, and the rejection says why."""
    cases, stores, servers = story
    assert [tables(stores, member) for member in cases.cancelled.members] == [NOTHING] * 3
    rejected = {row["notice"]: row["code"] for row in servers.rejections()}
    for case in (cases.cancelled_in_part, cases.cancelled_alone):
        for member in case.members:
            assert stores.row(member, "welfare", "assistance")["effective_on"] == case.began
        assert rejected[case.submitted["Cancelled"]] == "CANCELS_OTHER_PERSONS"


def test_members_join_and_leave(story: tuple[Story, Stores, IntegrationCluster]) -> None:
    """A suspension concerns those whom it names; of who left nothing is kept."""
    cases, stores, _ = story
    case, child, leaver = cases.joined
    for member in (case.head, case.members[1], child):
        row = stores.row(member, "welfare", "assistance")
        assert (row["status"], row["state"], row["effective_on"]) == ("active", "suspended", days_ago(50))
        assert stores.row(member, "welfare", "resident")["status"] == "active"
    assert tables(stores, leaver) == NOTHING
    assert stores.row(child, "welfare", "assistance")["kinds"] == "living"


def test_nobody_is_in_two_cases_on_a_day(story: tuple[Story, Stores, IntegrationCluster]) -> None:
    """What another office begins meanwhile has no effect."""
    cases, stores, _ = story
    for member in cases.claimed_twice.members:
        row = stores.row(member, "welfare", "assistance")
        assert (row["municipality"], row["status"]) == (A, "active")


def test_one_fault_rejects_the_whole_submission(story: tuple[Story, Stores, IntegrationCluster]) -> None:
    """Each has a reason of its own, which names no person, and nobody of it has a row."""
    cases, stores, servers = story
    rejections = {row["notice"]: row for row in servers.rejections()}
    assert {number: rejections[number]["code"] for number in cases.rejected} == cases.rejected
    assert len(rejections) == len(cases.rejected) + 2
    codes = [person.code for person in cases.population.persons]
    assert not any(code in str(rejections) for code in codes)
    held = {
        row["case_number"]
        for person in cases.population.persons
        for row in stores.rows(person, "welfare", "assistance")
    }
    assert "R-1" not in held
