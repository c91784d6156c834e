"""Collects what is left in the end: every topic, committed and uncommitted, every store, and what workers logged."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
import psycopg
import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from psycopg import sql

from connectors.postgres.sink_status import store_status
from connectors.postgres.table_definitions import MESSAGE, tables_of
from infra.environment import Environment
from infra.keys import load_keys
from infra.local.kafka_server import ADMIN, AUDITOR
from processors.codes import CodeKind, domain_codes
from processors.fan_out import FanOutProcessor
from processors.household import HouseholdProcessor
from schemas.codec import Codec
from schemas.systems import DOMAINS, SYSTEMS, Domain
from schemas.topics import (
    CASE_DISPATCHED,
    CASE_OPENED,
    NOTICE,
    PERSON_CHANGE,
    RECEIPT,
    STEPS,
    change_topic,
    disclosure_topic,
    dlq_topic,
    domain_receipt_topic,
    domain_topic,
    rejected_topic,
    sink_step,
    state_topic,
)
from streams.clients import Partition
from streams.kafka_clients import reader_properties
from streams.state import PartitionState
from tests.chaos import model
from tests.chaos.model import ChangeRecord, DomainRecord, Evidence, Origin
from tests.chaos.store_watch import RowKey

TIMEOUT_S: Final = 30.0
CHUNK_RECORDS: Final = 10_000
#: Longer than a transaction's timeout, and the coordinator's time between two looks for those that are over it.
OPEN_TIMEOUT_S: Final = 60.0
AGAIN_S: Final = 1.0
#: Steps that keep state, and the schemas of their stores.
STATEFUL: Final = {"household": HouseholdProcessor().stores, "fan-out": FanOutProcessor().stores}

Row = dict[str, Any]


class Topics:
    """Every record of every topic, read to the ends of now: the values of committed ones, the places of all."""

    def __init__(self, environment: Environment, codec: Codec, names: Collection[str]) -> None:
        self._codec = codec
        self.values: dict[str, list[tuple[int, int, bytes | None]]] = {name: [] for name in names}
        self.committed: dict[Partition, set[int]] = {}
        everything: dict[Partition, set[int]] = {}
        for topic, partition, offset, value in _read(environment, names, "read_committed"):
            self.values[topic].append((partition, offset, value))
            self.committed.setdefault((topic, partition), set()).add(offset)
        for topic, partition, offset, _ in _read(environment, names, "read_uncommitted"):
            everything.setdefault((topic, partition), set()).add(offset)
        self.aborted = {
            place: offsets - self.committed.get(place, set()) for place, offsets in everything.items()
        }

    def rows(self, topic: str, schema: str, *columns: str) -> Iterator[tuple[int, int, Row]]:
        """Partition, offset and these columns of each committed record. RuntimeError: one can't be read."""
        placed = self.values[topic]
        decoded = self._codec.decode(schema, [value for _, _, value in placed])
        if len(decoded.table) != len(placed):
            raise RuntimeError(f"records of {topic} can't be read")
        table: pa.Table = decoded.table.select(list(columns))
        for (partition, offset, _), row in zip(placed, table.to_pylist(), strict=True):
            yield partition, offset, row


