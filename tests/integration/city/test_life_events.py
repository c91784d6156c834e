"""Checks of life events through the real stack, each named by its number: given persons, and others drawn at random.

The days are in the past, or relative to today, because a store shows what holds today.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from tests.integration.city.life_events import A, B, Person, Population, Stores, ingest
from tests.integration.cluster import IntegrationCluster, selected

TODAY = (datetime.now(UTC) + timedelta(hours=9)).date()
#: A year whose first two months are over.
YEAR = (TODAY - timedelta(days=60)).year
SEED = int(os.environ.get("LIFE_EVENTS_SEED", TODAY.toordinal()))


def days_ago(days: int) -> date:
    """Return the day that was so many days ago."""
    return TODAY - timedelta(days=days)


class Story:
    """All persons, and the stores after everything about them was ingested."""

    def __init__(self) -> None:
        self.population = Population(SEED)
        self.turned_65 = [self._turned_65(date(1961, 6, 1))]
        self.turned_65 += [
            self._turned_65(self.population.day(date(1955, 1, 1), date(1961, 6, 30))) for _ in range(3)
        ]
        self.turns_65_tomorrow = self._turned_65(
            date(TODAY.year - 65, TODAY.month, TODAY.day) + timedelta(days=2)
        )
        self.departed_on = [days_ago(days) for days in (31, 32, self.population.chance.randint(33, 80))]
        self.departed = [self._departed(on) for on in self.departed_on]
        self.just_departed = [
            self._departed(days_ago(days)) for days in (30, self.population.chance.randint(1, 29))
        ]
        self.moved = [self._moved(first) for first in (A, B)]
        self.in_institution = [self._in_institution() for _ in range(2)]
        #: Who applies so many days after a move; the days and levels of the certification are by code of the person.
        self.certified: dict[str, tuple[date, str]] = {}
        chance = self.population.chance
        self.certified_in_time = [self._certified(14, "care-3")]
        self.certified_in_time += [self._certified(chance.randint(0, 14)) for _ in range(2)]
        self.certified_late = [self._certified(15, "care-3"), self._certified(chance.randint(15, 25))]
        #: The days of the new names are by code of the person.
        self.renamed_on: dict[str, date] = {}
        self.renamed = [self._renamed() for _ in range(3)]
        self.died = [self._died(cancelled=False) for _ in range(2)]
        self.revived = [self._died(cancelled=True) for _ in range(3)]
        self.moved_in_january = [self._moved_in_january(date(YEAR, 1, 2), 1)]
        self.moved_in_january += [
            self._moved_in_january(self.population.day(date(YEAR, 1, 2), date(YEAR, 2, 28)), stage)
            for stage in (1, 2, 3)
        ]
        self.died_before_january = [self._died_before_january(date(YEAR - 1, 12, 31), cancelled=False)]
        self.died_before_january += [
            self._died_before_january(
                self.population.day(date(YEAR - 1, 11, 1), date(YEAR, 1, 1)), cancelled=cancelled
            )
            for cancelled in (False, True, True)
        ]
        self.corrected = [
            self._assessed_two_years_back(is_corrected=is_corrected) for is_corrected in (True, False)
        ]

    def _turned_65(self, born: date) -> Person:
        person = self.population.person(born)
        person.registered(0, A, "初期登録", date(2020, 4, 1))
        return person

    def _departed(self, on: date) -> Person:
        person = self.population.person()
        person.registered(0, A, "初期登録", days_ago(400))
        person.with_certificates(1, days_ago(300))
        person.notice(2, A, "転出", on, moved_to=B)
        return person

    def _moved(self, first: str) -> Person:
        """Return somebody who moved from A to B; the notice of `first` is ingested before the other one."""
        person, on = self.population.person(date(1990, 5, 5)), days_ago(60)
        person.registered(0, A, "初期登録", days_ago(400))
        person.with_certificates(1, days_ago(300))
        person.notice(2 if first == A else 3, A, "転出", on, moved_to=B)
        person.registered(3 if first == A else 2, B, "転入", on, moved_from=A)
        return person

    def _in_institution(self) -> Person:
        person = self.population.person(self.population.day(date(1940, 1, 1), date(1955, 1, 1)))
        on = self.population.day(days_ago(200), days_ago(40))
        person.registered(0, A, "初期登録", days_ago(400))
        person.event(1, f"care_{A}", "InstitutionEntered", on)
        person.notice(2, A, "転出", on, moved_to=B)
        person.registered(2, B, "転入", on, moved_from=A)
        return person

    def _certified(self, days: int, level: str | None = None) -> Person:
        """Return somebody who has moved from A to B, and applies there so many days later."""
        chance = self.population.chance
        level = level or chance.choice(["support-1", "care-1", "care-2", "care-4", "care-5"])
        moved, until = days_ago(chance.randint(26, 60)), (TODAY + timedelta(days=chance.randint(200, 400)))
        person = self.population.person(self.population.day(date(1940, 1, 1), date(1955, 1, 1)))
        person.registered(0, A, "初期登録", days_ago(400))
        fields = {"care_level": level, "certified_until": until.isoformat()}
        person.event(1, f"care_{A}", "CareCertified", days_ago(300), **fields)
        person.notice(2, A, "転出", moved, moved_to=B)
        person.registered(2, B, "転入", moved, moved_from=A)
        person.event(3, f"care_{B}", "CareCertificationTakenOver", moved + timedelta(days=days))
        self.certified[person.code] = moved + timedelta(days=days), level
        return person

    def _renamed(self) -> Person:
        person = self.population.person()
        person.registered(0, A, "初期登録", days_ago(400))
        person.with_certificates(1, days_ago(300))
        on = self.population.day(days_ago(250), days_ago(2))
        person.notice(2, A, "氏名変更", on, {"name": "新　氏名", "kana": "アタラシ　シメイ"})
        self.renamed_on[person.code] = on
        return person

    def _died(self, *, cancelled: bool) -> Person:
        person = self.population.person(date(1950, 1, 1))
        person.registered(0, A, "初期登録", days_ago(400))
        person.with_certificates(1, days_ago(300))
        number = person.notice(2, A, "死亡", self.population.day(days_ago(200), days_ago(3)))
        if cancelled:
            self._cancel(person, number)
        return person

    @staticmethod
    def _cancel(person: Person, number: str) -> None:
        """Add the cancellation of a notice of A."""
        person.notice(3, A, "取消", days_ago(1), cancels=number)

    def _moved_in_january(self, on: date, stage: int) -> Person:
        """Return somebody who moved from A to B in January or February; both assess, A in this stage."""
        person = self.population.person(date(1950, 7, 7))
        person.registered(0, A, "初期登録", date(YEAR - 1, 4, 1))
        person.notice(2, A, "転出", on, moved_to=B)
        person.registered(2, B, "転入", on, moved_from=A)
        for part, of_stage in ((A, stage), (B, 2)):
            self._assess(person, of_stage, part, YEAR, date(YEAR, 2, 1), "levied", "3000000")
        return person

    def _died_before_january(self, on: date, *, cancelled: bool) -> Person:
        """Return somebody who had died by 1 January; that is listed only after the assessment."""
        person = self.population.person(date(1950, 8, 8))
        person.registered(0, A, "初期登録", date(YEAR - 1, 4, 1))
        self._assess(person, 1, A, YEAR, date(YEAR, 1, 20), "per-capita-only", "1000000")
        number = person.notice(2, A, "死亡", on, recorded_on=date(YEAR, 2, 10).isoformat())
        if cancelled:
            self._cancel(person, number)
        return person

    def _assessed_two_years_back(self, *, is_corrected: bool) -> Person:
        """Return somebody insured for care who was assessed two years ago, and not as it should be."""
        person, year = self.population.person(date(1945, 9, 9)), YEAR - 2
        person.registered(0, A, "初期登録", date(year - 1, 4, 1))
        self._assess(person, 1, A, year, date(year, 6, 1), "levied", "3000000")
        if is_corrected:
            self._assess(
                person, 2, A, year, date(year, 6, 1), "exempt", "400000", event="AssessmentCorrected"
            )
        return person

    @staticmethod
    def _assess(  # noqa: PLR0917 (an assessment has as many parts)
        person: Person,
        stage: int,
        part: str,
        year: int,
        on: date,
        levy: str,
        income: str,
        event: str = "Assessed",
    ) -> None:
        amount = {"levied": "170000", "per-capita-only": "5000", "exempt": "0"}[levy]
        fields = {"levy": levy, "income": income, "amount": amount, "collected": "pension"}
        person.event(stage, f"local-tax_{part}", event, on, year=str(year), **fields)


@pytest.fixture(scope="module")
def story(
    servers: IntegrationCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Story, Stores]]:
    """Yield the persons, and the stores after everything about them was ingested, in a mesh of its own data."""
    with selected(servers):
        servers.start_empty()
        persons = Story()
        ingest(servers, persons.population.persons, tmp_path_factory.mktemp("life_events"))
        assert servers.dead_letters() == []
        assert servers.rejections() == []
        yield persons, Stores(servers)


def test_check_3_insured_the_day_before_the_65th_birthday(story: tuple[Story, Stores]) -> None:
    """Somebody born on 1 June 1961 is insured from 31 May 2026; nobody earlier, and nobody by another municipality."""
    persons, stores = story
    for person in persons.turned_65:
        row = stores.row(person, "care", "insurance")
        birthday = person.born.replace(year=person.born.year + 65)
        first = max(birthday - timedelta(days=1), date(2020, 4, 1))
        assert (row["municipality"], row["status"], row["effective_on"]) == (A, "active", first)
    assert stores.rows(persons.turns_65_tomorrow, "care", "insurance") == []


def test_check_6_a_departure_without_arrival(story: tuple[Story, Stores]) -> None:
    """After 31 days without a registration the card is void, and a clerk sees that the person hasn't arrived.

    Nobody lists the person at the destination.
    """
    persons, stores = story
    for person in persons.departed:
        assert stores.row(person, "card", "card")["state"] == "void"
    for person in persons.just_departed:
        assert stores.row(person, "card", "card")["state"] == "active"
    conflicts = stores.open_conflicts("DEPARTED_NOT_ARRIVED")
    for person, on in zip(persons.departed, persons.departed_on, strict=True):
        assert [
            (each["municipality"], each["other_municipality"], each["effective_on"])
            for each in conflicts.get(stores.mesh_code(person), ())
        ] == [(A, B, on)]
    for person in (*persons.just_departed, *persons.moved):
        assert stores.mesh_code(person) not in conflicts
    for person in (*persons.departed, *persons.just_departed):
        assert [row["municipality"] for row in stores.rows(person, "local-tax", "person")] == [A]


def test_check_7_the_order_of_the_registers_does_not_matter(story: tuple[Story, Stores]) -> None:
    """The move in read before the move out gives the same rows as the other order."""
    persons, stores = story
    tables = [("local-tax", "person"), ("card", "card"), ("jpki", "certificate"), ("jpki", "holder")]
    own = {"code", "revision", "serial", "certificate_serial", "on_card", "address", "household_code", "name", "kana",
           "roman"}  # fmt: skip
    for domain, table in tables:
        ends = [
            sorted(
                sorted((column, str(value)) for column, value in row.items() if column not in own)
                for row in stores.rows(person, domain, table)
            )
            for person in persons.moved
        ]
        assert ends[0] == ends[1], (domain, table)
        assert ends[0], (domain, table)


def test_check_10_a_level_of_care_goes_with_a_move(story: tuple[Story, Stores]) -> None:
    """Who applies up to day 14 keeps the level for six months at the new insurer; later, a new one is needed."""
    persons, stores = story
    for person in persons.certified_in_time:
        on, level = persons.certified[person.code]
        row = stores.row(person, "care", "certification", status="active")
        assert (row["municipality"], row["care_level"], row["effective_on"]) == (B, level, on)
        assert row["certified_until"] == six_months_from(on)
        assert stores.row(person, "care", "certification", municipality=A)["status"] == "closed"
    without_effect = stores.open_conflicts("EVENT_WITHOUT_EFFECT")
    for person in persons.certified_late:
        on, _ = persons.certified[person.code]
        assert [row["municipality"] for row in stores.rows(person, "care", "certification")] == [A]
        found = without_effect[stores.mesh_code(person)]
        assert [(row["municipality"], row["entity"], row["effective_on"]) for row in found] == [
            (B, "care-certification", on)
        ]
    for person in persons.certified_in_time:
        assert stores.mesh_code(person) not in without_effect


def six_months_from(first: date) -> date:
    """Return the last day of six months, without the code under test."""
    following = (first.replace(day=1) + timedelta(days=184)).replace(day=1)
    while (following.year * 12 + following.month) > (first.year * 12 + first.month) + 6:
        following = (following - timedelta(days=1)).replace(day=1)
    try:
        return following.replace(day=first.day) - timedelta(days=1)
    except ValueError:
        return (following + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def test_check_11_the_insurer_is_not_the_place_of_residence(story: tuple[Story, Stores]) -> None:
    """Who moved from A into an institution in B is insured by A, and a resident for local tax in B."""
    persons, stores = story
    for person in persons.in_institution:
        row = stores.row(person, "care", "insurance")
        assert (row["municipality"], row["status"], row["institution_elsewhere"]) == (A, "active", "yes")
        assert stores.row(person, "local-tax", "person", status="active")["municipality"] == B


def test_check_12_a_new_name(story: tuple[Story, Stores]) -> None:
    """The signature certificate is revoked, the authentication certificate is valid, the card is to be written."""
    persons, stores = story
    for person in persons.renamed:
        signature = stores.row(person, "jpki", "certificate", usage="signature")
        assert (signature["validity"], signature["effective_on"]) == (
            "revoked",
            persons.renamed_on[person.code],
        )
        assert stores.row(person, "jpki", "certificate", usage="authentication")["validity"] == "valid"
        card = stores.row(person, "card", "card")
        assert (card["state"], card["printed_text"]) == ("active", "to-be-written")
        assert stores.row(person, "jpki", "holder")["name"] == "新　氏名"


def test_check_13_a_death_that_is_cancelled(story: tuple[Story, Stores]) -> None:
    """Every domain is as before the death, but certificates that it revoked stay revoked, and the card void."""
    persons, stores = story
    for person in persons.revived:
        assert stores.row(person, "local-tax", "person")["status"] == "active"
        assert stores.row(person, "care", "insurance")["status"] == "active"
        assert stores.row(person, "jpki", "holder")["status"] == "active"
        validity = {row["validity"] for row in stores.rows(person, "jpki", "certificate")}
        assert validity == {"revoked"}
        assert stores.row(person, "card", "card")["state"] == "void"
    for person in persons.died:
        assert stores.row(person, "local-tax", "person")["status"] == "closed"
        assert stores.row(person, "care", "insurance")["status"] == "closed"
        holder = stores.row(person, "jpki", "holder")
        assert (holder["status"], holder["address"]) == ("closed", None)


def without_effect(cluster: IntegrationCluster, part: str) -> int:
    """Return how many assessments of a municipality have no effect."""
    return len(
        [
            each
            for each in cluster.conflicts()
            if (each["kind"], each["domain"], each["municipality"])
            == ("EVENT_WITHOUT_EFFECT", "local-tax", part)
        ]
    )


def test_check_4_a_move_on_2_january(story: tuple[Story, Stores], servers: IntegrationCluster) -> None:
    """The assessment of that year by A stays open, with the address in B; B has none, in whatever order."""
    persons, stores = story
    for person in persons.moved_in_january:
        row = stores.row(person, "local-tax", "assessment")
        assert (row["municipality"], row["year"], row["status"]) == (A, str(YEAR), "active")
        taxpayer = stores.row(person, "local-tax", "taxpayer")
        assert (taxpayer["municipality"], taxpayer["status"]) == (A, "active")
        assert taxpayer["address"].startswith(B)
        assert stores.row(person, "intermediate-server", "assessment")["municipality"] == A
    assert without_effect(servers, B) == len(persons.moved_in_january)


def test_check_5_a_death_before_1_january(story: tuple[Story, Stores], servers: IntegrationCluster) -> None:
    """Listed after the assessment, it leaves none for the year; cancelled, it leaves what there was."""
    persons, stores = story
    tables = [("local-tax", "assessment"), ("local-tax", "taxpayer"), ("intermediate-server", "assessment")]
    tables += [("care", "resident_tax")]
    *dead, revived, also_revived = persons.died_before_january
    for domain, table in tables:
        for person in dead:
            assert stores.rows(person, domain, table) == []
        for person in (revived, also_revived):
            row = stores.row(person, domain, table)
            assert (row["municipality"], row["status"]) == (A, "active")
    assert without_effect(servers, A) == len(dead)


def test_check_25_income_corrected_two_years_back(
    story: tuple[Story, Stores], servers: IntegrationCluster
) -> None:
    """What care receives is made again, and the copy has another revision. What was known before: test_as_of.py."""
    persons, stores = story
    corrected, other = persons.corrected
    row = stores.row(corrected, "local-tax", "assessment")
    assert (row["levy"], row["income"], row["effective_on"]) == ("exempt", 400_000, date(YEAR - 2, 6, 1))
    assert stores.row(corrected, "care", "resident_tax")["exempt"] == "yes"
    assert stores.row(other, "care", "resident_tax")["exempt"] == "no"
    copies = [stores.row(person, "intermediate-server", "assessment") for person in persons.corrected]
    assert [copy["income"] for copy in copies] == [400_000, 3_000_000]
    assert copies[0]["revision"] > copies[1]["revision"]
    command = ("as-of", "--domain", "intermediate-server", "--effective", date(YEAR - 2, 12, 1), "--json")
    process = servers.mesh(*command)
    assert process.returncode == 0, process.stderr
    rows = [json.loads(line) for line in process.stdout.splitlines()]
    assert sorted((row["year"], row["levy"], row["income"]) for row in rows) == [
        (str(YEAR - 2), "exempt", 400_000),
        (str(YEAR - 2), "levied", 3_000_000),
    ]
    assert servers.mesh(*command, "--known", days_ago(1)).stdout == ""
