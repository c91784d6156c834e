"""A city that is handed over in parts, day by day by a test's clock: brokers accept the times that a producer gives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from connectors.enrolments.source import EnrolmentsSource
from connectors.events.source import EventsSource, NoticesSource
from connectors.juki_cs.source import JukiCsSource
from connectors.publish import KafkaPublisher, ingest
from connectors.source import Source
from infra.apply import topics_and_acls
from infra.clock.source import DaysSource
from infra.coding import codec
from infra.environment import Environment
from processors.japan import first_ms_of
from tests.integration.cluster import IntegrationCluster

_MORNING_MS = 9 * 3_600_000
_TIMEOUT_S = 30.0


class DayPublisher(KafkaPublisher):
    """A publisher of submissions that brokers receive on a day in Japan, one a millisecond."""

    def __init__(self, cluster: IntegrationCluster, day: date) -> None:
        super().__init__(cluster.environment.kafka, codec(cluster.environment, cluster.installation))
        self._now_ms = first_ms_of(day) + _MORNING_MS

    def _produce(self, producer: Producer, topic: str, value: bytes) -> None:
        self._now_ms += 1
        producer.produce(topic, value, timestamp=self._now_ms)
        producer.poll(0)


def let_producers_set_times(environment: Environment) -> None:
    """Make the brokers take the times of producers as those of receipt, in all input topics."""
    client = topics_and_acls.admin_client(environment)
    inputs = [name for name in client.list_topics(timeout=_TIMEOUT_S).topics if name.startswith("in.")]
    entry = ConfigEntry("message.timestamp.type", "CreateTime", incremental_operation=AlterConfigOpType.SET)
    resources = [ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry]) for name in inputs]
    for result in client.incremental_alter_configs(resources).values():
        result.result(_TIMEOUT_S)


def hand_over(cluster: IntegrationCluster, day: date, files: Sequence[Path]) -> None:
    """Begin a day, submit files on it, and wait until everything is in the stores."""
    publisher = DayPublisher(cluster, day)
    clock = cluster.installation.folder / "days-of-test.json"
    for source in (DaysSource(clock, [day]), *map(source_of, files)):
        ingest(source, publisher)
    cluster.wait_idle()


def source_of(file: Path) -> Source:
    """Return the source of a city's file, which its name determines."""
    kind, *rest = file.stem.split("_")
    if kind == "juki":
        return JukiCsSource(file, None, None)
    if kind == "notices":
        return NoticesSource(file, None)
    if kind == "enrolments":
        return EnrolmentsSource(file, None)
    system, municipality = (*rest, None)[:2]
    return EventsSource(system or "", file, municipality)
