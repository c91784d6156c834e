"""Records that a client without the mesh's checks could write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from confluent_kafka import Producer

from schemas.codec import Codec
from schemas.systems import Domain
from schemas.tables import table_from_rows
from tests.integration.cluster import IntegrationCluster

TIMEOUT_S = 60.0


def write(cluster: IntegrationCluster, topic: str, records: Iterable[tuple[bytes | None, bytes]]) -> None:
    """Write records as the administrator; return when the broker has them."""
    producer = Producer({**cluster.environment.kafka("admin"), "linger.ms": 20})
    for key, value in records:
        producer.produce(topic, value, key)
    assert producer.flush(TIMEOUT_S) == 0


def changes(
    domain: Domain, codec: Codec, codes: Sequence[str], name: str = "NAME", revision: int = 1
) -> list[tuple[bytes, bytes]]:
    """Return one record per code, as conversion writes them for this domain: key and value."""
    rows = [
        {
            "code": code,
            "entity": "PERSON",
            "op": "UPSERT",
            "revision": revision,
            "municipality": "131041" if domain.municipal else None,
            "effective_on": date(2026, 3, 2),
            "person": {"status": "active", "name": name},
        }
        for code in codes
    ]
    values = codec.encode(domain.event, table_from_rows(domain.event, rows)).to_pylist()
    return list(zip(map(str.encode, codes), values, strict=True))
