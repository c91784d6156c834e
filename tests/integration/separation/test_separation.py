"""Two domains can join their data by no value, except by facts that both receive."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, time
from itertools import combinations

import psycopg
import pytest
from psycopg.rows import dict_row

from schemas.systems import DOMAINS
from tests.integration.separation.city import IsolatedCity
from tests.integration.separation.observed import Observed, Value, observe, tables

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
PAIRS = list(combinations(DOMAINS, 2))

#: Facts that rules give to both domains, and the Kafka timestamp, which is a day.
FACTS = frozenset(
    {"name", "kana", "roman", "birth_date", "sex", "address", "relationship", "municipality", "effective_on"}
)
ACCOUNT = frozenset({"holder_kana", "bank", "branch", "type", "number"})
TIME = frozenset({"kafka_time"})
#: The days of histories, which a reading may have on a legal basis of its own.
HISTORY = frozenset({"valid_from", "valid_to", "known_from", "known_to"})
READ_FIELDS = [each for domain in DOMAINS.values() for reads in domain.readings for each in reads.fields]


def choices_of(name: str) -> set[str]:
    """Return the values that a field may have, in whichever reading: two of them may give a name other choices."""
    return {choice for each in READ_FIELDS if each.name == name for choice in each.choices}


#: Fields with few distinct values, which identify nobody: the maximum number in a whole city.
FEW_VALUES = {
    **{each.name: len(choices_of(each.name)) for each in READ_FIELDS if each.choices},
    **{each.name: 2 ** len(each.flags) for each in READ_FIELDS if each.flags},
    "entity": 4 + sum(len(domain.readings) for domain in DOMAINS.values()),
    "fields": 30 + len({each.name for each in READ_FIELDS}),
    "op": 3,
    "status": 5,
    "reason": 20,
    "legal_basis": 40,
    "year": 5,
}
#: Numbers that two domains have in common: the card of a certificate, which both systems submit themselves, and amounts
#: of which one domain has a copy.
COMMON_NUMBERS = {
    frozenset({"card", "jpki"}): frozenset({"serial", "on_card"}),
    frozenset({"local-tax", "intermediate-server"}): frozenset({"income", "amount"}),
}
#: So many persons a domain has at least; one of the high level has no row of somebody of whom all has ended.
MANY_PERSONS, FEW_PERSONS = 20, 5
#: Counters per person and domain, from 1: the maximum value.
COUNTERS = {"revision": 120}
#: Moments in topics that only auditors read: several domains' records of one transaction have the same.
AUDITORS_ONLY = frozenset({"disclosed_at"})
EXCEPTED = FACTS | ACCOUNT | TIME | HISTORY | FEW_VALUES.keys() | COUNTERS.keys() | AUDITORS_ONLY


@pytest.fixture(scope="module")
def observed(city: IsolatedCity) -> Observed:
    """Read all topics and stores once."""
    return observe(city)


def field(value: Value) -> str:
    """Return the name of the field."""
    return value[0].rsplit(".", 1)[-1]


def joining(values: set[Value]) -> set[str]:
    """Return the values outside fields that both domains may have in common."""
    return {value for name, value in values if field((name, value)) not in EXCEPTED}


def test_there_is_data_to_compare(observed: Observed) -> None:
    """Every domain has residents, and every code decrypts under the domain's key."""
    assert observed.unknown_codes == 0
    enough = {id_: FEW_PERSONS if domain.is_high else MANY_PERSONS for id_, domain in DOMAINS.items()}
    assert {id_: len(observed.by_person[id_]) > enough[id_] for id_ in DOMAINS} == dict.fromkeys(
        DOMAINS, True
    )
    names = {value[0] for domain in DOMAINS for value in observed.of_domain(domain)}
    assert {
        "code",
        "key",
        "case_code",
        "id",
        "applied_at",
        "household_code",
        "person.household_code",
    } <= names
    in_both = [set(observed.by_person[one]) & set(observed.by_person[other]) for one, other in PAIRS]
    assert all(in_both)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_domains_have_no_code_in_common(observed: Observed, one: str, other: str) -> None:
    """The codes of persons, households and cases differ in the whole city."""
    assert not observed.codes(one) & observed.codes(other)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_value_joins_two_domains(observed: Observed, one: str, other: str) -> None:
    """Records, keys, times and rows of one person have only declared facts in common."""
    first, second = observed.by_person[one], observed.by_person[other]
    excepted = EXCEPTED | COMMON_NUMBERS.get(frozenset({one, other}), frozenset())
    shared, contained = set[tuple[str, str]](), set[str]()
    for person in first.keys() & second.keys():
        values = joining(second[person])
        for name, value in first[person]:
            field_of = field((name, value))
            if value in values and field_of not in excepted:
                shared.add((name, field_of))
            # Two domains may have a table of the same name, which is part of the ids of their receipts.
            if len(value) >= 16 and field_of not in FEW_VALUES and any(value in text for text in values):
                contained.add(name)
    assert not shared
    assert not contained


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_an_excepted_field_has_no_code(observed: Observed, one: str, other: str) -> None:
    """A field that may be equal has the fact itself, not a code or ID under its name."""
    identifiers = joining(observed.of_domain(one)) | observed.codes(one)
    long = {identifier for identifier in identifiers if len(identifier) >= 16}
    assert not long & {value for _, value in observed.of_domain(other)}


def test_fields_with_few_values_have_few_values(observed: Observed) -> None:
    """A field is excepted only if it really has few distinct values."""
    values_by_field: dict[str, set[str]] = defaultdict(set)
    for domain in DOMAINS:
        for value in observed.of_domain(domain):
            values_by_field[field(value)].add(value[1])
    assert {name: len(values_by_field[name]) <= limit for name, limit in FEW_VALUES.items()} == dict.fromkeys(
        FEW_VALUES, True
    )
    for name, limit in COUNTERS.items():
        assert {value for value in values_by_field[name] if not 0 < int(value) <= limit} == set()


def test_records_have_no_headers(observed: Observed) -> None:
    """A header would pass unchanged through every step."""
    assert observed.headers == 0


def test_timestamps_are_the_day_of_effect(observed: Observed) -> None:
    """A time in milliseconds would be the same in all domains that receive a change in one batch."""
    assert observed.times
    wrong = {topic for topic, day, at in observed.times if at != datetime.combine(day, time(), UTC)}
    assert not wrong


def test_a_store_has_no_other_data_of_persons(city: IsolatedCity) -> None:
    """Outboxes are empty once all is relayed; tables without a code have only the sink's offsets and dead letters.

    A dead-letter entry has a record position, and the domain's own code as ordering key.
    """
    dlq_entry = ("partition", "record_offset", "kind", "digest", "reason", "ordering_key")
    with psycopg.connect(city.environment.dsn("auditor"), row_factory=dict_row) as connection:
        for domain in DOMAINS.values():
            for table in tables(connection, domain.schema_name):
                rows = connection.execute(f"TABLE {domain.schema_name}.{table}".encode()).fetchall()
                if table == "sink_offset":
                    assert {tuple(row) for row in rows} == {("topic", "partition", "next_offset")}
                elif table == "dlq_entry":
                    assert {tuple(row) for row in rows} <= {dlq_entry}
                elif table.endswith("_outbox"):
                    assert not rows
                else:
                    assert all("code" in row for row in rows)
