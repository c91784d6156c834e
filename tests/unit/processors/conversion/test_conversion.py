"""The columns that conversion publishes to each domain, their disclosures, and the receipts that come back."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from processors.codes import MESH, household_codes, person_codes
from processors.conversion import ConversionProcessor
from schemas.systems import DOMAINS
from streams.contract import Result
from tests.unit.processors.protection_tables import protection_tables
from tests.unit.processors.submissions import Row, batch, key_ring, records_of

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


def change(**overrides: Any) -> Row:
    """Return a change of a person's row with more facts than any domain may receive."""
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
        **overrides,
    }


def convert(domain: str, *changes: Row) -> Result:
    return CONVERSION.process([batch("domain-change", f"change.{domain}", changes)], protection_tables())


def published(domain: str, **overrides: Any) -> Row:
    """Return the one record published to a domain."""
    (record,) = records_of(convert(domain, change(**overrides)), f"domain.{domain}")
    return record


def disclosed(domain: str, **overrides: Any) -> Row:
    """Return the one disclosure record of a domain."""
    (record,) = records_of(convert(domain, change(**overrides)), f"disclosure.{domain}")
    return record


DOMAINS_WITH_ROWS = [domain for domain in DOMAINS.values() if domain.columns]


@pytest.mark.parametrize("domain", DOMAINS_WITH_ROWS, ids=lambda domain: domain.id)
def test_a_domain_receives_its_columns_and_no_others(domain: Any) -> None:
    """The disclosure has exactly these columns, with the rule's legal basis."""
    record = published(domain.id)
    person = record["person"]
    assert set(person) == {*domain.columns, "status"}
    assert None not in person.values()
    assert person["roman"] == "HOMMA ICHIRO"
    disclosure = disclosed(domain.id)
    assert disclosure["fields"] == list(domain.columns)
    assert disclosure["legal_basis"] == domain.basis("PERSON", "MOVED_WITHIN")
    assert disclosure["code"] == record["code"]
    assert ("municipality" in record) == domain.municipal


def test_no_code_occurs_in_two_domains() -> None:
    """Codes of person, household and case differ by domain; no mesh code is published."""
    codes_so_far: list[str] = []
    for domain in DOMAINS_WITH_ROWS:
        record = published(domain.id)
        codes = [record["code"], record["case_code"], record["person"].get("household_code")]
        codes_so_far += [code for code in codes if code is not None]
    assert len(set(codes_so_far)) == len(codes_so_far) == 2 * len(DOMAINS_WITH_ROWS) + 3
    assert not {PERSON, HOUSEHOLD} & set(codes_so_far)


def test_a_records_timestamp_is_its_effective_day() -> None:
    """At 00:00 UTC, keyed by the domain's code; days before 1970 all have timestamp 1."""
    old = change(effective_on=date(1951, 4, 1))
    result = convert("nta", change(), old)
    for output in result.outputs:
        assert output.timestamps_ms is not None
        assert output.timestamps_ms.to_pylist() == [1_772_496_000_000, 1]
        assert output.key.equals(pa.array([published("nta")["code"]] * 2))


def test_a_closed_row_has_no_address() -> None:
    """Conversion removes it even if fan-out left it in."""
    assert published("nta", status="closed")["person"]["address"] is None
    assert "address" not in disclosed("nta", status="closed")["fields"]


def test_a_null_fact_stays_null_and_is_not_disclosed() -> None:
    """The disclosure has only the other fields."""
    without = FACTS | {"address": None, "kana": None}
    assert published("card", facts=without)["person"]["roman"] is None
    assert disclosed("card", facts=without)["fields"] == ["name", "birth_date", "sex"]


def test_a_deletion_has_no_person() -> None:
    """Its disclosure has no fields."""
    deletion = {"op": "DELETE", "facts": None, "status": None, "reason": None, "case": None}
    record = published("child", **deletion)
    assert record["person"] is None
    assert record["case_code"] is None
    assert disclosed("child", **deletion)["fields"] == []


