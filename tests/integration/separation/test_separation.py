"""Two domains that lay their records side by side find no value to join them by, but the facts both are told."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, time
from itertools import combinations

import psycopg
import pytest
from psycopg.rows import dict_row

from schemas.systems import DOMAINS
from tests.integration.separation.city import IsolatedCity
from tests.integration.separation.observed import Observed, Seen, observe, tables

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
PAIRS = list(combinations(DOMAINS, 2))

#: Facts that rules give to both domains, and the day on which a Kafka timestamp says the same.
FACTS = frozenset(
    {"name", "kana", "roman", "birth_date", "sex", "address", "relationship", "municipality", "effective_on"}
)
ACCOUNT = frozenset({"holder_kana", "bank", "branch", "type", "number"})
TIME = frozenset({"kafka_time"})
#: Words of which there are a few in all: they join nobody. How many there may be in a whole city.
WORDS = {"entity": 4, "op": 3, "status": 5, "reason": 20, "legal_basis": 40, "fields": 30}
#: Counted per person and domain, from one on.
COUNTED = {"revision": 60}
EXCEPTED = FACTS | ACCOUNT | TIME | WORDS.keys() | COUNTED.keys()


@pytest.fixture(scope="module")
def observed(city: IsolatedCity) -> Observed:
    """All of it, read once."""
    return observe(city)


def field(seen: Seen) -> str:
    return seen[0].rsplit(".", 1)[-1]


def joining(values: set[Seen]) -> set[str]:
    """Values that stand anywhere but where both domains are told the same."""
    return {value for name, value in values if field((name, value)) not in EXCEPTED}


def test_there_is_something_to_compare(observed: Observed) -> None:
    """Every domain knows residents, and each code is one of its own making."""
    assert observed.unknown_codes == 0
    assert {domain: len(observed.by_person[domain]) > 20 for domain in DOMAINS} == dict.fromkeys(
        DOMAINS, True
    )
    names = {seen[0] for domain in DOMAINS for seen in observed.of_domain(domain)}
    assert {
        "code",
        "key",
        "case_code",
        "id",
        "applied_at",
        "household_code",
        "person.household_code",
    } <= names
    both = [set(observed.by_person[one]) & set(observed.by_person[other]) for one, other in PAIRS]
    assert all(both)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_code_is_anothers(observed: Observed, one: str, other: str) -> None:
    """Of persons, households and cases, all over the city."""
    assert not observed.codes(one) & observed.codes(other)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_value_joins_two_domains(observed: Observed, one: str, other: str) -> None:
    """Whatever stands in records, keys, times and rows of one person: only ruled facts are the same in both."""
    first, second = observed.by_person[one], observed.by_person[other]
    shared = {
        (name, field_of)
        for person in first.keys() & second.keys()
        for name, value in first[person]
        if value in joining(second[person]) and (field_of := field((name, value))) not in EXCEPTED
    }
    assert not shared
    hidden = {
        name
        for person in first.keys() & second.keys()
        for name, value in first[person]
        if len(value) >= 16 and any(value in text for text in joining(second[person]))
    }
    assert not hidden


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_an_excepted_field_holds_no_code(observed: Observed, one: str, other: str) -> None:
    """What may be equal is the fact itself, not a code or an id under a fact's name."""
    marks = joining(observed.of_domain(one)) | observed.codes(one)
    long = {mark for mark in marks if len(mark) >= 16}
    assert not long & {value for _, value in observed.of_domain(other)}


def test_words_are_few(observed: Observed) -> None:
    """A field that is excepted because it holds one of a few words does so."""
    found: dict[str, set[str]] = defaultdict(set)
    for domain in DOMAINS:
        for seen in observed.of_domain(domain):
            found[field(seen)].add(seen[1])
    assert {name: len(found[name]) <= most for name, most in WORDS.items()} == dict.fromkeys(WORDS, True)
    for name, most in COUNTED.items():
        assert {value for value in found[name] if not 0 < int(value) <= most} == set()


def test_records_bear_no_headers(observed: Observed) -> None:
    """A header would travel unchanged through every step."""
    assert observed.headers == 0


def test_times_are_the_day_of_effect(observed: Observed) -> None:
    """A clock's millisecond would be the same in all domains that are told in one batch."""
    assert observed.times
    wrong = {topic for topic, day, at in observed.times if at != datetime.combine(day, time(), UTC)}
    assert not wrong


def test_a_store_keeps_nothing_beside(city: IsolatedCity) -> None:
    """Outboxes are empty when all is relayed; what has no code says how far the sink is, and no more.

    What is set aside stands there by its place, and whose it is by the domain's own code.
    """
    dlq_entry = ("partition", "record_offset", "kind", "digest", "reason", "ordering_key")
    with psycopg.connect(city.environment.dsn("auditor"), row_factory=dict_row) as connection:
        for domain in DOMAINS.values():
            for table in tables(connection, domain.schema_name):
                found = connection.execute(f"TABLE {domain.schema_name}.{table}".encode()).fetchall()
                if table == "sink_offset":
                    assert {tuple(row) for row in found} == {("topic", "partition", "next_offset")}
                elif table == "dlq_entry":
                    assert {tuple(row) for row in found} <= {dlq_entry}
                elif table.endswith("_outbox"):
                    assert not found
                else:
                    assert all("code" in row for row in found)
