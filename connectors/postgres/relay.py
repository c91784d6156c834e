"""The relay: it publishes the rows of a store's outboxes and deletes them once the broker has acknowledged them.

A relay that dies in between publishes them again. This is harmless: the id of a receipt is derived from its cause,
and a dead letter has its record position. Several relays of one store share its outboxes without waiting for each
other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import structlog
from confluent_kafka import KafkaError, KafkaException, Producer
from psycopg import Connection, sql

from connectors.errors import BrokerUnavailableError, NotDeliveredError
from connectors.postgres.outbox import add_receipt_ids, unpack_receipts
from connectors.postgres.store import PostgresSettings, StoreConnection
from schemas.codec import Codec
from schemas.systems import Domain
from schemas.topics import dlq_topic, domain_receipt_topic, sink_step
from streams.clients import RECONNECT_BACKOFF_MAX_MS, ProducerRecords

log = structlog.get_logger()

_DAY_MS: Final = 86_400_000
#: The earliest timestamp of a record, as clients take 0 for "now".
_EARLIEST_MS: Final = 1
_LOCK_RECEIPTS = "SELECT id, receipts, applied_at FROM {} ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED"
_LOCK_DEAD_LETTERS = "SELECT id, key, value FROM {} ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED"
#: The relay's transaction locks nothing that another session waits for, so it may last as long as a delivery may.
_ALLOW_DELIVERY = """SELECT set_config('transaction_timeout', '0', true),
    set_config('idle_in_transaction_session_timeout', %s, true)"""
_DELETE = "DELETE FROM {} WHERE id = ANY(%s)"


class Send(Protocol):
    """Sends records, and returns when the broker has acknowledged all of them."""

    def __call__(self, records: Sequence[ProducerRecords]) -> None:
        """Send records. Raise NotDeliveredError or BrokerUnavailableError; then some may have been sent."""


class Relay:
    """The relay of one store, which runs after batches and while the sink is idle.

    `store` may be the sink's own connection: both run in one thread, and a server has a limited number of connections.
    """

    def __init__(
        self,
        domain: Domain,
        store: StoreConnection,
        codec: Codec,
        send: Send,
        settings: PostgresSettings | None = None,
    ) -> None:
        self._store, self._codec, self._send = store, codec, send
        self._settings = settings or PostgresSettings()
        self._step = sink_step(domain.id)
        self._receipts_topic = domain_receipt_topic(domain.id)
        self._outboxes = [
            (sql.Identifier(domain.schema_name, "receipt_outbox"), _LOCK_RECEIPTS, self._encode_receipts),
            (
                sql.Identifier(domain.schema_name, "dead_letter_outbox"),
                _LOCK_DEAD_LETTERS,
                self._wrap_dead_letters,
            ),
        ]

    def run(self) -> int:
        """Publish up to `relay_rows_max` rows of each outbox and return their number (0: the outboxes are empty).

        Raise NotDeliveredError or BrokerUnavailableError if publishing fails, StoreUnavailableError or
        StoreSchemaError if the store fails; then the rows stay in the outbox.
        """
        return sum(
            self._store.transaction(lambda c, o=outbox: self._publish(c, *o))  # type: ignore[misc]
            for outbox in self._outboxes
        )

    def close(self) -> None:
        """Close the connection."""
        self._store.close()

    def _publish(
        self,
        connection: Connection[Any],
        table: sql.Identifier,
        lock_rows: Any,
        encode: Callable[[Sequence[Any]], ProducerRecords],
    ) -> int:
        idle_timeout_ms = int(
            1_000 * (self._settings.delivery_timeout_s + self._settings.idle_transaction_timeout_s)
        )
        connection.execute(_ALLOW_DELIVERY, [str(idle_timeout_ms)])
        rows = connection.execute(
            sql.SQL(lock_rows).format(table), [self._settings.relay_rows_max], binary=True
        ).fetchall()
        if rows:
            self._send([encode(rows)])
            connection.execute(sql.SQL(_DELETE).format(table), [[row[0] for row in rows]])
        return len(rows)

    def _encode_receipts(self, rows: Sequence[tuple[int, bytes, datetime]]) -> ProducerRecords:
        receipts = pa.concat_tables(
            [_with_applied_at(unpack_receipts(content), applied_at) for _, content, applied_at in rows]
        )
        days = receipts.column("effective_on").cast(pa.int32()).cast(pa.int64())
        # The timestamp is the day of effect: a time of arrival would allow two domains to join their records.
        timestamps = pc.max_element_wise(pc.multiply(days, _DAY_MS), _EARLIEST_MS)
        keys = [code.encode() for code in receipts.column("code").to_pylist()]
        values = self._codec.encode("receipt-domain", receipts).to_pylist()
        return ProducerRecords(self._receipts_topic, keys, values, timestamps.to_pylist())

    def _wrap_dead_letters(self, rows: Sequence[tuple[int, bytes, bytes]]) -> ProducerRecords:
        keys = [bytes(key) for _, key, _ in rows]
        return ProducerRecords(dlq_topic(self._step), keys, [bytes(value) for _, _, value in rows])


def _with_applied_at(receipts: pa.Table, applied_at: datetime) -> pa.Table:
    column = pa.repeat(pa.scalar(applied_at, pa.timestamp("us", tz="UTC")), receipts.num_rows)
    return add_receipt_ids(receipts).append_column("applied_at", column)


class KafkaSend:
    """A `Send` through an idempotent producer of the sink's own user."""

    def __init__(self, kafka: Mapping[str, str], client_id: str, delivery_timeout_s: float) -> None:
        self._timeout_s = delivery_timeout_s
        self._delivery_errors: list[KafkaError] = []
        self._producer = Producer(
            {
                **kafka,
                "reconnect.backoff.max.ms": RECONNECT_BACKOFF_MAX_MS,
                "client.id": client_id,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "batch.size": 1_000_000,
                "compression.type": "lz4",
                "queue.buffering.max.messages": 1_000_000,
                "delivery.timeout.ms": int(1000 * delivery_timeout_s),
                "on_delivery": self._on_delivery,
            }
        )

    def __call__(self, records: Sequence[ProducerRecords]) -> None:
        """Send records and wait until the broker has acknowledged them."""
        try:
            for for_topic in records:
                self._produce(for_topic)
        except BufferError:
            raise BrokerUnavailableError("the producer's queue is full") from None
        except KafkaException as error:
            raise NotDeliveredError(error.args[0].name()) from None
        unacknowledged = self._producer.flush(self._timeout_s)
        errors, self._delivery_errors = self._delivery_errors, []
        if any(error.code() != KafkaError._MSG_TIMED_OUT for error in errors):
            names = ", ".join(sorted({error.name() for error in errors}))
            raise NotDeliveredError(f"the broker rejected {len(errors)} records ({names})")
        if unacknowledged or errors:
            count = unacknowledged + len(errors)
            raise BrokerUnavailableError(f"{count} records were not acknowledged in time")

    def _produce(self, records: ProducerRecords) -> None:
        timestamps_ms = records.timestamps_ms or [0] * len(records)
        for key, value, timestamp_ms in zip(records.keys, records.values, timestamps_ms, strict=True):
            self._producer.produce(records.topic, value, key, timestamp=timestamp_ms)

    def _on_delivery(self, error: KafkaError | None, _: object) -> None:
        if error is not None:
            self._delivery_errors.append(error)
