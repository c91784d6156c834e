"""Collects the evidence at the end of a run: every topic, every store, and what workers logged."""

from __future__ import annotations

import json
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

from connectors.postgres.merge import second_key
from connectors.postgres.sink_status import store_status
from connectors.postgres.table_definitions import MESSAGE, PERSON, PERSON_HISTORY, Table, tables_of
from infra.apply.installation import ApplySettings
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
from tests.standard_level import STANDARD_DOMAINS

TIMEOUT_S: Final = 30.0
CHUNK_RECORDS: Final = 10_000
#: Longer than a transaction's timeout plus the interval at which the coordinator aborts timed-out transactions.
OPEN_TIMEOUT_S: Final = 60.0
RETRY_S: Final = 1.0
#: Steps with state, and the schemas of their stores.
STATEFUL: Final = {"household": HouseholdProcessor().stores, "fan-out": FanOutProcessor().stores}

#: Domains whose topics an auditor can read: those of the high level are sealed, and compared by their stores alone.
READABLE: Final = {id_: domain for id_, domain in DOMAINS.items() if not domain.is_high}

Row = dict[str, Any]


class TopicContents:
    """Every record of every topic up to the current ends.

    `values` has partition, offset and value of each committed record by topic, `committed` and `aborted` the offsets of
    records by partition.
    """

    def __init__(self, environment: Environment, codec: Codec, names: Collection[str]) -> None:
        self._codec = codec
        self.values: dict[str, list[tuple[int, int, bytes | None]]] = {name: [] for name in names}
        self.committed: dict[Partition, set[int]] = {}
        all_offsets: dict[Partition, set[int]] = {}
        for topic, partition, offset, value in _read(environment, names, "read_committed"):
            self.values[topic].append((partition, offset, value))
            self.committed.setdefault((topic, partition), set()).add(offset)
        for topic, partition, offset, _ in _read(environment, names, "read_uncommitted"):
            all_offsets.setdefault((topic, partition), set()).add(offset)
        self.aborted = {
            partition: offsets - self.committed.get(partition, set())
            for partition, offsets in all_offsets.items()
        }

    def rows(self, topic: str, schema: str, *columns: str) -> Iterator[tuple[int, int, Row]]:
        """Yield partition, offset and these columns of each committed record.

        Raise RuntimeError if a record can't be decoded.
        """
        records = self.values[topic]
        decoded = self._codec.decode(schema, [value for _, _, value in records])
        if len(decoded.table) != len(records):
            raise RuntimeError(f"records of {topic} can't be decoded by schema {schema}")
        table: pa.Table = decoded.table.select(list(columns))
        for (partition, offset, _), row in zip(records, table.to_pylist(), strict=True):
            yield partition, offset, row


def collect(
    environment: Environment,
    codec: Codec,
    keys: Path,
    logs: Path,
    submitted: Mapping[str, list[bytes]],
) -> Evidence:
    """Return the evidence without what was observed during the run, which the caller adds.

    That is `snapshots`, and part of `observed_anomalies`.
    """
    topics = TopicContents(environment, codec, _topics(environment))
    changes = {domain: list(_changes(topics, domain)) for domain in STANDARD_DOMAINS}
    dead_letters = sum(len(topics.values[dlq_topic(step)]) for step in (*STEPS, *map(sink_step, DOMAINS)))
    rows, waiting = _stores(environment)
    final_digests, lines = dict(_final_digests(environment, codec)), list(log_lines(logs))
    return Evidence(
        submitted=submitted,
        input_records={
            topic: [value or b"" for _, _, value in values]
            for topic, values in topics.values.items()
            if topic.startswith("in.")
        },
        notices=[
            model.NoticeRecord(_origin(row), (row["municipality"], row["notice"]))
            for _, _, row in topics.rows(NOTICE, "notice", "municipality", "notice", "origin")
        ],
        person_changes=list(_person_changes(topics)),
        partitions=ApplySettings().partitions,
        rejected=list(_rejected(topics)),
        opened_cases=[
            model.CaseOpenedRecord(_case(row), row["persons"])
            for _, _, row in topics.rows(CASE_OPENED, "case-opened", "case", "persons")
        ],
        dispatches=[
            model.DispatchRecord(
                _case(row),
                row["person"],
                [(change["domain"], change["revision"]) for change in row["changes"]],
            )
            for _, _, row in topics.rows(CASE_DISPATCHED, "case-dispatched", "case", "person", "changes")
        ],
        changes=changes,
        domain_records={
            domain.id: list(_domain_records(topics, domain)) for domain in STANDARD_DOMAINS.values()
        },
        codes=_codes(keys, changes),
        disclosures={
            domain: [
                (row["code"], row["revision"])
                for _, _, row in topics.rows(disclosure_topic(domain), "disclosure", "code", "revision")
            ]
            for domain in STANDARD_DOMAINS
        },
        receipts={
            domain: [
                model.ReceiptRecord(row["id"], row["applied_at"])
                for _, _, row in topics.rows(
                    domain_receipt_topic(domain), "receipt-domain", "id", "applied_at"
                )
            ]
            for domain in STANDARD_DOMAINS
        },
        converted_receipts=[
            model.ConvertedReceiptRecord(row["domain"], row["person"], row["revision"], row["applied_at"])
            for _, _, row in topics.rows(RECEIPT, "receipt", "domain", "person", "revision", "applied_at")
        ],
        rows=rows,
        aborted_records={partition: frozenset(offsets) for partition, offsets in topics.aborted.items()},
        committed_records={partition: frozenset(offsets) for partition, offsets in topics.committed.items()},
        batches=list(_batches(lines)),
        restored=list(_restored(lines)),
        final_digests=final_digests,
        empty_digests={step: PartitionState(codec, stores, 1).digest for step, stores in STATEFUL.items()},
        observed_anomalies={
            "dead-letter": [f"{dead_letters} records"] if dead_letters else [],
            "not-processed": [f"{waiting} rows of outboxes"] if waiting else [],
        },
    )


