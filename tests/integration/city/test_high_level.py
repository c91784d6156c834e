"""A system of the high level on real servers: readers with every login but its own, and a broker's administrator.

The system is added to a running mesh by one file, as any other.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from psycopg import sql

from infra.keys import load_keys
from infra.local.kafka_server import ADMIN
from processors.codes import MESH, person_codes
from schemas.systems import DOMAINS
from schemas.topics import AUDITOR, topics_of, users
from streams.kafka_clients import reader_properties
from tests.attacks.installed_copy import ROOT, InstalledCopy
from tests.integration.city.life_events import A, Person, Row, ingest
from tests.integration.city.test_added_system import Library
from tests.integration.cluster import IntegrationCluster, selected
from tests.standard_level import STANDARD_DOMAINS

pytestmark = [pytest.mark.proof, pytest.mark.timeout(600)]

SOURCE = ROOT / "tests" / "high_level" / "package" / "mesh_relief" / "relief.py"
TIMEOUT_S = 30.0
#: Words of the system that no record of others has.
WORDS = (b"relief", b"Relief", b"living-aid", b"housing-aid", b"F-secret")
#: Topics whose records are sealed, and those that its system writes and its clerks read.
SEALED = ("change.relief", "domain.relief", "disclosure.relief", "conflict.relief", "state.fan-out.sealed")
IN_CLEAR = ("rejected.relief",)
#: Topics that have the names of declarations, but nothing of a person.
DECLARED_NAMES_IN_CLEAR = ("key.fingerprint", "state.fan-out.adoption", "registry-events")
#: Logins that may see something of it.
OWN = re.compile(r"(auditor|admin|.*registry.*|intake|fan-out|conversion|sink[._]relief|relief([._].*)?)")


class Relief(Library):
    """An installation with the system, with two holders and four other residents."""

    def __init__(self, cluster: IntegrationCluster, copy: InstalledCopy) -> None:
        super().__init__(cluster, copy, None)
        self.holders, self.strangers = self.readers[:2], [*self.readers[2:], *self.others]
        self.file = copy.code / "schemas" / "systems" / "relief.py"
        self.before: dict[str, object] = {}
        self.after: dict[str, object] = {}
        self.records: dict[str, list[Message]] = {}
        #: How often each topic names each resident, before and after the holders got relief.
        self.named_before: dict[tuple[str, bytes], int] = {}
        self.named_after: dict[tuple[str, bytes], int] = {}

    def submit(self, persons: list[Person], folder: Path) -> None:
        """Ingest the events of persons by the copy's commands, and wait until they are in the store."""
        rows = [row for person in persons for of_stage in person.stages.values() for _, row in of_stage]
        file = folder / f"relief_{A}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        self.mesh("ingest", "events", "--system", "relief", file)
        self.mesh("wait", "--idle", "--timeout", "60")

    def codes(self, persons: list[Person]) -> list[bytes]:
        """Return the mesh codes of persons."""
        ring = load_keys(self.cluster.installation.key_file)
        residents = pa.array([person.code for person in persons])
        return [code.encode() for code in person_codes(ring.cipher(MESH), residents).to_pylist()]

    def named(self, records: Mapping[str, Sequence[Message]]) -> dict[tuple[str, bytes], int]:
        """Return how often the records of each topic have the mesh code of each resident."""
        codes = self.codes([*self.holders, *self.strangers])
        contents = {topic: content_of(of_topic) for topic, of_topic in records.items()}
        counts = {(topic, code): content.count(code) for topic, content in contents.items() for code in codes}
        return {key: count for key, count in counts.items() if count}

    def topics(self) -> list[str]:
        """Return all topics of the mesh."""
        client = AdminClient({**self.cluster.environment.kafka(ADMIN), "log_level": 0})
        return sorted(
            name
            for name in client.list_topics(timeout=TIMEOUT_S).topics
            if not name.startswith(("_", "kafkasql"))
        )

    def read_all(self) -> dict[str, list[Message]]:
        """Return the committed records of every topic, as the broker's administrator reads them."""
        consumer = Consumer(reader_properties(self.cluster.environment.kafka(ADMIN), "administrator"))
        records: dict[str, list[Message]] = {topic: [] for topic in self.topics()}
        try:
            topics = consumer.list_topics(timeout=TIMEOUT_S).topics
            unread = {(name, number) for name in records for number in topics[name].partitions}
            consumer.assign([TopicPartition(*partition, 0) for partition in unread])
            deadline = time.monotonic() + 2 * TIMEOUT_S
            while unread:
                assert time.monotonic() < deadline, "the broker doesn't answer"
                for message in consumer.consume(1_000, 0.2):
                    topic, error = str(message.topic()), message.error()
                    if error is None:
                        records[topic].append(message)
                    else:
                        assert error.code() == KafkaError._PARTITION_EOF
                        unread.discard((topic, message.partition() or 0))
        finally:
            consumer.close()
        return records


