"""The files of `mesh client`, by librdkafka: a municipality submits, a domain reads, and neither does more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer

from tests.integration.city.test_agencies import NOTICE, PERSON
from tests.integration.cluster import COMMAND_TIMEOUT_S, IntegrationCluster

TIMEOUT_S = 20.0
SUBMITTER, DOMAIN = "juki.131130", "local-tax"
TOPIC = f"domain.{DOMAIN}"


def test_files_of_a_client_do_what_their_user_may_and_no_more(
    cluster: IntegrationCluster, tmp_path: Path
) -> None:
    """The submitted notice arrives in the domain's topic, where nobody sees a record of an aborted transaction."""
    cluster.start_empty()
    register, office = tmp_path / "register", tmp_path / "office"
    write_files(cluster, "python", SUBMITTER, register)
    write_files(cluster, "python", DOMAIN, office)
    write_files(cluster, "kcat", DOMAIN, tmp_path / "kcat")

    assert submit(register, NOTICE).stdout.split() == [f"in.{SUBMITTER}/0/0"]
    cluster.wait_idle()
    abort_a_record(cluster)

    (record,) = read(office)
    assert (record["topic"], record["key"]) == (TOPIC, record["value"]["code"])
    assert {name: record["value"]["person"][name] for name in ("name", "kana", "address")} == {
        name: PERSON[name] for name in ("name", "kana", "address")
    }
    assert read(office) == [], "the group has committed its offset"
    settings = kcat_settings(tmp_path / "kcat" / "read.conf")
    assert first_value(settings, TOPIC)[:1] == b"\0"

    denied = run(office, "read_records", "domain.care", "--end")
    assert (denied.returncode, denied.stdout) == (1, "")
    assert "TOPIC_AUTHORIZATION_FAILED" in denied.stderr
    assert (
        first_value(settings | {"group.id": f"connect-{DOMAIN}-file"}, TOPIC) == b"GROUP_AUTHORIZATION_FAILED"
    )
    client = json.loads((register / "client.json").read_text())
    (register / "client.json").write_text(json.dumps(client | {"submit": "in.juki.131041"}))
    rejected = submit(register, NOTICE)
    assert (rejected.returncode, rejected.stdout) == (1, "")
    assert "TOPIC_AUTHORIZATION_FAILED" in rejected.stderr


def write_files(cluster: IntegrationCluster, kind: str, user: str, folder: Path) -> None:
    """Run `mesh client`."""
    process = cluster.mesh("client", kind, "--user", user, folder)
    assert process.returncode == 0, process.stderr


def run(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program that the command has written."""
    command = [sys.executable, str(folder / f"{program}.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False)


def submit(folder: Path, notice: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Submit one notice with the program in the folder."""
    file = folder / "notices.jsonl"
    file.write_text(json.dumps(notice) + "\n")
    return run(folder, "submit_records", str(file))


def read(folder: Path) -> list[dict[str, Any]]:
    """Return what the program in the folder reads up to the end of its user's topic."""
    process = run(folder, "read_records", "--end")
    assert process.returncode == 0, process.stderr
    return [json.loads(line) for line in process.stdout.splitlines()]


def abort_a_record(cluster: IntegrationCluster) -> None:
    """Write a record that can't be decoded to the domain's topic, in a transaction that is aborted."""
    properties = {**cluster.environment.kafka("conversion"), "transactional.id": "mesh.conversion.aborted"}
    producer = Producer(properties)
    producer.init_transactions(TIMEOUT_S)
    producer.begin_transaction()
    producer.produce(TOPIC, b"aborted")
    assert producer.flush(TIMEOUT_S) == 0
    producer.abort_transaction(TIMEOUT_S)


def kcat_settings(file: Path) -> dict[str, str]:
    """Return the settings of a file as kcat reads it."""
    lines = [line for line in file.read_text().split("\n") if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def first_value(settings: dict[str, str], topic: str) -> bytes:
    """Return the value of the first record that a group receives, or the name of the error."""
    consumer = Consumer({**settings, "log_level": 0})
    try:
        consumer.subscribe([topic])
        for message in consumer.consume(1, TIMEOUT_S):
            error = message.error()
            return error.name().encode() if error else message.value() or b""
    finally:
        consumer.close()
    raise AssertionError(f"nothing from {topic} within {TIMEOUT_S} s")
