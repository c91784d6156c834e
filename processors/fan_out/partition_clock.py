"""The day of a partition, and the agenda: what changes by itself when a day comes.

A partition's day is the greatest one that has begun, or on which one of its records was received, in Japan's time. So a
replay, which may read the submissions before the days, publishes nothing ahead of its day. What is due is worked off
in portions: fan-out writes a record to its own input partition to go on, so that other records are not held up.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Final

from processors.fan_out.history import NO_RECEIPT, Receipt, first_receipt_at, received_on
from processors.japan import first_ms_of
from streams.contract import State

#: Entries of the agenda that are worked off at once.
PORTION: Final = 200

_KEY: Final = "day"


def agenda_key(day: date, person: str, entity: str) -> str:
    """Return the key of an entry of the agenda."""
    return f"{day.isoformat()}/{person}/{entity}"


def person_of(agenda_key: str) -> str:
    """Return the person of an entry of the agenda."""
    return agenda_key.split("/")[1]


class PartitionClock:
    """The day of one partition; `flush` stores it."""

    def __init__(self, state: State) -> None:
        self._store, self._agenda, self._sealed = state["clock"], state["agenda"], state["sealed"]
        stored = self._store.get_many([_KEY]).get(_KEY)
        self.day: date = stored["day"] if stored else date.min
        self._is_catching_up: bool = bool(stored and stored["is_catching_up"])
        #: Key of store `sealed` after which to look for what is due on this day; None if all of it was looked at.
        self._sealed_after: str | None = stored["sealed_after"] if stored else None
        self._stored = self._content()
        self._next_day = self._first_receipt_after(self.day)
        #: Whether anything may be due that wasn't before: what is put on the agenda is for later days.
        self._must_look = False

    def receive(self, receipt: Receipt) -> None:
        """Take note of the receipt of a record: it may begin a day."""
        if receipt >= self._next_day:  # Receipts sort by time.
            self.begin(received_on(receipt))

    def begin(self, day: date) -> None:
        """Begin a day, if it isn't one that has begun before."""
        if day > self.day:
            self.day, self._next_day, self._must_look = day, self._first_receipt_after(day), True
            self._sealed_after = ""

    def must_continue(self) -> bool:
        """Return whether something is due and no record to go on with it is on its way; from now on one is."""
        if not self._must_look or self._is_catching_up:
            return False
        self._must_look = False
        self._is_catching_up = self._has_sealed_left() or bool(self._agenda.first_keys(str(self.day), 1))
        return self._is_catching_up

    def _has_sealed_left(self) -> bool:
        """Return whether persons of the high level are still to be looked at on this day.

        They have no agenda: a day in clear could say whom it is about, such as by a birthday.
        """
        if self._sealed_after is not None and not self._sealed.keys_after(self._sealed_after, 1):
            self._sealed_after = None
        return self._sealed_after is not None

    def next_sealed_portion(self) -> list[str]:
        """Return the keys of the next persons of the high level, whether anything is due of them or not."""
        if self._sealed_after is None:
            return []
        keys = self._sealed.keys_after(self._sealed_after, PORTION)
        self._sealed_after = keys[-1] if keys else None
        return keys

    def next_portion(self) -> list[str]:
        """Return the persons of whom something is due, each once. The record that asks for them has arrived."""
        self._is_catching_up, self._must_look = False, True
        keys = self._agenda.first_keys(str(self.day), PORTION)
        return list(dict.fromkeys(person_of(key) for key in keys))

    def take_off(self, person: str) -> None:
        """Remove what is due of a person from the agenda."""
        for key in self._agenda.first_keys(str(self.day), PORTION):
            if person_of(key) == person:
                self._agenda.delete(key)

    def flush(self) -> None:
        """Store the day if it has changed."""
        if self._content() != self._stored:
            self._store.put(_KEY, self._content())

    def _content(self) -> dict[str, Any]:
        return {
            "day": self.day,
            "is_catching_up": self._is_catching_up,
            "sealed_after": self._sealed_after,
        }

    @staticmethod
    def _first_receipt_after(day: date) -> Receipt:
        """Return a receipt before all of the following day; one before all if no day has begun."""
        return NO_RECEIPT if day == date.min else first_receipt_at(first_ms_of(day + timedelta(days=1)))
