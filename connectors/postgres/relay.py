"""Sends what stands in a store's outboxes, and forgets it only when the broker has it.

A relay that dies in between sends it again: receipts carry an id of their cause, dead letters the place of their
record, so a second one is harmless. Several relays of one store share its outbox without waiting for each other.
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
from connectors.postgres.outbox import unpacked, with_ids
from connectors.postgres.settings import PostgresSettings
from connectors.postgres.store import StoreConnection
from schemas.codec import Codec
from schemas.systems import Domain
from schemas.topics import dlq_topic, domain_receipt_topic, sink_step
from streams.clients import RECONNECT_BACKOFF_MAX_MS, ProducerRecords

log = structlog.get_logger()

_DAY_MS: Final = 86_400_000
#: Clients take 0 for "now".
_EARLIEST_MS: Final = 1
_TAKE_RECEIPTS = "SELECT id, receipts, applied_at FROM {} ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED"
_TAKE_LETTERS = "SELECT id, key, value FROM {} ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED"
#: It holds nothing that anybody waits for, and may wait for brokers for as long as a delivery may take.
_PATIENT = """SELECT set_config('transaction_timeout', '0', true),
    set_config('idle_in_transaction_session_timeout', %s, true)"""
_FORGET = "DELETE FROM {} WHERE id = ANY(%s)"


class Send(Protocol):
    """Sends records, and returns when the broker has all of them."""

    def __call__(self, records: Sequence[ProducerRecords]) -> None:
        """NotDeliveredError, BrokerUnavailableError: some may have been sent."""


class Relay:
    """One store's relay, to be run after each batch and while there is nothing to do.

    `store` may be the sink's own: both are of one thread, and a connection less is room for another worker.
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
            (sql.Identifier(domain.schema_name, "receipt_outbox"), _TAKE_RECEIPTS, self._receipts),
            (sql.Identifier(domain.schema_name, "dead_letter_outbox"), _TAKE_LETTERS, self._letters),
        ]

    def run(self) -> int:
        """Sends some of what stands there; how many rows of the outboxes it was (0: nothing was left).

        NotDeliveredError, BrokerUnavailableError: all of it still stands there. Errors of the store as in the sink.
        """
        return sum(
            self._store.transaction(lambda c, o=outbox: self._round(c, *o))  # type: ignore[misc]
            for outbox in self._outboxes
        )

    def close(self) -> None:
        """Lets go of the connection."""
        self._store.close()

    def _round(
        self,
        connection: Connection[Any],
        table: sql.Identifier,
        take: Any,
        encoded: Callable[[Sequence[Any]], ProducerRecords],
    ) -> int:
        patience_ms = int(
            1_000 * (self._settings.delivery_timeout_s + self._settings.idle_transaction_timeout_s)
        )
        connection.execute(_PATIENT, [str(patience_ms)])
        taken = connection.execute(
            sql.SQL(take).format(table), [self._settings.relay_rows_max], binary=True
        ).fetchall()
        if taken:
            self._send([encoded(taken)])
            connection.execute(sql.SQL(_FORGET).format(table), [[row[0] for row in taken]])
        return len(taken)

    def _receipts(self, taken: Sequence[tuple[int, bytes, datetime]]) -> ProducerRecords:
        receipts = pa.concat_tables([_applied(unpacked(content), moment) for _, content, moment in taken])
        days = receipts.column("effective_on").cast(pa.int32()).cast(pa.int64())
        stamps = pc.max_element_wise(pc.multiply(days, _DAY_MS), _EARLIEST_MS)
        keys = [code.encode() for code in receipts.column("code").to_pylist()]
        values = self._codec.encode("receipt-domain", receipts).to_pylist()
        return ProducerRecords(self._receipts_topic, keys, values, stamps.to_pylist())

    def _letters(self, taken: Sequence[tuple[int, bytes, bytes]]) -> ProducerRecords:
        keys = [bytes(key) for _, key, _ in taken]
        return ProducerRecords(dlq_topic(self._step), keys, [bytes(value) for _, _, value in taken])


def _applied(receipts: pa.Table, moment: datetime) -> pa.Table:
    kind = pa.timestamp("us", tz="UTC")
    column = pa.repeat(pa.scalar(moment, kind), receipts.num_rows)
    return with_ids(receipts).append_column("applied_at", column)


class KafkaSend:
    """Sends through an idempotent producer of the sink's own user."""

    def __init__(self, kafka: Mapping[str, str], client_id: str, delivery_timeout_s: float) -> None:
        self._timeout_s = delivery_timeout_s
        self._refused: list[KafkaError] = []
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
                "on_delivery": self._delivered,
            }
        )

    def __call__(self, records: Sequence[ProducerRecords]) -> None:
        """Sends, and waits for the broker."""
        try:
            for out in records:
                self._produce(out)
        except BufferError:
            raise BrokerUnavailableError("the producer's queue is full") from None
        except KafkaException as error:
            raise NotDeliveredError(error.args[0].name()) from None
        left = self._producer.flush(self._timeout_s)
        refused, self._refused = self._refused, []
        if any(error.code() != KafkaError._MSG_TIMED_OUT for error in refused):
            names = ", ".join(sorted({error.name() for error in refused}))
            raise NotDeliveredError(f"the broker refused {len(refused)} records ({names})")
        if left or refused:
            raise BrokerUnavailableError(f"{left + len(refused)} records were not acknowledged in time")

    def _produce(self, out: ProducerRecords) -> None:
        stamps = out.timestamps_ms or [0] * len(out)
        for key, value, stamp in zip(out.keys, out.values, stamps, strict=True):
            self._producer.produce(out.topic, value, key, timestamp=stamp)

    def _delivered(self, error: KafkaError | None, _: object) -> None:
        if error is not None:
            self._refused.append(error)
