"""The day of a partition, and the agenda: what changes by itself when a day comes.

A partition's day is the greatest one that has begun, or on which one of its records was received, in Japan's time. So a
replay, which may read the submissions before the days, publishes nothing ahead of its day. What is due is worked off
in portions: fan-out writes a record to its own input partition to go on, so that other records are not held up.

The agenda has the days until the end of the following year: most days are decades away, such as that of an age, and
would double the entries of the state. Once a year has begun, fan-out looks at all persons, in portions too, and puts
the days of the next one on the agenda. They have the whole year for it.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Final

from processors.fan_out.history import NO_RECEIPT, Receipt, first_receipt_at, received_on
from processors.japan import first_ms_of
from streams.contract import State

#: Entries of the agenda that are worked off at once, and persons who are looked at for the days of the next year.
PORTION: Final = 200

_KEY: Final = "day"


def agenda_key(day: date, person: str, entity: str) -> str:
    """Return the key of an entry of the agenda."""
    return f"{day.isoformat()}/{person}/{entity}"


def person_of(agenda_key: str) -> str:
    """Return the person of an entry of the agenda."""
    return agenda_key.split("/")[1]


def agenda_end(day: date) -> date:
    """Return the last day that is put on the agenda on a day: that of the following year."""
    return date(day.year + 1, 12, 31)


class PartitionClock:
    """The day of one partition; `flush` stores it."""

    def __init__(self, state: State) -> None:
        self._store, self._agenda, self._sealed = state["clock"], state["agenda"], state["sealed"]
        self._persons = state["persons"]
        stored = self._store.get_many([_KEY]).get(_KEY)
        self.day: date = stored["day"] if stored else date.min
        self._is_catching_up: bool = bool(stored and stored["is_catching_up"])
        #: Key of store `sealed` after which to look for what is due on this day; None if all of it was looked at.
        self._sealed_after: str | None = stored["sealed_after"] if stored else None
        #: Last day that is put on the agenda when it is planned.
        self.agenda_until = agenda_end(self.day)
        #: Until this day the agenda has the days of everybody.
        self._complete_until: date = (stored and stored["complete_until"]) or self.agenda_until
        #: Key of store `persons` after which to go on with the next year; None if nobody is left.
        self._filled_after: str | None = stored["filled_after"] if stored else None
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
            is_first = self.day == date.min
            self.day, self._next_day, self._must_look = day, self._first_receipt_after(day), True
            self._sealed_after = ""
            self.agenda_until = agenda_end(day)
            if is_first:
                self._complete_until = self.agenda_until  # Nothing is planned before the first day.
            elif self.agenda_until > self._complete_until:
                self._filled_after = ""

    def must_continue(self) -> bool:
        """Return whether something is due and no record to go on with it is on its way; from now on one is."""
        if not self._must_look or self._is_catching_up:
            return False
        self._must_look = False
        self._is_catching_up = (
            self._filled_after is not None
            or self._has_sealed_left()
            or bool(self._agenda.first_keys(str(self.day), 1))
        )
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

    def next_to_plan(self) -> list[str]:
        """Return the next persons whose days of the next year are to be put on the agenda, if any."""
        if self._filled_after is None:
            return []
        persons = self._persons.keys_after(self._filled_after, PORTION)
        self._filled_after = persons[-1] if persons else None
        if not persons:
            self._complete_until = self.agenda_until
        return persons

    def is_to_plan(self, day: date | None) -> bool:
        """Return whether a day of one of these persons may not be on the agenda yet, but has to be."""
        return day is not None and self._complete_until < day <= self.agenda_until

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
            "complete_until": self._complete_until,
            "filled_after": self._filled_after,
        }

    @staticmethod
    def _first_receipt_after(day: date) -> Receipt:
        """Return a receipt before all of the following day; one before all if no day has begun."""
        return NO_RECEIPT if day == date.min else first_receipt_at(first_ms_of(day + timedelta(days=1)))