def collect(
    environment: Environment,
    codec: Codec,
    keys: Path,
    logs: Path,
    submitted: Mapping[str, list[bytes]],
) -> Evidence:
    """All but what was seen on the way (`looks`, `found`), which the caller adds."""
    topics = Topics(environment, codec, _topics(environment))
    told = {domain: list(_told(topics, domain)) for domain in DOMAINS}
    dead = sum(len(topics.values[dlq_topic(step)]) for step in (*STEPS, *map(sink_step, DOMAINS)))
    rows, waiting = _stores(environment)
    states, lines = dict(_states(environment, codec)), list(logged(logs))
    found = {
        "dead-letter": [f"{dead} records"] if dead else [],
        "left-over": [f"{waiting} rows of outboxes"] if waiting else [],
    }
    return Evidence(
        submitted=submitted,
        taken={
            topic: [value or b"" for _, _, value in values]
            for topic, values in topics.values.items()
            if topic.startswith("in.")
        },
        notices=[
            model.Notice(_origin(row), (row["municipality"], row["notice"]))
            for _, _, row in topics.rows(NOTICE, "notice", "municipality", "notice", "origin")
        ],
        changes=list(_changes(topics)),
        rejected=list(_rejected(topics)),
        opened=[
            model.Opened(_case(row), row["persons"])
            for _, _, row in topics.rows(CASE_OPENED, "case-opened", "case", "persons")
        ],
        parts=[
            model.DispatchRecord(
                _case(row), row["person"], [(p["domain"], p["revision"]) for p in row["changes"]]
            )
            for _, _, row in topics.rows(CASE_DISPATCHED, "case-dispatched", "case", "person", "changes")
        ],
        told=told,
        given={domain.id: list(_given(topics, domain)) for domain in DOMAINS.values()},
        codes=_codes(keys, told),
        disclosed={
            domain: [
                (row["code"], row["revision"])
                for _, _, row in topics.rows(disclosure_topic(domain), "disclosure", "code", "revision")
            ]
            for domain in DOMAINS
        },
        receipts={
            domain: [
                model.Receipt(row["id"], row["applied_at"])
                for _, _, row in topics.rows(
                    domain_receipt_topic(domain), "receipt-domain", "id", "applied_at"
                )
            ]
            for domain in DOMAINS
        },
        converted=[
            model.Converted(row["domain"], row["person"], row["revision"], row["applied_at"])
            for _, _, row in topics.rows(RECEIPT, "receipt", "domain", "person", "revision", "applied_at")
        ],
        rows=rows,
        aborted={place: frozenset(offsets) for place, offsets in topics.aborted.items()},
        committed={place: frozenset(offsets) for place, offsets in topics.committed.items()},
        batches=list(_batches(lines)),
        restored=list(_restored(lines)),
        states=states,
        nothing={step: PartitionState(codec, stores, 1).digest for step, stores in STATEFUL.items()},
        found=found,
    )


def _batches(lines: Iterable[Row]) -> Iterator[model.CommittedBatch]:
    """What workers of steps logged of committed batches."""
    for line in lines:
        if line.get("event") == "batch.committed" and "offset_next" in line:
            place, told = (line["topic"], line["partition"]), (line["records"], line.get("digest"))
            yield model.CommittedBatch(line["step"], place, line["offset_next"], _moment(line), *told)


def _restored(lines: Iterable[Row]) -> Iterator[model.Restored]:
    for line in lines:
        if line.get("event") == "state.restored":
            took_s = line["duration_ms"] / 1_000
            place = line["step"], line["partition"]
            yield model.Restored(*place, _moment(line) - took_s, line.get("digest"), took_s)


def _moment(line: Row) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def logged(logs: Path) -> Iterator[Row]:
    """Every line of every worker's log that is whole; one that a kill cut short is none."""
    for file in sorted(logs.glob("*.log")):
        for line in file.read_bytes().splitlines():
            if line.startswith(b"{") and line.endswith(b"}"):
                try:
                    yield orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue


def _changes(topics: Topics) -> Iterator[model.Change]:
    for _, _, row in topics.rows(PERSON_CHANGE, "person-change", "person", "case", "origin"):
        yield model.Change(_origin(row), row["person"], _case(row) if row["case"] else None)


def _rejected(topics: Topics) -> Iterator[Origin]:
    for system in SYSTEMS.values():
        if system.publishes:
            for _, _, row in topics.rows(rejected_topic(system.id), "rejected", "origin"):
                yield _origin(row)


def _told(topics: Topics, domain: str) -> Iterator[ChangeRecord]:
    topic = change_topic(domain)
    for partition, offset, row in topics.rows(topic, "domain-change", "person", "revision", "case"):
        yield ChangeRecord(row["person"], row["revision"], row["case"] is not None, partition, offset)


def _given(topics: Topics, domain: Domain) -> Iterator[DomainRecord]:
    parts = {table.entity: table.part for table in tables_of(domain)}
    columns = ["code", "entity", "op", "revision", "case_code"]
    columns += ["municipality"] if domain.municipal else []
    columns += ["message"] if MESSAGE in parts else []
    for partition, offset, row in topics.rows(domain_topic(domain.id), domain.event, *columns):
        entity, code, revision = row["entity"], row["code"], row["revision"]
        key = RowKey(domain.id, entity, code, _part(row, parts[entity]))
        of = row["municipality"] if domain.municipal else row["case_code"]
        receipt = f"{code}.{entity}.{of or ''}.{revision}"
        yield DomainRecord(key, revision, row["op"] == "DELETE", partition, offset, receipt)


def _part(row: Row, column: str | None) -> str:
    if column == "case_code":
        return str((row["message"] or {}).get("case_code") or row["case_code"] or "")
    return str(row[column] or "") if column else ""


