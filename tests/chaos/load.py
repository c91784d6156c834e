"""Submits a synthetic city at a steady pace, from the start of a run to its end, the days that begin, and commands.

Each topic has its own even pace and keeps the order in which its register recorded the notices. The producer waits for
a broker as long as it takes, so each input topic must end with exactly the content of the files, in order and once.
"""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

from confluent_kafka import KafkaError, Message, Producer

from connectors.enrolments.source import EnrolmentsSource
from connectors.events.source import NoticesSource
from connectors.juki_cs.source import JukiCsSource
from connectors.source import Source
from infra.clock.begun_days import days_to_submit
from infra.demo.run import entity_files, entity_source, municipalities
from infra.verification.synthetic.false_registrations import add_false_registrations
from infra.verification.synthetic.writing import write_city
from schemas.codec import Codec
from schemas.submission_schemas import OPERATOR_COMMAND
from schemas.systems import CLOCK, OPERATOR, SYSTEMS
from schemas.tables import table_from_rows
from schemas.topics import input_topic
from tests.chaos.days import RunDays

TICK_S: Final = 0.1
#: Longer than any run: a broker that is down will be restarted.
DELIVERY_TIMEOUT_MS: Final = 1_800_000
QUEUE_MAX: Final = 5_000
CANCEL_TIMEOUT_S: Final = 10.0
#: Highest pace after an outage, as a multiple of the steady pace.
CATCH_UP: Final = 3.0
#: How often per second the clock stops, and for how long at most.
CLOCK_STOPS: Final = 0.05
CLOCK_STOP_MAX_S: Final = 20.0
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
        return [path for path in sorted(self.folder.iterdir()) if not path.stem.startswith("events_portal")]

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
    write_city(folder, residents, days, seed, with_entities=True)
    for file in entity_files(folder):
        if SYSTEMS[file.stem.split("_")[1]].is_high:
            file.unlink()  # Its topics are sealed, and nobody here could compare them.
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
        "events": entity_source,
    }
    return sources[path.stem.split("_")[0]](path)


@dataclass
class Load:
    """Submits a city in a thread; `acknowledged` counts the submissions that brokers acknowledged.

    It submits also the days that begin, as `mesh clock` does, with a stop now and then; and the commands to adopt the
    declarations whose numbers are put into `adoptions`.
    """

    city: LoadCity
    producer: Producer
    duration_s: float
    codec: Codec
    days: RunDays
    seed: int = 0
    acknowledged: int = 0
    failures: list[str] = field(default_factory=list)
    adoptions: SimpleQueue[int] = field(default_factory=SimpleQueue)
    #: What was submitted besides the city, by input topic, in order.
    besides: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    _sent: int = 0
    _last_day: date | None = None
    _clock_stopped_until_s: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def submitted(self) -> dict[str, list[bytes]]:
        """Everything that was submitted, by input topic, in order."""
        return {**self.city.by_topic, **self.besides}

    def start(self) -> None:
        """Start the thread; it submits evenly over `duration_s`."""
        self.days.start()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()

    def finish(self, timeout_s: float) -> None:
        """Submit the rest as fast as possible, and return when everything is acknowledged or `timeout_s` is over."""
        self._stop.set()
        if self._thread:
            self._thread.join(timeout_s)
        expected = self.city.submissions + sum(map(len, self.besides.values()))
        if self.acknowledged != expected and not self.failures:
            self.failures.append(f"{expected - self.acknowledged} submissions were not acknowledged")

    def wait(self, seconds: float) -> None:
        """Wait for some seconds, or until the load is finished or cancelled."""
        self._stop.wait(seconds)

    def cancel(self) -> None:
        """Stop a thread that still runs, without submitting the rest."""
        if self._thread and self._thread.is_alive():
            self.failures.append("cancelled")
            self._stop.set()
            self._thread.join(CANCEL_TIMEOUT_S)

    @property
    def last_day(self) -> date:
        """The last day that was submitted. Raise RuntimeError before the first."""
        if self._last_day is None:
            raise RuntimeError("no day has begun")
        return self._last_day

    def _run(self) -> None:
        pending, chance = _interleave(self.city), random.Random(self.seed)  # noqa: S311 - not used for security
        begun, last = time.monotonic(), time.monotonic()
        rate = self.city.submissions / self.duration_s
        sent = 0
        while (pending or not self._stop.is_set()) and not self.failures:
            self._stop.wait(TICK_S)
            now = time.monotonic()
            due = rate * (now - begun) - sent
            allowed = min(due, CATCH_UP * rate * (now - last))
            last = now
            count = len(pending) if self._stop.is_set() else int(max(allowed, 0))
            for _ in range(min(count, len(pending), QUEUE_MAX)):
                self._send(*pending.popleft())
                sent += 1
            self._submit_adoptions()
            if now >= self._clock_stopped_until_s:
                self._submit_days()
                if chance.random() < CLOCK_STOPS * TICK_S:
                    self._clock_stopped_until_s = now + chance.uniform(1.0, CLOCK_STOP_MAX_S)
            self.producer.poll(0)
        self._submit_adoptions()
        # The last of all: the day of every partition is the one that the clock submitted last.
        self._submit_days()
        while self.acknowledged < self._sent and not self.failures:
            self.producer.poll(TICK_S)

    def _submit_days(self) -> None:
        days = days_to_submit(self._last_day, self.days.today())
        if days:
            self._last_day = days[-1]
            self._submit_besides("day-begun", CLOCK, [{"day": str(day)} for day in days])

    def _submit_adoptions(self) -> None:
        origin = {"topic": input_topic(OPERATOR), "partition": 0, "offset": 0}
        while not self.adoptions.empty():
            command = {"command": "ADOPT", "origin": origin, "adoption": self.adoptions.get()}
            self._submit_besides(OPERATOR_COMMAND, OPERATOR, [command])

    def _submit_besides(self, schema: str, system: str, rows: list[dict[str, Any]]) -> None:
        for value in self.codec.encode(schema, table_from_rows(schema, rows)).to_pylist():
            self.besides[input_topic(system)].append(value)
            self._send(input_topic(system), value)

    def _send(self, topic: str, value: bytes) -> None:
        while True:
            try:
                self.producer.produce(
                    topic, value, timestamp=self.days.now_ms(), on_delivery=self._on_delivery
                )
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