def _batches(lines: Iterable[Row]) -> Iterator[model.CommittedBatch]:
    """Yield the committed batches that workers of steps logged, without those of sinks."""
    for line in lines:
        if line.get("event") == "batch.committed" and not line["step"].startswith("sink"):
            yield model.CommittedBatch(
                line["step"],
                (line["topic"], line["partition"]),
                line["offset_next"],
                _logged_at(line),
                line["records"],
                line.get("digest"),
            )


def _restored(lines: Iterable[Row]) -> Iterator[model.RestoredState]:
    for line in lines:
        if line.get("event") == "state.restored":
            duration_s = line["duration_ms"] / 1_000
            begun_at = _logged_at(line) - duration_s
            yield model.RestoredState(
                line["step"], line["partition"], begun_at, line.get("digest"), duration_s
            )


def _logged_at(line: Row) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def log_lines(logs: Path) -> Iterator[Row]:
    """Yield every complete line of every worker's log; a kill may have cut one short."""
    for file in sorted(logs.glob("*.log")):
        for line in file.read_bytes().splitlines():
            if line.startswith(b"{") and line.endswith(b"}"):
                try:
                    yield orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue


def _person_changes(topics: TopicContents) -> Iterator[model.PersonChangeRecord]:
    """Yield what intake and household wrote, without the records by which fan-out goes on, some of them sealed."""
    columns = ("person", "case", "origin", "kind", "sealed")
    for _, _, row in topics.rows(PERSON_CHANGE, "person-change", *columns):
        if row["kind"] not in model.BY_FAN_OUT and row["sealed"] is None:
            case = _case(row) if row["case"] else None
            yield model.PersonChangeRecord(_origin(row), row["person"], case, row["kind"])


def _rejected(topics: TopicContents) -> Iterator[Origin]:
    for system in SYSTEMS.values():
        if system.publishes:
            for _, _, row in topics.rows(rejected_topic(system.id), "rejected", "origin"):
                yield _origin(row)


def _changes(topics: TopicContents, domain: str) -> Iterator[ChangeRecord]:
    topic = change_topic(domain)
    for partition, offset, row in topics.rows(topic, "domain-change", "person", "revision", "case"):
        yield ChangeRecord(row["person"], row["revision"], row["case"] is not None, partition, offset)


def _domain_records(topics: TopicContents, domain: Domain) -> Iterator[DomainRecord]:
    tables = {table.entity: table for table in tables_of(domain)}
    columns = ["code", "entity", "op", "revision", "case_code"]
    columns += ["municipality"] if domain.municipal else []
    columns += ["message"] if MESSAGE in tables else []
    columns += ["effective_on", "known_from"] if domain.has_history else []
    columns += [reads.name for reads in domain.readings]
    for partition, offset, row in topics.rows(domain_topic(domain.id), domain.event, *columns):
        entity, code, revision = row["entity"], row["code"], row["revision"]
        key = RowKey(domain.id, entity, code, _second_key(row, tables[entity]))
        receipt_scope = row["municipality"] if domain.municipal else row["case_code"]
        receipt = f"{code}.{entity}.{receipt_scope or ''}.{revision}"
        history = None
        if entity == PERSON and row.get("known_from") is not None:
            of_history = _second_key(row, tables[PERSON_HISTORY])
            history = RowKey(domain.id, PERSON_HISTORY, code, of_history)
        yield DomainRecord(key, revision, row["op"] == "DELETE", partition, offset, receipt, history)


def _second_key(row: Row, table: Table) -> str:
    """Return what tells the rows of one person apart, as the sink writes it into `deleted_revision`."""
    content = (row[table.struct] or {}) if table.entity == MESSAGE or table.reads else {}
    values = [content.get(name) or row.get(name) or "" for name in table.key_of_row]
    if len(values) > 1 or any(table.type_of(name) != "text" for name in table.key_of_row):
        return json.dumps([_json_value(value) for value in values], ensure_ascii=False)
    return "".join(values)


def _json_value(value: Any) -> str | int:
    return value if isinstance(value, int) else str(value)


