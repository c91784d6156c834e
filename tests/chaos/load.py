"""Submits a synthetic city at a steady pace, from the start of a run to its end.

Each topic has its own even pace and keeps the order in which its register recorded the notices. The producer waits for
a broker as long as it takes, so each input topic must end with exactly the content of the files, in order and once.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaError, Message, Producer

from connectors.enrolments.source import EnrolmentsSource
from connectors.events.source import EventsSource, NoticesSource
from connectors.juki_cs.source import JukiCsSource
from connectors.source import Source
from infra.demo.run import municipalities
from infra.verification.synthetic.false_registrations import add_false_registrations
from infra.verification.synthetic.writing import write_city
from schemas.codec import Codec

TICK_S: Final = 0.1
#: Longer than any run: a broker that is down will be restarted.
DELIVERY_TIMEOUT_MS: Final = 1_800_000
QUEUE_MAX: Final = 5_000
CANCEL_TIMEOUT_S: Final = 10.0
#: Highest pace after an outage, as a multiple of the steady pace.
CATCH_UP: Final = 3.0
DAYS: Final = 120
#: Measured submissions per resident of a city, once and per day: they give the number of residents to generate.
PER_RESIDENT: Final = 1.6
PER_RESIDENT_AND_DAY: Final = 0.0236
RESIDENTS_MIN: Final = 120
RESIDENTS_PER_FALSE_REGISTRATION: Final = 40


@dataclass(frozen=True)
class LoadCity:
    """The files of a city, and their encoded submissions by input topic, in order."""

    folder: Path
    by_topic: dict[str, list[bytes]]

    @property
    def files(self) -> list[Path]:
        """The files that the reference model reads: all except the portal's own events."""
        return [path for path in sorted(self.folder.iterdir()) if not path.stem.startswith("events")]

    @property
    def municipalities(self) -> Sequence[str]:
        """Codes of the municipalities that submit."""
        return municipalities(self.folder)

    @property
    def submissions(self) -> int:
        """Number of submissions."""
        return sum(map(len, self.by_topic.values()))


def write(folder: Path, submissions: int, seed: int, days: int = DAYS) -> None:
    """Write the files of a city with about this number of submissions."""
    per_resident = PER_RESIDENT + PER_RESIDENT_AND_DAY * days
    residents = max(RESIDENTS_MIN, round(submissions / per_resident))
    write_city(folder, residents, days, seed)
    add_false_registrations(folder, seed, residents // RESIDENTS_PER_FALSE_REGISTRATION)


def read(folder: Path, codec: Codec) -> LoadCity:
    """Return the city in `folder`, with its submissions encoded."""
    by_topic: dict[str, list[bytes]] = {}
    for path in sorted(folder.iterdir()):
        source = _source(path)
        try:
            source.open()
            while batches := source.poll():
                for batch in batches:
                    values = codec.encode(batch.route.schema, batch.table).to_pylist()
                    by_topic.setdefault(batch.route.topic, []).extend(values)
        finally:
            source.close()
    return LoadCity(folder, by_topic)


def _source(path: Path) -> Source:
    sources: dict[str, Callable[[Path], Source]] = {
        "juki": JukiCsSource,
        "notices": NoticesSource,
        "enrolments": EnrolmentsSource,
        "events": partial(EventsSource, "portal"),
    }
    return sources[path.stem.split("_")[0]](path)


@dataclass
class Load:
    """Submits a city in a thread; `acknowledged` counts the submissions that brokers acknowledged."""

    city: LoadCity
    producer: Producer
    duration_s: float
    acknowledged: int = 0
    failures: list[str] = field(default_factory=list)
    _sent: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; it submits evenly over `duration_s`."""
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()

    def finish(self, timeout_s: float) -> None:
        """Submit the rest as fast as possible, and return when everything is acknowledged or `timeout_s` is over."""
        self._stop.set()
        if self._thread:
            self._thread.join(timeout_s)
        if self.acknowledged != self.city.submissions and not self.failures:
            missing = self.city.submissions - self.acknowledged
            self.failures.append(f"{missing} submissions were not acknowledged")

    def wait(self, seconds: float) -> None:
        """Wait for some seconds, or until the load is finished or cancelled."""
        self._stop.wait(seconds)

    def cancel(self) -> None:
        """Stop a thread that still runs, without submitting the rest."""
        if self._thread and self._thread.is_alive():
            self.failures.append("cancelled")
            self._stop.set()
            self._thread.join(CANCEL_TIMEOUT_S)

    def _run(self) -> None:
        pending = _interleave(self.city)
        begun, last = time.monotonic(), time.monotonic()
        rate = self.city.submissions / self.duration_s
        while pending and not self.failures:
            self._stop.wait(TICK_S)
            now = time.monotonic()
            due = rate * (now - begun) - self._sent
            allowed = min(due, CATCH_UP * rate * (now - last))
            last = now
            count = len(pending) if self._stop.is_set() else int(max(allowed, 0))
            for _ in range(min(count, len(pending), QUEUE_MAX)):
                self._send(*pending.popleft())
            self.producer.poll(0)
        while self.acknowledged < self._sent and not self.failures:
            self.producer.poll(TICK_S)

    def _send(self, topic: str, value: bytes) -> None:
        while True:
            try:
                self.producer.produce(topic, value, on_delivery=self._on_delivery)
            except BufferError:
                self.producer.poll(TICK_S)
            else:
                self._sent += 1
                return

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.acknowledged += 1
        else:
            self.failures.append(f"not acknowledged: {error.name()}")


def idempotent_producer(connection: dict[str, str]) -> Producer:
    """Return an idempotent producer that retries for longer than any run lasts."""
    return Producer(
        {
            **connection,
            "client.id": "chaos.load",
            "enable.idempotence": True,
            "linger.ms": 20,
            "message.timeout.ms": DELIVERY_TIMEOUT_MS,
            "queue.buffering.max.messages": 100_000,
            "log_level": 0,
        }
    )


def _interleave(city: LoadCity) -> deque[tuple[str, bytes]]:
    """Return topic and value of all submissions in one sequence: each topic in order, spread evenly."""
    positioned = [
        ((index + 0.5) / len(values), topic, value)
        for topic, values in city.by_topic.items()
        for index, value in enumerate(values)
    ]
    return deque((topic, value) for _, topic, value in sorted(positioned, key=lambda entry: entry[:2]))
