"""All values that each domain's topics and store have of each person; the key ring identifies the persons."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from psycopg import sql
from psycopg.rows import dict_row

from connectors.postgres.table_definitions import tables_of
from infra.keys import load_keys
from processors.codes import CodeKind, mesh_codes
from schemas.systems import DOMAINS, Domain
from schemas.topics import disclosure_topic, domain_receipt_topic, domain_topic
from streams.kafka_clients import reader_properties
from tests.integration.separation.city import TIMEOUT_S, IsolatedCity

#: Path of a value (the field names down to it), and the value as text.
Value = tuple[str, str]


@dataclass
class Observed:
    """Values by domain and person (mesh code), and what was counted while reading."""

    by_person: dict[str, dict[str, set[Value]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(set))
    )
    headers: int = 0
    times: list[tuple[str, date, datetime]] = field(default_factory=list)
    unknown_codes: int = 0

    def of_domain(self, domain: str) -> set[Value]:
        """Return all values of all persons in a domain."""
        return {value for values in self.by_person[domain].values() for value in values}

    def codes(self, domain: str) -> set[str]:
        """Return every code of a person, household or case in a domain."""
        return {value for name, value in self.of_domain(domain) if name.endswith("code")}


def observe(city: IsolatedCity) -> Observed:
    """Read the topics and the store of each domain: everything that two domains could compare."""
    observed = Observed()
    ring = load_keys(city.installation.key_file)
    for domain in DOMAINS.values():
        rows = [*_records(city, domain, observed), *_stored(city, domain)]
        codes = pa.array([row["code"] for row in rows], pa.string())
        persons = mesh_codes(ring.cipher(domain.id), codes, CodeKind.PERSON).to_pylist()
        observed.unknown_codes += persons.count(None)
        for person, row in zip(persons, rows, strict=True):
            observed.by_person[domain.id][person] |= set(_values("", row))
    return observed


def messages(city: IsolatedCity, topic: str) -> Iterator[Message]:
    """Yield every committed record of a topic, up to its present end."""
    consumer = Consumer(reader_properties(city.environment.kafka("auditor"), "auditor"))
    try:
        unread = set(consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, 0) for number in unread])
        while unread:
            batch = consumer.consume(1_000, 0.2) or consumer.consume(1, TIMEOUT_S)
            assert batch, "the broker doesn't answer"
            for message in batch:
                error = message.error()
                if error is None:
                    yield message
                else:
                    assert error.code() == KafkaError._PARTITION_EOF
                    unread.discard(message.partition() or 0)
    finally:
        consumer.close()


def _records(city: IsolatedCity, domain: Domain, observed: Observed) -> Iterator[dict[str, Any]]:
    """Yield the records of a domain's topics; none at the high level, where only the sink can open them."""
    if domain.is_high:
        return
    topics = {
        domain_topic(domain.id): domain.event,
        disclosure_topic(domain.id): "disclosure",
        domain_receipt_topic(domain.id): "receipt-domain",
    }
    for topic, schema in topics.items():
        records = list(messages(city, topic))
        decoded = city.codec.decode(schema, [record.value() for record in records])
        decodable = [records[index] for index in decoded.row_indices.to_pylist()]
        for record, row in zip(decodable, decoded.table.to_pylist(), strict=True):
            observed.headers += len(record.headers() or [])
            timestamp = datetime.fromtimestamp(record.timestamp()[1] / 1000, UTC)
            observed.times.append((topic, row["effective_on"], timestamp))
            row.setdefault("code", None)
            yield {**row, "key": (record.key() or b"").decode(), "kafka_time": timestamp}


def _stored(city: IsolatedCity, domain: Domain) -> Iterator[dict[str, Any]]:
    with psycopg.connect(city.environment.dsn("auditor"), row_factory=dict_row) as connection:
        for table in tables(connection, domain.schema_name):
            rows = connection.execute(sql.SQL("TABLE {}").format(sql.Identifier(domain.schema_name, table)))
            yield from (_with_key(domain, row) for row in rows if "code" in row)


def _with_key(domain: Domain, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row; that of a deleted row with the columns of its key, which the store keeps as one text."""
    if "second_key" not in row:
        return row
    table = next(table for table in tables_of(domain) if table.entity == row["entity"])
    text, names = row["second_key"], table.key_of_row
    is_list = len(names) > 1 or any(table.type_of(name) != "text" for name in names)
    values = json.loads(text) if is_list else [text]
    key = dict(zip(names, values, strict=True)) if names else {}
    return {**{name: value for name, value in row.items() if name != "second_key"}, **key}


def tables(connection: psycopg.Connection[Any], schema: str) -> list[str]:
    """Return the names of a schema's tables."""
    query = "SELECT tablename AS name FROM pg_tables WHERE schemaname = %s ORDER BY 1"
    return [dict(row)["name"] for row in connection.execute(query, [schema]).fetchall()]


def _values(name: str, value: Any) -> Iterator[Value]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _values(f"{name}.{key}" if name else key, part)
    elif isinstance(value, list):
        for part in value:
            yield from _values(name, part)
    elif isinstance(value, datetime):
        yield name, value.astimezone(UTC).isoformat()
    elif value is not None:
        yield name, str(value)