def _codes(keys: Path, told: Mapping[str, list[ChangeRecord]]) -> dict[str, dict[str, str]]:
    ring, found = load_keys(keys), {}
    for domain, changes in told.items():
        persons = sorted({each.person for each in changes})
        codes = domain_codes(ring.cipher(domain), pa.array(persons, pa.string()), CodeKind.PERSON)
        found[domain] = dict(zip(persons, codes.to_pylist(), strict=True))
    return found


def _stores(environment: Environment) -> tuple[dict[RowKey, int], int]:
    """The revision of every row, and what waits in outboxes."""
    rows: dict[RowKey, int] = {}
    waiting = 0
    with psycopg.connect(environment.dsn(AUDITOR)) as connection:
        for domain in DOMAINS.values():
            status = store_status(connection, domain)
            waiting += status.receipts_waiting + status.letters_waiting
            for table in tables_of(domain):
                part = sql.Identifier(table.part) if table.part else sql.Literal("")
                query = sql.SQL("SELECT code, {}, revision FROM {}").format(
                    part, sql.Identifier(domain.schema_name, table.name)
                )
                for code, found, revision in connection.execute(query).fetchall():
                    rows[RowKey(domain.id, table.entity, code, found)] = revision
    return rows, waiting


def _states(environment: Environment, codec: Codec) -> Iterator[tuple[tuple[str, int], str]]:
    """The digest of each partition's state, restored here from the changelogs as they are."""
    for step, stores in STATEFUL.items():
        topics = {state_topic(step, name): name for name in stores}
        found: dict[int, PartitionState] = {}
        for message in _messages(environment, topics, "read_committed"):
            topic, number = _place(message)
            state = found.setdefault(number, PartitionState(codec, stores, 1))
            key = (message.key() or b"").decode()
            state[topics[topic]].restore([(key, message.value())])
        yield from (((step, number), state.digest) for number, state in found.items())


def _origin(row: Row) -> Origin:
    return Origin(row["origin"]["topic"], row["origin"]["offset"])


def _case(row: Row) -> model.Case:
    return row["case"]["municipality"], row["case"]["notice"]


def _topics(environment: Environment) -> list[str]:
    with closing(Consumer(reader_properties(environment.kafka(ADMIN), AUDITOR))) as reader:
        names = sorted(reader.list_topics(timeout=TIMEOUT_S).topics)
        return [name for name in names if not name.startswith(("_", "kafkasql", "registry"))]


def open_at_the_end(environment: Environment, timeout_s: float = OPEN_TIMEOUT_S) -> Iterator[list[Partition]]:
    """Partitions whose last records are in a transaction that isn't ended: look after look, until there are none.

    A broker that has just come back may still have to be told of an end; what the last look finds, nobody ends, and
    readers of committed records will never see.
    """
    given = reader_properties(environment.kafka(ADMIN), AUDITOR)
    deadline = time.monotonic() + timeout_s
    with (
        closing(Consumer(given | {"isolation.level": "read_committed"})) as stable,
        closing(Consumer(given | {"isolation.level": "read_uncommitted"})) as everything,
    ):
        known = stable.list_topics(timeout=TIMEOUT_S).topics
        found = [(name, number) for name in _topics(environment) for number in known[name].partitions]
        while found := [place for place in found if _end(stable, place) < _end(everything, place)]:
            yield found
            if time.monotonic() > deadline:
                return
            time.sleep(AGAIN_S)
        yield []


def _end(reader: Consumer, place: Partition) -> int:
    return int(reader.get_watermark_offsets(TopicPartition(*place), TIMEOUT_S, cached=False)[1])


def _read(
    environment: Environment, names: Collection[str], isolation: str
) -> Iterator[tuple[str, int, int, bytes | None]]:
    """Topic, partition, offset and value of every record, partition by partition in order."""
    for message in _messages(environment, names, isolation):
        yield *_place(message), int(message.offset() or 0), message.value()


def _messages(environment: Environment, names: Collection[str], isolation: str) -> Iterator[Message]:
    given = reader_properties(environment.kafka(ADMIN), AUDITOR) | {"isolation.level": isolation}
    with closing(Consumer(given)) as reader:
        known = reader.list_topics(timeout=TIMEOUT_S).topics
        unread = {(name, number) for name in names for number in known[name].partitions}
        reader.assign([TopicPartition(*place, 0) for place in sorted(unread)])
        while unread:
            found = reader.consume(CHUNK_RECORDS, 0.5) or reader.consume(1, TIMEOUT_S)
            if not found:
                raise RuntimeError("the brokers don't answer")
            for message in found:
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    unread.discard(_place(message))
                else:
                    raise KafkaException(error)


def _place(message: Message) -> Partition:
    return str(message.topic()), int(message.partition() or 0)
