"""The systems' declarations agree with the table of rules, and names with the architecture."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import municipalities
from schemas.catalogue import catalogue
from schemas.reasons import BY_JAPANESE, FIELDS_BY_REASON, JAPANESE, Reason
from schemas.submission_schemas import GENERATED_SCHEMAS, OPERATOR_COMMAND, RESUBMISSION_FIELDS
from schemas.systems import CLOCK, DIGEST_PURPOSES, DOMAINS, OPERATOR, SYSTEMS, publishers
from schemas.systems.model import SEALED_RECORD, Action
from schemas.topics import (
    KEY_FINGERPRINT,
    group,
    input_topic,
    parse_input_topic,
    subject,
    topics_of,
    transactional_id,
    users,
)

pytestmark = pytest.mark.unit
MUNICIPALITIES = ["131041", "141097"]

#: Reason, then the action in local-tax, child, care, and the national domains (pension, nta, card). O open,
#: c candidate, o candidate if open at the origin, U update, C close. U of 初期登録, 国外転入 and 出生 is for a person
#: who is registered a second time: an open row follows the register, and nothing opens a row.
TABLE = """
初期登録 O U U -
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
国外転入 O U U U
出生 O c U -
死亡 C C C C
支援措置開始 U U U U
支援措置終了 U U U U
取消 - - - -
"""
LETTERS = {
    "O": Action.OPEN,
    "o": Action.OPEN_CANDIDATE_IF_OPEN_AT_ORIGIN,
    "c": Action.OPEN_CANDIDATE,
    "U": Action.UPDATE,
    "C": Action.CLOSE,
    "-": Action.NONE,
}


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_rules_agree_with_the_table(line: str) -> None:
    """The declared action of each domain and reason is that of the table."""
    term, local_tax, child, care, national = line.split()
    expected = {"local-tax": local_tax, "child": child, "care": care} | dict.fromkeys(
        ("pension", "nta", "card"), national
    )
    declared = {name: DOMAINS[name].rule(BY_JAPANESE[term]).action for name in expected}
    assert declared == {name: LETTERS[letter] for name, letter in expected.items()}


def test_the_table_has_every_reason() -> None:
    """The table and the schemas have every reason."""
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
def test_an_update_writes_only_columns_that_the_reason_changes(
    domain: str, reason: Reason, fields: set[str]
) -> None:
    """An update writes the columns that the reason changes and the domain may have."""
    assert set(DOMAINS[domain].rule(reason).fields) == fields


def test_a_move_abroad_sets_the_address_in_national_domains() -> None:
    """The rule of a move abroad sets the address to 国外, in national domains with persons only."""
    for domain in DOMAINS.values():
        sets = domain.rule(Reason.MOVED_ABROAD).sets
        assert dict(sets) == ({"address": "国外"} if domain.has_persons and not domain.municipal else {})


@pytest.mark.parametrize("name", DOMAINS)
def test_every_rule_has_a_legal_basis(name: str) -> None:
    """A domain receives nothing without an act that allows it."""
    domain = DOMAINS[name]
    effective = [rule for rule in domain.rules.values() if rule.action is not Action.NONE]
    assert all("法" in rule.legal_basis for rule in effective)
    assert all("法" in domain.basis("PERSON", reason) for reason in [*Reason, None])
    assert ("法" in domain.basis("ACCOUNT", None)) is domain.has_accounts
    assert domain.has_accounts is (domain.paying or name == "portal")


@pytest.mark.parametrize("name", DOMAINS)
def test_events_have_the_declared_columns_and_no_others(name: str) -> None:
    """The schema of a domain's topic has the declared personal columns, the status, and nothing more."""
    fields = {field.name: field.type for field in catalogue().schema(DOMAINS[name].event).type.fields}
    person = {field.name for field in fields["person"].fields} if "person" in fields else {"status"}
    assert person == {*DOMAINS[name].columns, "status"}
    assert ("municipality" in fields) is DOMAINS[name].municipal
    assert ("person" in fields) is DOMAINS[name].has_persons
    assert ("account" in fields) is DOMAINS[name].has_accounts
    assert ("message" in fields) is DOMAINS[name].has_messages


def test_the_portal_sends_messages_for_all_reasons_but_deaths_and_protection() -> None:
    """Every reason but a death and protection measures has a message."""
    silent = {Reason.DIED, Reason.PROTECTION_BEGUN, Reason.PROTECTION_ENDED}
    assert DOMAINS["portal"].message_on == set(JAPANESE) - silent


def test_topics_are_declared_once_with_an_existing_schema() -> None:
    """Each topic has a schema of the catalogue and a writer; the auditor reads all topics and writes none.

    Nobody writes the fingerprints of the keys: `mesh apply` does it as administrator.
    """
    topics = topics_of(MUNICIPALITIES)
    names = [topic.name for topic in topics]
    assert len(names) == len(set(names))
    in_boxes = {domain.event for domain in DOMAINS.values() if domain.is_high}
    assert {topic.schema for topic in topics} | {SEALED_RECORD} | in_boxes == set(catalogue().names)
    assert [topic.name for topic in topics if not topic.writers] == [KEY_FINGERPRINT]
    assert all("auditor" in topic.readers for topic in topics)
    assert not [topic for topic in topics if "auditor" in topic.writers]


