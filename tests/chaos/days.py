"""The days of a run: a city is submitted over many days, each of a few seconds, by a clock of the run's own.

The city's events lie before the first day. What they bring about by themselves (a certificate expires, a card is void
90 days after a move) is due on days that begin during the run.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from infra.verification.synthetic.city import START
from processors.japan import day_of_ms, first_ms_of

SECONDS_PER_DAY: Final = 5.0
#: Days from the last event of a city to the first day of a run: events are recorded and cancelled up to 18 days later.
_AFTER_CITY: Final = 21
_TIMEOUT_S: Final = 30.0
_MS_PER_DAY: Final = 86_400_000
#: Brokers take any time from a producer.
_ANY_TIME: Final = {
    "message.timestamp.type": "CreateTime",
    "message.timestamp.after.max.ms": str(2**63 - 1),
    "message.timestamp.before.max.ms": str(2**63 - 1),
}


@dataclass
class RunDays:
    """The days from `first` on; they begin to pass with `start`."""

    first: date
    _begun_s: float | None = None

    @classmethod
    def after_city(cls, days: int) -> RunDays:
        """Return the days of a run that submits a city with so many days of changes."""
        return cls(date.fromisoformat(START) + timedelta(days + _AFTER_CITY))

    def start(self) -> None:
        """Begin the first day now."""
        self._begun_s = time.monotonic()

    def now_ms(self) -> int:
        """Return the time in the run's days, in ms since 1970."""
        passed_s = 0.0 if self._begun_s is None else time.monotonic() - self._begun_s
        return first_ms_of(self.first) + int(passed_s / SECONDS_PER_DAY * _MS_PER_DAY)

    def today(self) -> date:
        """Return the day of now."""
        return day_of_ms(self.now_ms())


def take_time_from_producers(client: AdminClient, topics: Iterable[str]) -> None:
    """Let the records of these topics have the time that their producer gives them, instead of the broker's."""
    resources = [
        ConfigResource(
            ResourceType.TOPIC,
            topic,
            incremental_configs=[
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
                for name, value in _ANY_TIME.items()
            ],
        )
        for topic in topics
    ]
    for future in client.incremental_alter_configs(resources).values():
        future.result(_TIMEOUT_S)
