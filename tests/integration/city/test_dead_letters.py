"""What becomes of a record that can't be processed, by the commands that an officer types, on real servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer

from infra.codec import codec
from infra.triage.records import rows as read
from schemas.tables import table_from_rows
from tests.integration.city.test_agencies import NOTICE, PERSON, TOPIC, connection, exports, publish
from tests.integration.cluster import IntegrationCluster

SECRET = "東京都渋谷区ヒミツ9丁目9番9号"
ONE = {**PERSON, "code": "42990000011"}
OTHER = {**PERSON, "code": "42990000022", "household": "131139000002", "local_number": "1311390000002"}


def notice(number: int, reason: str, *persons: dict[str, Any]) -> dict[str, Any]:
    """A notice of the municipality, a day later than the one before it."""
    day = f"2026-02-{number:02}"
    head = {"notice": f"13113-9900001{number:02}", "effective_on": day, "recorded_on": day}
    return {**NOTICE, **head, "reason": reason, "persons": list(persons)}


def said(place: IntegrationCluster, *words: object, code: int = 0) -> str:
    """What a command printed, and that it ended so."""
    ended = place.mesh(*words)
    assert ended.returncode == code, ended.stderr
    return ended.stderr if code else ended.stdout


def letters(place: IntegrationCluster) -> list[dict[str, Any]]:
    """What `mesh dlq list --json` prints."""
    return [json.loads(line) for line in said(place, "dlq", "list", "--json").splitlines()]


def rows(place: IntegrationCluster) -> dict[str, tuple[str, str]]:
    """Name and address in the tax office's store, by date of birth."""
    held = place.table("local_tax", "person")
    return {str(row["birth_date"]): (row["name"], row["address"]) for row in held}


def execute(place: IntegrationCluster, statement: str) -> None:
    """As the database's administrator."""
    with psycopg.connect(place.environment.dsn("postgres"), autocommit=True) as connection_:
        connection_.execute(statement.encode())


def settled(place: IntegrationCluster) -> None:
    """All is applied as far as it can be."""
    said(place, "wait", "--idle", "--timeout", 120)


def test_a_row_that_the_store_refuses(place: IntegrationCluster) -> None:
    """It is set aside, later ones of its person wait, everybody else's go on; retried, all follow in order."""
    place.begin_anew()
    register = exports(place, "juki.131130")
    one, other = ONE | {"birth_date": "1980-01-01"}, OTHER | {"birth_date": "1990-01-01"}
    publish(register, notice(1, "初期登録", one))
    publish(register, notice(2, "初期登録", other))
    settled(place)
    execute(place, f"ALTER TABLE local_tax.person ADD CONSTRAINT no_secret CHECK (address <> '{SECRET}')")
    publish(register, notice(3, "転居", {"code": one["code"], "address": SECRET}))
    publish(
        register, notice(4, "氏名変更", {"code": one["code"], "name": "新名　一", "kana": "シンメイ　ハジメ"})
    )
    publish(register, notice(5, "転居", {"code": other["code"], "address": "東京都渋谷区二丁目"}))
    settled(place)
    assert rows(place) == {
        "1980-01-01": (one["name"], one["address"]),
        "1990-01-01": (other["name"], "東京都渋谷区二丁目"),
    }
    (letter,) = letters(place)
    assert (letter["step"], letter["status"], letter["blocked"]) == ("sink.local-tax", "OPEN", 1)
    assert letter["reason"] == "23514 no_secret"
    assert SECRET not in said(place, "dlq", "list")
    assert json.loads(said(place, "status", "--json"))["aside"] == {
        "sink.local-tax": {"dead_letters": 1, "blocked": 1}
    }
    shown = json.loads(said(place, "dlq", "show", letter["id"]))
    assert shown["value"]["person"]["address"] == SECRET
    assert "retried" in said(place, "dlq", "retry", letter["id"])
    settled(place)
    assert [each["status"] for each in letters(place)] == ["OPEN"], "the store refuses it still"
    execute(place, "ALTER TABLE local_tax.person DROP CONSTRAINT no_secret")
    said(place, "dlq", "retry", letter["id"])
    settled(place)
    assert rows(place)["1980-01-01"] == ("新名　一", SECRET)
    assert [(each["status"], each["blocked"]) for each in letters(place)] == [("RETRIED", 0)]
    assert "is not open" in said(place, "dlq", "retry", letter["id"], code=2)
    assert json.loads(said(place, "status", "--json"))["aside"] == {}