def content_of(records: Iterable[Message]) -> bytes:
    """Return the keys and values of records."""
    return b"\n".join((record.key() or b"") + (record.value() or b"") for record in records)


@pytest.fixture(scope="module")
def relief(servers: IntegrationCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relief]:
    """Yield a mesh to which the system was added while it ran, after two persons have got relief."""
    with selected(servers):
        servers.reset()
        copy = InstalledCopy.create(tmp_path_factory.mktemp("installed"))
        relief = Relief(servers, copy)
        relief.mesh("up")
        ingest(servers, [*relief.holders, *relief.strangers], tmp_path_factory.mktemp("residents"))
        relief.before = relief.other_stores()
        relief.declare(SOURCE.read_text("utf-8"))
        relief.apply()
        relief.named_before = relief.named(relief.read_all())
        for number, person in enumerate(relief.holders):
            person.stages = {}
            fields = {"file_number": f"F-secret-{number}", "kind": "living-aid", "remark": "x" * 20 * number}
            person.event(9, f"relief_{A}", "ReliefBegan", date(2026, 11, 1), **fields)
            person.event(9, f"relief_{A}", "ReliefBegan", date(2026, 11, 2), **fields)  # It is open already.
        relief.submit(relief.holders, tmp_path_factory.mktemp("begun"))
        relief.after = relief.other_stores()
        relief.records = relief.read_all()
        relief.named_after = relief.named(relief.records)
        yield relief


def test_its_own_store_has_the_holders(relief: Relief) -> None:
    """With the facts that were known before; no other store has changed, and nothing is a dead letter."""
    names = sorted(person.kana for person in relief.holders)
    assert sorted(row["name"] for row in table(relief, "holder")) == names
    assert len(table(relief, "relief")) == len(relief.holders)
    assert relief.after == relief.before
    assert relief.cluster.dead_letters() == []


def table(relief: Relief, name: str) -> list[Row]:
    """Return the rows of a table of the system's store."""
    return relief.cluster.table("relief", name)


def test_an_administrator_without_keys_reads_every_topic_in_vain(relief: Relief) -> None:
    """No record has its words, not even the submissions, and no sealed one the code of a person.

    That they got relief adds no record anywhere that names them.
    """
    for topic, records in relief.records.items():
        content = content_of(records)
        if topic.startswith("in.relief."):
            assert not any(person.code.encode() in content for person in relief.holders)
            assert not any(word in content for word in WORDS[2:])  # The file's name has the system's.
        elif topic not in (*IN_CLEAR, *DECLARED_NAMES_IN_CLEAR):
            assert not any(word in content for word in WORDS), topic
    assert relief.named_after == relief.named_before
    assert not {topic for topic, _ in relief.named_after} & {*SEALED, f"in.relief.{A}"}


