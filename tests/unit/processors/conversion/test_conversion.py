"""What each domain is told by conversion, what is recorded of it, and what comes back."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from processors.codes import MESH, household_codes, person_codes
from processors.conversion import ConversionProcessor
from schemas.systems import DOMAINS
from streams.contract import Result
from tests.unit.processors.submissions import Row, batch, key_ring, rows_of

KEYS = key_ring()
CONVERSION = ConversionProcessor(KEYS)
MESH_CIPHER = KEYS.cipher(MESH)
PERSON = person_codes(MESH_CIPHER, pa.array(["42990000011"]))[0].as_py()
HOUSEHOLD = household_codes(MESH_CIPHER, pa.array(["131041"]), pa.array(["131049000001"]))[0].as_py()
CASE = {"municipality": "131041", "notice": "13104-900011"}
FACTS = {
    "name": "本間　一郎",
    "kana": "ホンマ　イチロウ",
    "birth_date": date(1980, 5, 5),
    "sex": "男",
    "relationship": "世帯主",
    "household": HOUSEHOLD,
    "address": "東京都新宿区四谷1丁目1番1号",
    "protected": True,
}
ACCOUNT = {
    "event": "REGISTERED",
    "account": "a-1",
    "holder_kana": "ホンマ　イチロウ",
    "bank": "0001",
    "branch": "001",
    "type": "普通",
    "number": "1234567",
}


def change(**spoiled: Any) -> Row:
    """A change of a person's row with more facts than any domain may have."""
    return {
        "person": PERSON,
        "entity": "PERSON",
        "op": "UPSERT",
        "revision": 3,
        "municipality": "131041",
        "effective_on": date(2026, 3, 3),
        "case": CASE,
        "reason": "MOVED_WITHIN",
        "status": "active",
        "facts": FACTS,
        "received_at": datetime(2026, 3, 4, tzinfo=UTC),
        **spoiled,
    }


def convert(domain: str, *changes: Row) -> Result:
    return CONVERSION.process([batch("domain-change", f"change.{domain}", changes)])


def told(domain: str, **spoiled: Any) -> Row:
    """The one record that a domain is told."""
    (only,) = rows_of(convert(domain, change(**spoiled)), f"domain.{domain}")
    return only


def disclosed(domain: str, **spoiled: Any) -> Row:
    """The one record of a disclosure."""
    (only,) = rows_of(convert(domain, change(**spoiled)), f"disclosure.{domain}")
    return only


HOLDING = [domain for domain in DOMAINS.values() if domain.columns]


@pytest.mark.parametrize("domain", HOLDING, ids=lambda domain: domain.id)
def test_a_domain_is_told_its_columns_and_no_more(domain: Any) -> None:
    """Whatever facts came along; the disclosure names just these, on the rule's legal basis."""
    record = told(domain.id)
    person = record["person"]
    assert set(person) == {*domain.columns, "status"}
    assert None not in person.values()
    assert person["roman"] == "HOMMA ICHIRO"
    disclosure = disclosed(domain.id)
    assert disclosure["fields"] == list(domain.columns)
    assert disclosure["legal_basis"] == domain.basis("PERSON", "MOVED_WITHIN")
    assert disclosure["code"] == record["code"]
    assert ("municipality" in record) == domain.municipal


def test_no_value_of_one_domain_is_the_same_in_another_but_facts() -> None:
    """Codes of person, household and case; and no mesh code goes out."""
    seen: list[str] = []
    for domain in HOLDING:
        record = told(domain.id)
        codes = [record["code"], record["case_code"], record["person"].get("household_code")]
        seen += [code for code in codes if code is not None]
    assert len(set(seen)) == len(seen) == 2 * len(HOLDING) + 3
    assert not {PERSON, HOUSEHOLD} & set(seen)


def test_kafka_sees_the_day_of_effect_alone() -> None:
    """At 00:00 UTC, keyed by the domain's code; days that Kafka has no time for all look the same."""
    old = change(effective_on=date(1951, 4, 1))
    result = convert("nta", change(), old)
    for output in result.outputs:
        assert output.timestamps_ms is not None
        assert output.timestamps_ms.to_pylist() == [1_772_496_000_000, 1]
        assert output.key.equals(pa.array([told("nta")["code"]] * 2))


def test_a_closed_row_has_no_address() -> None:
    """Whatever fan-out left in."""
    assert told("nta", status="closed")["person"]["address"] is None
    assert "address" not in disclosed("nta", status="closed")["fields"]


def test_what_is_withheld_stays_so_and_is_not_disclosed() -> None:
    """A null fact is a null column."""
    without = FACTS | {"address": None, "kana": None}
    assert told("card", facts=without)["person"]["roman"] is None
    assert disclosed("card", facts=without)["fields"] == ["name", "birth_date", "sex"]


def test_a_row_that_is_gone_says_nothing_more() -> None:
    """A deletion has no person, and its disclosure no fields."""
    gone = {"op": "DELETE", "facts": None, "status": None, "reason": None, "case": None}
    record = told("child", **gone)
    assert record["person"] is None
    assert record["case_code"] is None
    assert disclosed("child", **gone)["fields"] == []


