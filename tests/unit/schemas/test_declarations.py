"""The systems' declarations are the table of rules, and names are what the architecture says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import municipalities
from schemas.catalogue import catalogue
from schemas.reasons import BY_JAPANESE, FIELDS_BY_REASON, JAPANESE, Reason
from schemas.systems import DOMAINS, SYSTEMS
from schemas.systems.model import Action
from schemas.topics import group, input_topic, parse_input_topic, subject, topics_of, transactional_id, users

pytestmark = pytest.mark.unit
MUNICIPALITIES = ["131041", "141097"]

#: reason: local-tax | child | care | pension, nta, card. O open, c candidate, o candidate if held at origin, U, C.
TABLE = """
初期登録 O - - -
転入 O o o U
転居 U U U U
氏名変更 U U U U
世帯主変更 U U U U
世帯分離 U U U U
世帯合併 U U U U
世帯構成変更 U U U U
職権修正 U U U U
転出 C C C -
国外転出 C C C U
国外転入 O - - U
出生 O c - -
死亡 C C C C
支援措置開始 U U U U
支援措置終了 U U U U
取消 - - - -
"""
LETTERS = {
    "O": Action.OPEN,
    "o": Action.OPEN_CANDIDATE_IF_HELD_AT_ORIGIN,
    "c": Action.OPEN_CANDIDATE,
    "U": Action.UPDATE,
    "C": Action.CLOSE,
    "-": Action.NONE,
}


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_what_each_domain_does(line: str) -> None:
    """The table domain by reason, cell by cell."""
    term, local_tax, child, care, national = line.split()
    expected = {"local-tax": local_tax, "child": child, "care": care} | dict.fromkeys(
        ("pension", "nta", "card"), national
    )
    found = {name: DOMAINS[name].rule(BY_JAPANESE[term]).action for name in expected}
    assert found == {name: LETTERS[letter] for name, letter in expected.items()}


def test_the_table_has_every_reason() -> None:
    """No reason is left out, in the table or in the schemas."""
    assert {line.split()[0] for line in TABLE.strip().splitlines()} == set(JAPANESE.values())
    reason = next(field for field in catalogue().schema("notice").type.fields if field.name == "reason")
    assert set(reason.type.symbols) == set(Reason)
    assert set(FIELDS_BY_REASON) == set(JAPANESE)


@pytest.mark.parametrize(
    ("domain", "reason", "fields"),
    [
        ("local-tax", Reason.MOVED_WITHIN, {"address", "household_code"}),
        ("local-tax", Reason.NAME_CHANGED, {"name", "kana", "roman"}),
        ("local-tax", Reason.CORRECTED, {"address", "birth_date"}),
        ("card", Reason.CORRECTED, {"address", "birth_date", "sex"}),
        ("pension", Reason.HOUSEHOLD_SPLIT, set()),
        ("pension", Reason.HOUSEHOLD_JOINED, {"address"}),
        ("care", Reason.PROTECTION_BEGUN, {"address"}),
        ("nta", Reason.MOVED_ABROAD, {"address"}),
    ],
)
def test_what_an_update_brings_in(domain: str, reason: Reason, fields: set[str]) -> None:
    """Only what the reason changes, of what the domain may have."""
    assert set(DOMAINS[domain].rule(reason).fields) == fields


def test_abroad_is_the_rules_own_address() -> None:
    """Who moved abroad has an address that says no more, in national domains only."""
    for domain in DOMAINS.values():
        gives = domain.rule(Reason.MOVED_ABROAD).sets
        assert dict(gives) == ({} if domain.municipal or domain.id == "portal" else {"address": "国外"})


@pytest.mark.parametrize("name", DOMAINS)
def test_every_rule_has_its_law(name: str) -> None:
    """Nothing is told without an act that allows it."""
    domain = DOMAINS[name]
    told = [rule for rule in domain.rules.values() if rule.action is not Action.NONE]
    assert all("法" in rule.legal_basis for rule in told)
    assert all("法" in domain.basis("PERSON", reason) for reason in [*Reason, None])
    assert ("法" in domain.basis("ACCOUNT", None)) is domain.has_accounts
    assert domain.has_accounts is (domain.paying or name == "portal")


@pytest.mark.parametrize("name", DOMAINS)
def test_events_have_the_columns_of_the_rule_and_no_other(name: str) -> None:
    """The schema of a domain's topic has the declared personal columns, status, and nothing more."""
    fields = {field.name: field.type for field in catalogue().schema(DOMAINS[name].event).type.fields}
    person = {field.name for field in fields["person"].fields} if "person" in fields else {"status"}
    assert person == {*DOMAINS[name].columns, "status"}
    assert ("municipality" in fields) is DOMAINS[name].municipal
    assert ("account" in fields) is DOMAINS[name].has_accounts
    assert ("message" in fields) is bool(DOMAINS[name].message_on)


