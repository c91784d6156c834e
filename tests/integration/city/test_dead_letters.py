"""Dead letters on real servers, handled with the commands of an operator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer

from infra.coding import codec
from infra.triage.records import read_rows
from schemas.tables import table_from_rows
from tests.integration.city.test_agencies import NOTICE, PERSON, TOPIC, connection, exports, publish
from tests.integration.cluster import IntegrationCluster

SECRET = "東京都渋谷区ヒミツ9丁目9番9号"
ONE = {**PERSON, "code": "42990000011"}
OTHER = {**PERSON, "code": "42990000022", "household": "131139000002", "local_number": "1311390000002"}


def notice(number: int, reason: str, *persons: dict[str, Any]) -> dict[str, Any]:
    """Return a notice of the municipality for day `number` of February."""
    day = f"2026-02-{number:02}"
    head = {"notice": f"13113-9900001{number:02}", "effective_on": day, "recorded_on": day}
    return {**NOTICE, **head, "reason": reason, "persons": list(persons)}


def run(cluster: IntegrationCluster, *arguments: object, code: int = 0) -> str:
    """Run a command that must end with exit code `code`; return its output, for an error that of stderr."""
    process = cluster.mesh(*arguments)
    assert process.returncode == code, process.stderr
    return process.stderr if code else process.stdout


def dlq_list(cluster: IntegrationCluster) -> list[dict[str, Any]]:
    """Return the rows of `mesh dlq list --json`."""
    return [json.loads(line) for line in run(cluster, "dlq", "list", "--json").splitlines()]


def rows(cluster: IntegrationCluster) -> dict[str, tuple[str, str]]:
    """Return name and address in the tax office's store, by date of birth."""
    persons = cluster.table("local_tax", "person")
    return {str(row["birth_date"]): (row["name"], row["address"]) for row in persons}


def execute(cluster: IntegrationCluster, statement: str) -> None:
    """Execute an SQL statement as the database's administrator."""
    with psycopg.connect(cluster.environment.dsn("postgres"), autocommit=True) as database:
        database.execute(statement.encode())


def wait_idle(cluster: IntegrationCluster) -> None:
    """Wait until every submission is applied, except blocked records."""
    run(cluster, "wait", "--idle", "--timeout", 120)


def test_a_row_rejected_by_the_store_blocks_only_its_person(cluster: IntegrationCluster) -> None:
    """Rows of other persons are applied; after a retry the blocked rows follow in order."""
    cluster.start_empty()
    register = exports(cluster, "juki.131130")
    one, other = ONE | {"birth_date": "1980-01-01"}, OTHER | {"birth_date": "1990-01-01"}
    publish(register, notice(1, "初期登録", one))
    publish(register, notice(2, "初期登録", other))
    wait_idle(cluster)
    execute(cluster, f"ALTER TABLE local_tax.person ADD CONSTRAINT no_secret CHECK (address <> '{SECRET}')")
    publish(register, notice(3, "転居", {"code": one["code"], "address": SECRET}))
    publish(
        register, notice(4, "氏名変更", {"code": one["code"], "name": "新名　一", "kana": "シンメイ　ハジメ"})
    )
    publish(register, notice(5, "転居", {"code": other["code"], "address": "東京都渋谷区二丁目"}))
    wait_idle(cluster)
    assert rows(cluster) == {
        "1980-01-01": (one["name"], one["address"]),
        "1990-01-01": (other["name"], "東京都渋谷区二丁目"),
    }
    (dead_letter,) = dlq_list(cluster)
    assert (dead_letter["step"], dead_letter["status"], dead_letter["blocked"]) == (
        "sink.local-tax",
        "OPEN",
        1,
    )
    assert dead_letter["reason"] == "23514 no_secret"
    assert SECRET not in run(cluster, "dlq", "list")
    assert json.loads(run(cluster, "status", "--json"))["dlq"] == {
        "sink.local-tax": {"dead_letters": 1, "blocked": 1}
    }
    shown = json.loads(run(cluster, "dlq", "show", dead_letter["id"]))
    assert shown["value"]["person"]["address"] == SECRET
    assert "retried" in run(cluster, "dlq", "retry", dead_letter["id"])
    wait_idle(cluster)
    assert [row["status"] for row in dlq_list(cluster)] == ["OPEN"], "the store rejects the row again"
    execute(cluster, "ALTER TABLE local_tax.person DROP CONSTRAINT no_secret")
    run(cluster, "dlq", "retry", dead_letter["id"])
    wait_idle(cluster)
    assert rows(cluster)["1980-01-01"] == ("新名　一", SECRET)
    assert [(row["status"], row["blocked"]) for row in dlq_list(cluster)] == [("RETRIED", 0)]
    assert "is not open" in run(cluster, "dlq", "retry", dead_letter["id"], code=2)
    assert json.loads(run(cluster, "status", "--json"))["dlq"] == {}


