"""What there is of each person in each domain's topics and store, person by person: the key ring is the oracle."""

from __future__ import annotations

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

from infra.keys import load_keys
from processors.codes import CodeKind, mesh_codes
from schemas.systems import DOMAINS, Domain
from schemas.topics import disclosure_topic, domain_receipt_topic, domain_topic
from streams.kafka_clients import reader_properties
from tests.integration.separation.city import TIMEOUT_S, IsolatedCity

#: Where a value stands (topic or table, and the fields down to it), and the value as text.
Seen = tuple[str, str]


@dataclass
class Observed:
    """By domain and person (mesh code): values by the name of the field that holds each."""

    by_person: dict[str, dict[str, set[Seen]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(set))
    )
    headers: int = 0
    times: list[tuple[str, date, datetime]] = field(default_factory=list)
    unknown_codes: int = 0

    def of_domain(self, domain: str) -> set[Seen]:
        """All values of all persons."""
        return {seen for values in self.by_person[domain].values() for seen in values}

    def codes(self, domain: str) -> set[str]:
        """Every code of a person, household or case."""
        return {value for name, value in self.of_domain(domain) if name.endswith("code")}


def observe(city: IsolatedCity) -> Observed:
    """Everything that stands in what two domains could lay side by side."""
    found = Observed()
    ring = load_keys(city.installation.key_file)
    for domain in DOMAINS.values():
        rows = [*_records(city, domain, found), *_stored(city, domain)]
        codes = pa.array([row["code"] for row in rows], pa.string())
        persons = mesh_codes(ring.cipher(domain.id), codes, CodeKind.PERSON).to_pylist()
        found.unknown_codes += persons.count(None)
        for person, row in zip(persons, rows, strict=True):
            found.by_person[domain.id][person] |= set(_values("", row))
    return found


def messages(city: IsolatedCity, topic: str) -> Iterator[Message]:
    """Every committed record of a topic, up to its ends of now."""
    consumer = Consumer(reader_properties(city.environment.kafka("auditor"), "auditor"))
    try:
        unread = set(consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, 0) for number in unread])
        while unread:
            found = consumer.consume(1_000, 0.2) or consumer.consume(1, TIMEOUT_S)
            assert found, "the broker doesn't answer"
            for message in found:
                error = message.error()
                if error is None:
                    yield message
                else:
                    assert error.code() == KafkaError._PARTITION_EOF
                    unread.discard(message.partition() or 0)
    finally:
        consumer.close()


def _records(city: IsolatedCity, domain: Domain, found: Observed) -> Iterator[dict[str, Any]]:
    topics = {
        domain_topic(domain.id): domain.event,
        disclosure_topic(domain.id): "disclosure",
        domain_receipt_topic(domain.id): "receipt-domain",
    }
    for topic, schema in topics.items():
        records = list(messages(city, topic))
        decoded = city.codec.decode(schema, [record.value() for record in records])
        kept = [records[index] for index in decoded.row_indices.to_pylist()]
        for record, row in zip(kept, decoded.table.to_pylist(), strict=True):
            found.headers += len(record.headers() or [])
            told_at = datetime.fromtimestamp(record.timestamp()[1] / 1000, UTC)
            found.times.append((topic, row["effective_on"], told_at))
            row.setdefault("code", None)
            yield {**row, "key": (record.key() or b"").decode(), "kafka_time": told_at}


def _stored(city: IsolatedCity, domain: Domain) -> Iterator[dict[str, Any]]:
    with psycopg.connect(city.environment.dsn("auditor"), row_factory=dict_row) as connection:
        for table in tables(connection, domain.schema_name):
            rows = connection.execute(sql.SQL("TABLE {}").format(sql.Identifier(domain.schema_name, table)))
            yield from (row for row in rows if "code" in row)


def tables(connection: psycopg.Connection[Any], schema: str) -> list[str]:
    """All of a schema's tables."""
    query = "SELECT tablename AS name FROM pg_tables WHERE schemaname = %s ORDER BY 1"
    return [dict(row)["name"] for row in connection.execute(query, [schema]).fetchall()]


def _values(name: str, value: Any) -> Iterator[Seen]:
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