def test_the_portal_tells_all_but_a_death() -> None:
    """One's own death is no message."""
    assert DOMAINS["portal"].message_on == set(JAPANESE) - {Reason.DIED}


def test_topics_are_declared_once_with_a_schema_that_exists() -> None:
    """Each has one schema of the catalogue, a writer and a reader; the auditor reads all and writes none."""
    topics = topics_of(MUNICIPALITIES)
    names = [topic.name for topic in topics]
    assert len(names) == len(set(names))
    assert {topic.schema for topic in topics} == set(catalogue().names)
    assert all(topic.writers and "auditor" in topic.readers for topic in topics)
    assert not [topic for topic in topics if "auditor" in topic.writers]


def test_a_hand_over_has_one_writer_of_its_name() -> None:
    """A source's user writes its own `in.` topic and no other."""
    for topic in topics_of(MUNICIPALITIES):
        if topic.name.startswith("in."):
            assert topic.writers == (topic.name.removeprefix("in."),)
            assert topic.partitions == 1
            assert input_topic(*parse_input_topic(topic.name)) == topic.name


def test_a_domain_reads_its_own_topic_only() -> None:
    """No domain's user, and no sink's, reads what another domain is told; a sink reads acts on its own letters too."""
    for topic in topics_of(MUNICIPALITIES):
        for user in {*DOMAINS, *(f"sink.{name}" for name in DOMAINS)} & set(topic.readers):
            own = {f"domain.{user.removeprefix('sink.')}", *([f"command.{user}"] if "." in user else [])}
            assert topic.name in own
    assert {"juki.131041", "sink.care", "tracker", "auditor"} <= set(users(topics_of(MUNICIPALITIES)))


def test_names() -> None:
    """As the architecture has them; a municipality too many or missing is an error."""
    assert input_topic("juki-cs", "131041") == "in.juki-cs.131041"
    assert input_topic("pension") == "in.pension"
    assert (subject("in.operator"), group("fan-out")) == ("in.operator-value", "mesh.fan-out")
    assert transactional_id("sink.care", 2) == "mesh.sink.care.2"
    with pytest.raises(ValueError, match="only municipal systems"):
        input_topic("pension", "131041")
    with pytest.raises(ValueError, match="only municipal systems"):
        input_topic("juki")
    with pytest.raises(ValueError, match="not a topic of hand-overs"):
        parse_input_topic("notice")
    assert set(DOMAINS) < set(SYSTEMS)


@pytest.mark.parametrize("code", ["131041", "141097", "012033", "131130", "473812", "011002"])
def test_municipalities(code: str) -> None:
    """Cities, towns and wards of designated cities; abroad is a place, and no municipality."""
    assert municipalities.is_municipality(code)
    assert municipalities.is_place(code)
    assert municipalities.is_place("999999")
    assert not municipalities.is_municipality("999999")


@given(five=st.integers(1101, 47999).map("{:05}".format).filter(lambda five: five[2:] != "000"))
def test_one_check_digit_is_right(five: str) -> None:
    """Of ten, exactly one."""
    right = [digit for digit in "0123456789" if municipalities.is_municipality(five + digit)]
    assert right == [municipalities.check_digit(five)]


@pytest.mark.parametrize("code", ["", "13104", "1310411", "13104１", "130001", "481041", "131042", "000000"])
def test_what_is_no_municipality(code: str) -> None:
    """Wrong length, full-width digits, a prefecture's own code, an unknown prefecture, a wrong check digit."""
    assert not municipalities.is_municipality(code)