@pytest.mark.proof
def test_a_poisoned_change_blocks_only_its_person_in_one_domain(
    cluster: IntegrationCluster, tmp_path: Path
) -> None:
    """An operator dismisses the poisoned change, and repairs or dismisses undecodable submissions.

    A replay derives the same rows from the input topics, operator commands included.
    """
    cluster.start_empty()
    register = exports(cluster, "juki.131130")
    one, other = ONE | {"birth_date": "1980-01-01"}, OTHER | {"birth_date": "1990-01-01"}
    publish(register, notice(1, "初期登録", one))
    wait_idle(cluster)
    publish_poison(cluster, "change.local-tax", person_of(cluster))
    producer = Producer(connection(register))
    producer.produce(TOPIC, b"no notice at all")
    producer.produce(TOPIC, b"no notice either")
    assert producer.flush(30) == 0
    publish(
        register, notice(3, "氏名変更", {"code": one["code"], "name": "新名　一", "kana": "シンメイ　ハジメ"})
    )
    wait_idle(cluster)
    assert rows(cluster)["1980-01-01"][0] == one["name"]
    by_step: dict[str, list[dict[str, Any]]] = {}
    for dead_letter in dlq_list(cluster):
        by_step.setdefault(dead_letter["step"], []).append(dead_letter)
    (poison,), undecodable = by_step["conversion"], by_step["intake"]
    assert (poison["reason"], poison["blocked"]) == ("no-status", 1)
    assert [row["blocked"] for row in undecodable] == [0, 0]
    value = tmp_path / "value.json"
    value.write_text(json.dumps(notice(2, "初期登録", other), ensure_ascii=False))
    run(cluster, "dlq", "repair", undecodable[0]["id"], "--value", value)
    run(cluster, "dlq", "dismiss", undecodable[1]["id"], "--reason", "a test of the line")
    run(cluster, "dlq", "dismiss", poison["id"], "--reason", "made by hand")
    wait_idle(cluster)
    repaired = rows(cluster)
    assert {day: name for day, (name, _) in repaired.items()} == {
        "1980-01-01": "新名　一",
        "1990-01-01": other["name"],
    }
    assert sorted(row["status"] for row in dlq_list(cluster)) == ["DISMISSED", "DISMISSED", "REPAIRED"]
    value.write_text('{"notice": 1}')
    assert "not open" in run(cluster, "dlq", "dismiss", poison["id"], "--reason", "again", code=2)
    run(cluster, "replay", "--yes")
    assert rows(cluster) == repaired
    after_replay = {row["id"]: row["status"] for row in dlq_list(cluster)}
    assert after_replay == {undecodable[0]["id"]: "REPAIRED", undecodable[1]["id"]: "DISMISSED"}


def person_of(cluster: IntegrationCluster) -> str:
    """Return the mesh code of the only person."""
    avro = codec(cluster.environment, cluster.installation)
    (code,) = {
        row["person"] for row in read_rows(cluster.environment, avro, "person-change", ["person.change"])
    }
    return str(code)


def publish_poison(cluster: IntegrationCluster, topic: str, person: str) -> None:
    """Publish a change that conversion can't convert: it sets a row but has no row status."""
    avro = codec(cluster.environment, cluster.installation)
    change = {"person": person, "entity": "PERSON", "op": "UPSERT", "revision": 2, "municipality": "131130"}
    change |= {"effective_on": 20_500, "received_at": 0}
    table = table_from_rows("domain-change", [change | {"reason": "MOVED_WITHIN"}])
    producer = Producer({**cluster.environment.kafka("admin"), "partitioner": "murmur2_random"})
    producer.produce(topic, avro.encode("domain-change", table).to_pylist()[0], person)
    assert producer.flush(30) == 0