def test_only_the_portal_receives_an_accounts_id() -> None:
    """Paying domains receive its other fields, on the legal basis for accounts."""
    account_change = {"entity": "ACCOUNT", "account": ACCOUNT, "facts": None, "reason": None, "case": None}
    assert published("pension", **account_change)["account"] == {
        name: value for name, value in ACCOUNT.items() if name not in ("event", "account")
    } | {"status": "active"}
    assert published("portal", **account_change)["account"]["account"] == "a-1"
    disclosure = disclosed("pension", **account_change)
    assert disclosure["fields"] == ["status", "holder_kana", "bank", "branch", "type", "number"]
    assert disclosure["legal_basis"] == DOMAINS["pension"].account_basis


def test_a_message_is_in_japanese() -> None:
    """Its case has the portal's own code."""
    message = {"case": CASE, "reason": "MOVED_WITHIN", "text": "転居の届出が受理されました。"}
    record = published("portal", entity="MESSAGE", message=message, facts=None, status=None)
    assert record["message"]["reason"] == "転居"
    assert record["message"]["case_code"] == record["case_code"] is not None
    assert record["account"] is None


MESSAGE = {"case": CASE, "reason": "DIED", "text": ""}


@pytest.mark.parametrize(
    ("domain", "overrides", "reason"),
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
def test_a_change_without_rule_or_code_is_poison(domain: str, overrides: dict[str, Any], reason: str) -> None:
    """The records around it are converted."""
    valid = {"entity": "ACCOUNT", "account": ACCOUNT} if domain == "portal" else {}
    result = convert(domain, change(**valid), change(**overrides), change(**valid))
    assert [(poison.index, poison.reason) for poison in result.poison] == [(1, reason)]
    assert len(records_of(result, f"domain.{domain}")) == len(records_of(result, f"disclosure.{domain}")) == 2


def receipt(record: Row, **overrides: Any) -> Row:
    """Return a sink's receipt for a record that it applied."""
    fields = {name: record[name] for name in ("code", "case_code", "entity", "revision", "effective_on")}
    return {"id": "1", **fields, "applied_at": datetime(2026, 3, 5, tzinfo=UTC), **overrides}


def test_a_receipt_is_converted_into_mesh_codes() -> None:
    """Its key is the case, or the person if there is none."""
    records = [receipt(published("care")), receipt(published("care", case=None))]
    result = CONVERSION.process([batch("receipt-domain", "receipt.care", records)], {})
    (output,) = result.outputs
    assert output.key.to_pylist() == ["131041/13104-900011", PERSON]
    assert [(row["person"], row["case"]) for row in output.table.to_pylist()] == [
        (PERSON, CASE),
        (PERSON, None),
    ]
    assert {row["domain"] for row in output.table.to_pylist()} == {"care"}


@pytest.mark.parametrize("overrides", [{"code": "x"}, {"case_code": "x"}, {"code": published("nta")["code"]}])
def test_a_receipt_with_a_foreign_code_is_poison(overrides: dict[str, Any]) -> None:
    """The code is forged, or another domain's."""
    records = [receipt(published("care"), **overrides), receipt(published("care"))]
    result = CONVERSION.process([batch("receipt-domain", "receipt.care", records)], {})
    assert [(poison.index, poison.reason) for poison in result.poison] == [(0, "unknown-code")]
    assert len(records_of(result, "receipt")) == 1


def test_a_record_in_a_wrong_topic_is_poison() -> None:
    """The other records of a batch with several topics are published to the topics of their domains."""
    stray = batch("domain-change", "receipt.care", [change()])
    valid = [batch("domain-change", f"change.{domain}", [change()]) for domain in ("care", "nta")]
    mixed = type(stray)(
        "domain-change",
        pa.concat_tables([part.table for part in (*valid, stray)]),
        pa.concat_tables([part.meta for part in (*valid, stray)]),
    )
    result = CONVERSION.process([mixed], protection_tables())
    assert [(poison.index, poison.reason) for poison in result.poison] == [(2, "wrong-topic")]
    assert {output.topic for output in result.outputs} == {
        "domain.care",
        "disclosure.care",
        "domain.nta",
        "disclosure.nta",
    }
