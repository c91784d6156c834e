"""A worker of a domain's sink into PostgreSQL, ready to run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from connectors.errors import BrokerUnavailableError
from connectors.postgres.relay import KafkaSend, Relay
from connectors.postgres.settings import PostgresSettings
from connectors.postgres.sink import PostgresSink
from connectors.sink_commands import SinkCommands
from connectors.sink_worker import SinkInput, SinkSettings, SinkWorker, consumer, consumer_properties
from schemas.systems import Domain
from schemas.topics import domain_topic, group, sink_step, transactional_id
from streams.kafka_clients import KafkaClients
from streams.sealing import Coding
from streams.settings import PipelineSettings

#: Turns without anything new after which the outboxes are looked at nevertheless: a worker that died may have left
#: something there.
_IDLE_TURNS: Final = 10
#: Batches whose receipts are relayed together while one comes after the other: a round costs a commit of its own and
#: a wait for the broker, however few rows it takes. With the first turn that has nothing new, all are relayed.
_BATCHES_A_ROUND: Final = 4


@dataclass(frozen=True)
class Access:
    """`kafka` are the librdkafka properties of user `sink.<domain>`, `dsn` the conninfo of role `sink_<schema>`.

    `pause` waits between attempts at the store, and says True where the worker is to stop.
    """

    kafka: Mapping[str, str]
    dsn: str
    pause: Callable[[float], object] = time.sleep


class PostgresSinkSettings(BaseModel, frozen=True, extra="forbid"):
    """Settings of such a worker."""

    read: SinkSettings = SinkSettings()
    store: PostgresSettings = PostgresSettings()


def postgres_worker(
    domain: Domain, slot: int, access: Access, coding: Coding, settings: PostgresSinkSettings | None = None
) -> SinkWorker:
    """The worker of a slot."""
    settings = settings or PostgresSinkSettings()
    step = sink_step(domain.id)
    instance = transactional_id(step, slot)
    send = KafkaSend(access.kafka, f"{instance}.relay", settings.store.delivery_timeout_s)
    sink = PostgresSink(domain, access.dsn, coding, settings.store, access.pause)
    relay = Relay(domain, sink.store, coding.codec, send, settings.store)
    topic, clients = domain_topic(domain.id), KafkaClients(access.kafka, step, slot, PipelineSettings())
    return SinkWorker(
        SinkInput(topic, domain.event, coding.codec, SinkCommands(step, topic, clients, coding.codec)),
        sink,
        consumer(consumer_properties(access.kafka, group(step), instance, settings.read)),
        settings.read,
        after=RelayAfterBatch(relay, settings.store.attempts_max),
    )


class RelayAfterBatch:
    """Runs the relay after a turn; the broker may be away for some turns, as what waits is safe in the store."""

    def __init__(self, relay: Relay, failures_max: int) -> None:
        self._relay, self._failures_max = relay, failures_max
        self._failures = 0
        self._idle = _IDLE_TURNS
        self._batches = 0

    def __call__(self, applied: int) -> int:
        """Rows of the outboxes relayed. BrokerUnavailableError after too many turns without success."""
        if self._later(applied):
            return 0
        try:
            done = self._relay.run()
        except BrokerUnavailableError:
            self._failures += 1
            if self._failures >= self._failures_max:
                raise
            done = 0
        else:
            self._failures = 0
        # What was left, or failed, is tried again with the next turn.
        self._idle = _IDLE_TURNS if done or self._failures else 0
        return done

    def _later(self, applied: int) -> bool:
        """Whether there is nothing to relay, or more comes first."""
        if applied:
            self._idle, self._batches = 0, self._batches + 1
            return self._batches % _BATCHES_A_ROUND != 0
        waiting, self._batches = self._batches % _BATCHES_A_ROUND, 0
        self._idle += 1
        return not waiting and self._idle < _IDLE_TURNS

    def close(self) -> None:
        """Lets go of the relay's connection."""
        self._relay.close()