def _codes(keys: Path, changes: Mapping[str, list[ChangeRecord]]) -> dict[str, dict[str, str]]:
    """Return by domain the domain code of each person in its changes, by mesh code."""
    ring, codes_by_domain = load_keys(keys), {}
    for domain, of_domain in changes.items():
        persons = sorted({change.person for change in of_domain})
        codes = domain_codes(ring.cipher(domain), pa.array(persons, pa.string()), CodeKind.PERSON)
        codes_by_domain[domain] = dict(zip(persons, codes.to_pylist(), strict=True))
    return codes_by_domain


def _stores(environment: Environment) -> tuple[dict[RowKey, int], int]:
    """Return the revision of every row, and the number of unpublished rows in outboxes."""
    rows: dict[RowKey, int] = {}
    waiting = 0
    with psycopg.connect(environment.dsn(AUDITOR)) as connection:
        for domain in STANDARD_DOMAINS.values():
            status = store_status(connection, domain)
            waiting += status.receipts_waiting + status.dead_letters_waiting
            for table in tables_of(domain):
                query = sql.SQL("SELECT code, {}, revision FROM {} AS t").format(
                    second_key(table, "t"), sql.Identifier(domain.schema_name, table.name)
                )
                for code, of_row, revision in connection.execute(query).fetchall():
                    rows[RowKey(domain.id, table.entity, code, of_row)] = revision
    return rows, waiting


def _final_digests(environment: Environment, codec: Codec) -> Iterator[tuple[tuple[str, int], str]]:
    """Yield the digest of each partition's state, restored here from the changelogs."""
    for step, stores in STATEFUL.items():
        topics = {state_topic(step, name): name for name in stores}
        states: dict[int, PartitionState] = {}
        for message in messages(environment, topics, "read_committed"):
            topic, number = partition_of(message)
            state = states.setdefault(number, PartitionState(codec, stores, 1))
            key = (message.key() or b"").decode()
            state[topics[topic]].restore([(key, message.value())])
        yield from (((step, number), state.digest) for number, state in states.items())


def _origin(row: Row) -> Origin:
    return Origin(row["origin"]["topic"], row["origin"]["offset"])


def _case(row: Row) -> model.Case:
    return row["case"]["municipality"], row["case"]["notice"]


def _topics(environment: Environment) -> list[str]:
    with closing(Consumer(reader_properties(environment.kafka(ADMIN), AUDITOR))) as reader:
        names = sorted(reader.list_topics(timeout=TIMEOUT_S).topics)
        return [name for name in names if not name.startswith(("_", "kafkasql", "registry"))]


def open_at_the_end(environment: Environment, timeout_s: float = OPEN_TIMEOUT_S) -> Iterator[list[Partition]]:
    """Yield the partitions that end in an open transaction, again and again until there are none or time is up.

    A broker that has just restarted may not have received a marker yet. Partitions that remain after `timeout_s` have a
    transaction that nobody will end, so readers of committed records will never see their last records.
    """
    properties = reader_properties(environment.kafka(ADMIN), AUDITOR)
    deadline = time.monotonic() + timeout_s
    with (
        closing(Consumer(properties | {"isolation.level": "read_committed"})) as committed_reader,
        closing(Consumer(properties | {"isolation.level": "read_uncommitted"})) as uncommitted_reader,
    ):
        known = committed_reader.list_topics(timeout=TIMEOUT_S).topics
        partitions = [(name, number) for name in _topics(environment) for number in known[name].partitions]
        while partitions := [
            partition
            for partition in partitions
            if _end(committed_reader, partition) < _end(uncommitted_reader, partition)
        ]:
            yield partitions
            if time.monotonic() > deadline:
                return
            time.sleep(RETRY_S)
        yield []


def _end(reader: Consumer, partition: Partition) -> int:
    return int(reader.get_watermark_offsets(TopicPartition(*partition), TIMEOUT_S, cached=False)[1])


def _read(
    environment: Environment, names: Collection[str], isolation: str
) -> Iterator[tuple[str, int, int, bytes | None]]:
    """Yield topic, partition, offset and value of every record, in order within a partition."""
    for message in messages(environment, names, isolation):
        yield *partition_of(message), int(message.offset() or 0), message.value()


def messages(environment: Environment, names: Collection[str], isolation: str) -> Iterator[Message]:
    """Yield every record of these topics, in order within a partition. Raise RuntimeError if brokers send nothing."""
    properties = reader_properties(environment.kafka(ADMIN), AUDITOR) | {"isolation.level": isolation}
    with closing(Consumer(properties)) as reader:
        known = reader.list_topics(timeout=TIMEOUT_S).topics
        unread = {(name, number) for name in names for number in known[name].partitions}
        reader.assign([TopicPartition(*partition, 0) for partition in sorted(unread)])
        while unread:
            read = reader.consume(CHUNK_RECORDS, 0.5) or reader.consume(1, TIMEOUT_S)
            if not read:
                raise RuntimeError(f"brokers sent nothing for {TIMEOUT_S:g} s")
            for message in read:
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    unread.discard(partition_of(message))
                else:
                    raise KafkaException(error)


def partition_of(message: Message) -> Partition:
    """Return the partition of a record."""
    return str(message.topic()), int(message.partition() or 0)