def test_an_input_topic_has_one_writer_with_its_name() -> None:
    """Only the user with the topic's name may write an input topic, which has one partition."""
    for topic in topics_of(MUNICIPALITIES):
        if topic.name.startswith("in."):
            assert topic.writers == (topic.name.removeprefix("in."),)
            assert topic.partitions == 1
            assert input_topic(*parse_input_topic(topic.name)) == topic.name


def test_a_domain_reads_no_other_domains_topic() -> None:
    """A domain's user reads its own topic only; its sink also withdrawals, commands and key fingerprints."""
    for topic in topics_of(MUNICIPALITIES):
        for user in {*DOMAINS, *(f"sink.{name}" for name in DOMAINS)} & set(topic.readers):
            domain = user.removeprefix("sink.")
            of_sink = {f"withdrawal.{domain}", f"command.{user}", KEY_FINGERPRINT} if "." in user else set()
            assert topic.name in {f"domain.{domain}", *of_sink}
    assert {"juki.131041", "sink.care", "tracker", "auditor"} <= set(users(topics_of(MUNICIPALITIES)))


def test_only_conversion_reads_who_is_protected() -> None:
    """Fan-out alone writes it; besides conversion only the auditor reads it, who reads every topic."""
    (topic,) = [each for each in topics_of(MUNICIPALITIES) if each.name == "protection"]
    assert (topic.writers, topic.readers, topic.compacted) == (("fan-out",), ("conversion", "auditor"), True)


def test_every_schema_of_submissions_can_be_resubmitted() -> None:
    """The operator command has a field for each schema, found by the name of the record; the generated share one.

    Only a rejected day can't be: each later one stands for it.
    """
    assert dict(RESUBMISSION_FIELDS) == {
        "juki-cs-notice": "juki_cs",
        "juki-notice": "juki",
        "enrolment": "enrolment",
        "portal-event": "portal_event",
    }
    others = {OPERATOR_COMMAND, SYSTEMS[CLOCK].publishes}
    assert {*RESUBMISSION_FIELDS, *GENERATED_SCHEMAS, *others} == set(DIGEST_PURPOSES)
    assert publishers(OPERATOR_COMMAND) == (OPERATOR,)


def test_purposes_of_digests_do_not_change() -> None:
    """Digests recorded earlier must still match, and two schemas never have the same purpose."""
    assert dict(DIGEST_PURPOSES) == {
        "juki-cs-notice": "juki-cs",
        "juki-notice": "juki",
        "enrolment": "enrolment",
        "submission-card": "card",
        "submission-care": "care",
        "submission-jpki": "jpki",
        "submission-local-tax": "local-tax",
        "submission-welfare": "welfare",
        "portal-event": "portal-event",
        "operator-command": "operator-command",
        "day-begun": "day-begun",
    }
    assert len(set(DIGEST_PURPOSES.values())) == len(DIGEST_PURPOSES)


def test_names_of_topics_groups_and_transactions() -> None:
    """Names agree with the architecture; a missing municipality, or one too many, is an error."""
    assert input_topic("juki-cs", "131041") == "in.juki-cs.131041"
    assert input_topic("pension") == "in.pension"
    assert (subject("in.operator"), group("fan-out")) == ("in.operator-value", "mesh.fan-out")
    assert transactional_id("sink.care", 2) == "mesh.sink.care.2"
    with pytest.raises(ValueError, match="input topic has no municipality"):
        input_topic("pension", "131041")
    with pytest.raises(ValueError, match="input topic needs a municipality"):
        input_topic("juki")
    with pytest.raises(ValueError, match="not an input topic"):
        parse_input_topic("notice")
    assert set(DOMAINS) < set(SYSTEMS)


@pytest.mark.parametrize("code", ["131041", "141097", "012033", "131130", "473812", "011002"])
def test_valid_municipality_codes(code: str) -> None:
    """Cities, towns and wards of designated cities have valid codes; abroad is not a municipality."""
    assert municipalities.is_municipality(code)
    assert municipalities.is_municipality_or_abroad(code)
    assert municipalities.is_municipality_or_abroad("999999")
    assert not municipalities.is_municipality("999999")


@given(five=st.integers(1101, 47999).map("{:05}".format).filter(lambda five: five[2:] != "000"))
def test_exactly_one_check_digit_is_valid(five: str) -> None:
    """Of the ten possible check digits, exactly one is valid."""
    valid = [digit for digit in "0123456789" if municipalities.is_municipality(five + digit)]
    assert valid == [municipalities.check_digit(five)]


@pytest.mark.parametrize("code", ["", "13104", "1310411", "13104１", "130001", "481041", "131042", "000000"])
def test_invalid_municipality_codes(code: str) -> None:
    """Wrong length, full-width digits, the code of a prefecture, unknown prefectures, a wrong check digit."""
    assert not municipalities.is_municipality(code)