@pytest.mark.proof
def test_a_change_that_a_step_can_not_process(place: IntegrationCluster, tmp_path: Path) -> None:
    """Poison in a domain's changes holds back that person there alone; what nobody can read is repaired or dismissed.

    A replay derives all of it again from what was handed over, acts included.
    """
    place.begin_anew()
    register = exports(place, "juki.131130")
    one, other = ONE | {"birth_date": "1980-01-01"}, OTHER | {"birth_date": "1990-01-01"}
    publish(register, notice(1, "初期登録", one))
    settled(place)
    spoil(place, "change.local-tax", person_of(place))
    raw = Producer(connection(register))
    raw.produce(TOPIC, b"no notice at all")
    raw.produce(TOPIC, b"nor this")
    assert raw.flush(30) == 0
    publish(
        register, notice(3, "氏名変更", {"code": one["code"], "name": "新名　一", "kana": "シンメイ　ハジメ"})
    )
    settled(place)
    assert rows(place)["1980-01-01"][0] == one["name"]
    by_step: dict[str, list[dict[str, Any]]] = {}
    for letter in letters(place):
        by_step.setdefault(letter["step"], []).append(letter)
    (poison,), garbage = by_step["conversion"], by_step["intake"]
    assert (poison["reason"], poison["blocked"]) == ("no-status", 1)
    assert [each["blocked"] for each in garbage] == [0, 0]
    value = tmp_path / "value.json"
    value.write_text(json.dumps(notice(2, "初期登録", other), ensure_ascii=False))
    said(place, "dlq", "repair", garbage[0]["id"], "--value", value)
    said(place, "dlq", "dismiss", garbage[1]["id"], "--reason", "a test of the line")
    said(place, "dlq", "dismiss", poison["id"], "--reason", "made by hand")
    settled(place)
    found = rows(place)
    assert {day: name for day, (name, _) in found.items()} == {
        "1980-01-01": "新名　一",
        "1990-01-01": other["name"],
    }
    assert sorted(each["status"] for each in letters(place)) == ["DISMISSED", "DISMISSED", "REPAIRED"]
    value.write_text('{"notice": 1}')
    assert "not open" in said(place, "dlq", "dismiss", poison["id"], "--reason", "again", code=2)
    said(place, "replay", "--yes")
    assert rows(place) == found
    again = {each["id"]: each["status"] for each in letters(place)}
    assert again == {garbage[0]["id"]: "REPAIRED", garbage[1]["id"]: "DISMISSED"}


def person_of(place: IntegrationCluster) -> str:
    """The mesh code of the only person."""
    made = codec(place.environment, place.installation)
    (code,) = {row["person"] for row in read(place.environment, made, "person-change", ["person.change"])}
    return str(code)


def spoil(place: IntegrationCluster, topic: str, person: str) -> None:
    """A change of a person that conversion can't convert: a row is set, but nothing says how it stands."""
    made = codec(place.environment, place.installation)
    change = {"person": person, "entity": "PERSON", "op": "UPSERT", "revision": 2, "municipality": "131130"}
    change |= {"effective_on": 20_500, "received_at": 0}
    table = table_from_rows("domain-change", [change | {"reason": "MOVED_WITHIN"}])
    producer = Producer({**place.environment.kafka("admin"), "partitioner": "murmur2_random"})
    producer.produce(topic, made.encode("domain-change", table).to_pylist()[0], person)
    assert producer.flush(30) == 0
