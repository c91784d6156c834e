"""A synthetic city's hand-overs, handed over at a steady pace from the beginning of a run to its end.

What registers recorded in order is sent in order, each topic at its own even pace; a topic waits for its broker as long
as that takes. So what was accepted is what the files say, in their order, once: the checker holds the topics to that.
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
from connectors.events.source import EventsSource
from connectors.juki_cs.source import JukiCsSource
from connectors.notices.source import NoticesSource
from connectors.source import Source
from infra.demo.run import municipalities
from infra.verification.synthetic.writing import write_city
from schemas.codec import Codec

TICK_S: Final = 0.1
#: A broker that is gone comes back: nothing is given up before.
DELIVERY_TIMEOUT_MS: Final = 1_800_000
QUEUE_MAX: Final = 5_000
#: After an outage so much faster than the steady pace, at most.
CATCH_UP: Final = 3.0
DAYS: Final = 120
#: What a city comes to by its residents, in hand-overs: measured, and only a size to begin with. Once, and each day.
PER_RESIDENT: Final = 1.6
PER_RESIDENT_AND_DAY: Final = 0.0236
RESIDENTS_MIN: Final = 120


@dataclass(frozen=True)
class LoadCity:
    """Files, and the hand-overs in them by topic, encoded, in their order."""

    folder: Path
    by_topic: dict[str, list[bytes]]

    @property
    def files(self) -> list[Path]:
        """All but the portal's own events, as the reference model takes them."""
        return [path for path in sorted(self.folder.iterdir()) if not path.stem.startswith("events")]

    @property
    def municipalities(self) -> Sequence[str]:
        """Who hands over."""
        return municipalities(self.folder)

    @property
    def hand_overs(self) -> int:
        """How many there are."""
        return sum(map(len, self.by_topic.values()))


def write(folder: Path, hand_overs: int, seed: int, days: int = DAYS) -> None:
    """A city of about so many hand-overs."""
    per_resident = PER_RESIDENT + PER_RESIDENT_AND_DAY * days
    write_city(folder, max(RESIDENTS_MIN, round(hand_overs / per_resident)), days, seed)


def read(folder: Path, codec: Codec) -> LoadCity:
    """The city in `folder`, encoded."""
    by_topic: dict[str, list[bytes]] = {}
    for path in sorted(folder.iterdir()):
        source = _source(path)
        try:
            source.open()
            while found := source.poll():
                for each in found:
                    values = codec.encode(each.route.schema, each.table).to_pylist()
                    by_topic.setdefault(each.route.topic, []).extend(values)
        finally:
            source.close()
    return LoadCity(folder, by_topic)


def _source(path: Path) -> Source:
    kinds: dict[str, Callable[[Path], Source]] = {
        "juki": JukiCsSource,
        "notices": NoticesSource,
        "enrolments": EnrolmentsSource,
        "events": partial(EventsSource, "portal"),
    }
    return kinds[path.stem.split("_")[0]](path)


@dataclass
class Load:
    """Hands a city over; one thread. `accepted` counts what brokers acknowledged."""

    city: LoadCity
    producer: Producer
    duration_s: float
    accepted: int = 0
    failures: list[str] = field(default_factory=list)
    _sent: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """From now on, evenly until `duration_s` is over."""
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()

    def hurry(self, timeout_s: float) -> None:
        """Hands over all that is left, as fast as it goes; returns when all is acknowledged."""
        self._stop.set()
        if self._thread:
            self._thread.join(timeout_s)
        if self.accepted != self.city.hand_overs and not self.failures:
            self.failures.append(f"{self.city.hand_overs - self.accepted} hand-overs were not acknowledged")

    def wait(self, seconds: float) -> None:
        """Returns after so long, or when it was told to end."""
        self._stop.wait(seconds)

    def give_up(self) -> None:
        """Ends, where it has not ended yet, without the rest."""
        if self._thread and self._thread.is_alive():
            self.failures.append("given up")
            self._stop.set()
            self._thread.join(10)

    def _run(self) -> None:
        turns = _interleaved(self.city)
        begun, last = time.monotonic(), time.monotonic()
        rate = self.city.hand_overs / self.duration_s
        allowance = 0.0
        while turns and not self.failures:
            self._stop.wait(TICK_S)
            now = time.monotonic()
            due = rate * (now - begun) - self._sent
            allowance = min(due, CATCH_UP * rate * (now - last))
            last = now
            count = len(turns) if self._stop.is_set() else int(max(allowance, 0))
            for _ in range(min(count, len(turns), QUEUE_MAX)):
                self._send(*turns.popleft())
            self.producer.poll(0)
        while self.accepted < self._sent and not self.failures:
            self.producer.poll(TICK_S)

    def _send(self, topic: str, value: bytes) -> None:
        while True:
            try:
                self.producer.produce(topic, value, on_delivery=self._delivered)
            except BufferError:
                self.producer.poll(TICK_S)
            else:
                self._sent += 1
                return

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.accepted += 1
        else:
            self.failures.append(f"not accepted: {error.name()}")


def producer(connection: dict[str, str]) -> Producer:
    """Idempotent, and patient."""
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


def _interleaved(city: LoadCity) -> deque[tuple[str, bytes]]:
    """All hand-overs in one row: each topic's in its order, evenly spread over the whole."""
    placed = [
        ((index + 0.5) / len(values), topic, value)
        for topic, values in city.by_topic.items()
        for index, value in enumerate(values)
    ]
    return deque((topic, value) for _, topic, value in sorted(placed, key=lambda each: each[:2]))