def test_paying_domains_are_told_the_account_but_not_the_ledgers_id() -> None:
    """The portal, whose ledger it is, has the id; the legal basis is the account's."""
    given = {"entity": "ACCOUNT", "account": ACCOUNT, "facts": None, "reason": None, "case": None}
    assert told("pension", **given)["account"] == {
        name: value for name, value in ACCOUNT.items() if name not in ("event", "account")
    } | {"status": "active"}
    assert told("portal", **given)["account"]["account"] == "a-1"
    disclosure = disclosed("pension", **given)
    assert disclosure["fields"] == ["status", "holder_kana", "bank", "branch", "type", "number"]
    assert disclosure["legal_basis"] == DOMAINS["pension"].account_basis


def test_the_resident_gets_the_message_in_japanese() -> None:
    """Its case in the portal's own code."""
    message = {"case": CASE, "reason": "MOVED_WITHIN", "text": "転居の届出が受理されました。"}
    record = told("portal", entity="MESSAGE", message=message, facts=None, status=None)
    assert record["message"]["reason"] == "転居"
    assert record["message"]["case_code"] == record["case_code"] is not None
    assert record["account"] is None


MESSAGE = {"case": CASE, "reason": "DIED", "text": ""}


@pytest.mark.parametrize(
    ("domain", "spoiled", "reason"),
    [
        ("portal", {}, "no-rule"),
        ("nta", {"entity": "ACCOUNT", "account": ACCOUNT}, "no-rule"),
        ("nta", {"entity": "MESSAGE", "message": MESSAGE}, "no-rule"),
        ("portal", {"entity": "MESSAGE", "message": MESSAGE}, "no-rule"),
        ("nta", {"entity": "UNKNOWN"}, "no-rule"),
        ("nta", {"op": "UNKNOWN"}, "no-rule"),
        ("nta", {"person": "42990000011"}, "bad-code"),
        ("child", {"facts": FACTS | {"household": "131049000001"}}, "bad-code"),
        ("nta", {"facts": FACTS | {"kana": "ほんま"}}, "reading"),
        ("nta", {"status": None}, "no-status"),
    ],
)
def test_what_has_no_rule_reaches_nobody(domain: str, spoiled: dict[str, Any], reason: str) -> None:
    """It goes to the dead letters; what stands around it is converted."""
    good = {"entity": "ACCOUNT", "account": ACCOUNT} if domain == "portal" else {}
    result = convert(domain, change(**good), change(**spoiled), change(**good))
    assert [(each.index, each.reason) for each in result.poison] == [(1, reason)]
    assert len(rows_of(result, f"domain.{domain}")) == len(rows_of(result, f"disclosure.{domain}")) == 2


def receipt(record: Row, **spoiled: Any) -> Row:
    """What a sink says of a record that it applied."""
    named = {name: record[name] for name in ("code", "case_code", "entity", "revision", "effective_on")}
    return {"id": "1", **named, "applied_at": datetime(2026, 3, 5, tzinfo=UTC), **spoiled}


def test_a_receipt_comes_back_in_the_meshs_codes() -> None:
    """Keyed by its case, or by the person where there is none."""
    records = [receipt(told("care")), receipt(told("care", case=None))]
    result = CONVERSION.process([batch("receipt-domain", "receipt.care", records)])
    (output,) = result.outputs
    assert output.key.to_pylist() == ["131041/13104-900011", PERSON]
    assert [(each["person"], each["case"]) for each in output.table.to_pylist()] == [
        (PERSON, CASE),
        (PERSON, None),
    ]
    assert {each["domain"] for each in output.table.to_pylist()} == {"care"}


@pytest.mark.parametrize("spoiled", [{"code": "x"}, {"case_code": "x"}, {"code": told("nta")["code"]}])
def test_a_receipt_with_a_code_that_is_not_the_domains_own_is_refused(spoiled: dict[str, Any]) -> None:
    """A forged one, or another domain's."""
    records = [receipt(told("care"), **spoiled), receipt(told("care"))]
    result = CONVERSION.process([batch("receipt-domain", "receipt.care", records)])
    assert [(each.index, each.reason) for each in result.poison] == [(0, "unknown-code")]
    assert len(rows_of(result, "receipt")) == 1


def test_a_record_in_anothers_topic_is_poison() -> None:
    """Also where one batch holds several topics, which come out each for itself."""
    stray = batch("domain-change", "receipt.care", [change()])
    both = [batch("domain-change", f"change.{domain}", [change()]) for domain in ("care", "nta")]
    mixed = type(stray)(
        "domain-change",
        pa.concat_tables([each.table for each in (*both, stray)]),
        pa.concat_tables([each.meta for each in (*both, stray)]),
    )
    result = CONVERSION.process([mixed])
    assert [(each.index, each.reason) for each in result.poison] == [(2, "wrong-topic")]
    assert {output.topic for output in result.outputs} == {
        "domain.care",
        "disclosure.care",
        "domain.nta",
        "disclosure.nta",
    }