@pytest.mark.parametrize("topic", SEALED)
def test_sealed_records_have_one_size_and_no_time(relief: Relief, topic: str) -> None:
    """Whatever their content: remarks of two lengths are among them. Their keys are digests."""
    kept = [each for each in relief.records[topic] if not (each.key() or b"").startswith(b"barrier")]
    assert len(kept) >= len(relief.holders)
    assert all(re.fullmatch(b"[0-9a-f]{32}", record.key() or b"") for record in kept)
    assert len({len(record.value() or b"") for record in kept}) <= (2 if topic.startswith("state.") else 1)
    if not topic.startswith("state."):
        assert {record.timestamp()[1] for record in kept} == {1}


def test_no_other_login_of_kafka_sees_its_topics(relief: Relief) -> None:
    """Not even that there are such topics, how long they are, and when they grow."""
    topics = {topic for topic in relief.topics() if topic.endswith(".relief") or ".relief." in topic}
    assert {"change.relief", "domain.relief", f"in.relief.{A}", "dlq.sink.relief"} <= topics
    hidden = topics | {"state.fan-out.sealed", "person.change"}
    others = [user for user in users(topics_of([A])) if not OWN.fullmatch(user)]
    assert {*STANDARD_DOMAINS, "tracker", f"juki.{A}", f"care.{A}", "sink.pension"} <= set(others)
    for user in others:
        client = AdminClient({**relief.cluster.environment.kafka(user), "log_level": 0})
        visible = set(client.list_topics(timeout=TIMEOUT_S).topics)
        allowed = {"person.change"} if user == "household" else set()
        assert visible & hidden <= allowed, user


def test_no_other_login_of_the_database_reads_its_store(relief: Relief) -> None:
    """A municipality of the system reads its own rows only."""
    tables = ("relief", "holder", "deleted_revision", "sink_offset", "receipt_outbox", "dlq_entry")
    with psycopg.connect(relief.cluster.environment.dsn(AUDITOR)) as connection:
        query = "SELECT rolname FROM pg_roles WHERE rolcanlogin AND NOT rolsuper"
        logins = [name for (name,) in connection.execute(query).fetchall() if not OWN.fullmatch(name)]
    assert {domain.schema_name for domain in DOMAINS.values()} <= set(logins)
    for login in logins:
        with psycopg.connect(relief.cluster.environment.dsn(login), autocommit=True) as connection:
            for table in tables:
                statement = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("relief", table))
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)
    with psycopg.connect(relief.cluster.environment.dsn("relief_012033")) as connection:
        assert connection.execute("SELECT count(*) FROM relief.holder").fetchone() == (0,)


def test_rows_go_at_the_end(relief: Relief, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A relief that ends leaves no row, also none that is closed."""
    ending, *_ = relief.holders
    ending.stages = {}
    ending.event(10, f"relief_{A}", "ReliefEnded", date(2026, 11, 20), file_number="F-secret-0")
    relief.submit([ending], tmp_path_factory.mktemp("ended"))
    assert [row["file_number"] for row in table(relief, "relief")] == ["F-secret-1"]
    assert len(table(relief, "holder")) == 1


def test_clerks_see_what_was_rejected_and_what_has_no_effect(
    relief: Relief, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With the key file a rejected submission is opened, and the conflicts of the system are listed."""
    person = relief.holders[1]
    person.stages = {}
    person.event(
        11, f"relief_{A}", "ReliefChanged", date(2026, 11, 21), file_number="F-secret-1", kind="golden"
    )
    relief.submit([person], tmp_path_factory.mktemp("rejected"))
    rejected = [json.loads(line) for line in relief.mesh("rejected", "list", "--json").splitlines()]
    (row,) = [row for row in rejected if row["system"] == "relief"]
    assert "golden" not in json.dumps(row)
    assert '"golden"' in relief.mesh("rejected", "show", row["id"])
    lines = relief.mesh("conflicts", "list", "--system", "relief", "--json").splitlines()
    numbers = {json.loads(line)["number"] for line in lines}
    assert len(numbers) == len(relief.holders)
    plain = relief.mesh("conflicts", "list", "--withdrawn", "--json")
    assert not any(number in plain for number in numbers)
