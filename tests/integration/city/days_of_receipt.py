"""A city that is handed over in parts, day by day by a test's clock: brokers accept the times that a producer gives."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
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

#: The column of a register's CSV file with the day on which a notice was recorded.
_RECORDED: str = "届出日"
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


@dataclass
class Part:
    """The lines of a file with the days on which they are handed over; the days of a file only grow."""

    path: Path
    header: bytes
    lines: list[tuple[date, bytes]] = field(default_factory=list)

    def write(self, folder: Path, first: date, last: date) -> Path | None:
        """Write the lines of these days into a file of the same name; None if there are none."""
        lines = [line for day, line in self.lines if first <= day <= last]
        if not lines:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / self.path.name
        file.write_bytes(self.header + b"".join(lines))
        return file


def parts_of(files: Sequence[Path], first: date, lags: Mapping[str, int]) -> list[Part]:
    """Return the lines of files, each handed over so many days after its record as `lags` says for its file."""
    parts = []
    for path in files:
        part = Part(path, b"")
        day = first
        for line, recorded_on in _dated_lines(path):
            if recorded_on is None:
                part.header = line
                continue
            day = max(day, recorded_on + timedelta(days=lags.get(path.name, 0)))
            part.lines.append((day, line))
        parts.append(part)
    return parts


def _dated_lines(path: Path) -> Iterator[tuple[bytes, date | None]]:
    """Yield each line of a file with its day, None for the header."""
    lines = path.read_bytes().splitlines(keepends=True)
    if path.suffix == ".jsonl":
        for line in lines:
            event = json.loads(line)
            head = event.get("account", event)
            yield line, date.fromisoformat(head.get("recorded_on") or head["effective_on"])
        return
    encoding = "utf-8-sig" if lines[0].startswith(b"\xef\xbb\xbf") else "cp932"
    header = next(csv.reader([lines[0].decode(encoding)]))
    column = header.index(_RECORDED) if _RECORDED in header else len(header) - 1
    yield lines[0], None
    for line in lines[1:]:
        yield line, date.fromisoformat(next(csv.reader([line.decode(encoding)]))[column].strip())


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
    return EnrolmentsSource(file, None) if kind == "enrolments" else EventsSource(rest[0], file, None)
