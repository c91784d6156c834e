"""Assembly of a worker of a domain's PostgreSQL sink, and the schedule of its relay."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from connectors.errors import BrokerUnavailableError
from connectors.postgres.relay import KafkaSend, Relay
from connectors.postgres.sink import PostgresSink
from connectors.postgres.store import PostgresSettings
from connectors.sink_commands import SinkCommands
from connectors.sink_worker import SinkInput, SinkSettings, SinkWorker, consumer_properties, sink_consumer
from connectors.withdrawal_reader import WithdrawalReader
from schemas.systems import Domain
from schemas.topics import domain_topic, group, sink_step, transactional_id, withdrawal_topic
from streams.kafka_clients import KafkaClients
from streams.sealing import Coding
from streams.settings import PipelineSettings

#: Calls without new records after which the outboxes are read nevertheless: a worker that died may have left rows
#: there.
_IDLE_CALLS_MAX: Final = 10
#: Batches whose receipts are relayed together while batches keep coming: a run of the relay costs a commit and a wait
#: for the broker, however few rows it publishes. The first call without new records relays all that is left.
_BATCHES_PER_RUN: Final = 4


@dataclass(frozen=True)
class SinkAccess:
    """The logins of a worker: librdkafka properties of user `sink.<domain>`, and conninfo of role `sink_<schema>`.

    `pause` waits between attempts at the store, and returns True if the worker is to stop.
    """

    kafka: Mapping[str, str]
    dsn: str
    pause: Callable[[float], object] = time.sleep


class PostgresSinkSettings(BaseModel, frozen=True, extra="forbid"):
    """Settings of a worker of a PostgreSQL sink."""

    read: SinkSettings = SinkSettings()
    store: PostgresSettings = PostgresSettings()


def postgres_worker(
    domain: Domain,
    slot: int,
    access: SinkAccess,
    coding: Coding,
    settings: PostgresSinkSettings | None = None,
) -> SinkWorker:
    """Return the worker of a slot."""
    settings = settings or PostgresSinkSettings()
    step = sink_step(domain.id)
    instance = transactional_id(step, slot)
    send = KafkaSend(access.kafka, f"{instance}.relay", settings.store.delivery_timeout_s)
    sink = PostgresSink(domain, access.dsn, coding, settings.store, access.pause)
    relay = Relay(domain, sink.store, coding.codec, send, settings.store)
    topic, clients = domain_topic(domain.id), KafkaClients(access.kafka, step, slot, PipelineSettings())
    commands = SinkCommands(step, topic, clients, coding.codec)
    withdrawals = (
        WithdrawalReader(withdrawal_topic(domain.id), clients, coding.codec)
        if domain.has_withdrawals
        else None
    )
    return SinkWorker(
        SinkInput(topic, domain.event, coding.codec, commands, withdrawals),
        sink,
        sink_consumer(consumer_properties(access.kafka, group(step), instance, settings.read)),
        settings.read,
        after=RelayAfterBatch(relay, settings.store.attempts_max),
    )


class RelayAfterBatch:
    """Runs the relay after batches. The broker may be unreachable for some calls: the rows are safe in the outboxes."""

    def __init__(self, relay: Relay, failures_max: int) -> None:
        self._relay, self._failures_max = relay, failures_max
        self._failures = 0
        self._idle_calls = _IDLE_CALLS_MAX
        self._batches = 0

    def __call__(self, applied: int) -> int:
        """Return the number of outbox rows relayed after `applied` new records.

        Raise BrokerUnavailableError after `failures_max` runs in a row without success.
        """
        if not self._is_due(applied):
            return 0
        try:
            relayed = self._relay.run()
        except BrokerUnavailableError:
            self._failures += 1
            if self._failures >= self._failures_max:
                raise
            relayed = 0
        else:
            self._failures = 0
        # Rows that are left, or failed, are relayed by the next call.
        self._idle_calls = _IDLE_CALLS_MAX if relayed or self._failures else 0
        return relayed

    def close(self) -> None:
        """Close the relay's connection."""
        self._relay.close()

    def _is_due(self, applied: int) -> bool:
        if applied:
            self._idle_calls, self._batches = 0, self._batches + 1
            return self._batches % _BATCHES_PER_RUN == 0
        unrelayed_batches, self._batches = self._batches % _BATCHES_PER_RUN, 0
        self._idle_calls += 1
        return bool(unrelayed_batches) or self._idle_calls >= _IDLE_CALLS_MAX
