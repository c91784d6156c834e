"""The order of effect of one person's notices, from all the municipalities that listed any."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from infra.verification.reference.notice import LEAVING, NEW, Facts, Notice


@dataclass(frozen=True)
class Entry:
    """What one notice gives for one person, and its place in its municipality's list."""

    place: int
    notice: Notice
    facts: Facts

    @property
    def position(self) -> tuple[str, str, int]:
        """By day, and as listed within a municipality."""
        return self.notice.effective_on, self.notice.municipality, self.place


@dataclass
class Whereabouts:
    """Where the person is registered, and what was left last: what orders the notices of one day."""

    registered: set[str] = field(default_factory=set)
    left: str | None = None

    def follow(self, notice: Notice) -> None:
        """The person is where `notice` leaves them."""
        if notice.reason in NEW:
            self.registered.add(notice.municipality)
        elif notice.reason in LEAVING:
            self.registered.discard(notice.municipality)
            self.left = notice.municipality

    def rank(self, notice: Notice) -> int:
        """How soon `notice` may come among the municipalities' next ones of the day; the lowest first."""
        if notice.reason in ("出生", "初期登録"):
            return 0
        if notice.reason not in NEW:
            return 1 if notice.municipality in self.registered else 4
        if notice.reason == "国外転入":
            return 4 if self.registered else 3
        return 2 if notice.moved_from == self.left and notice.moved_from not in self.registered else 4

    def waits(self, notice: Notice, queues: Mapping[str, Iterable[Entry]]) -> bool:
        """Whether the move out that leads to this move in is still to come on the same day."""
        if notice.reason != "転入" or self.rank(notice) < 4:
            return False
        return any(entry.notice.reason == "転出" for entry in queues.get(notice.moved_from, ()))


def in_order_of_effect(entries: Iterable[Entry]) -> Iterator[Entry]:
    """By day; within a day as listed by each municipality, and from one to the next as the person went."""
    where = Whereabouts()
    ordered = sorted(entries, key=lambda entry: entry.position)
    for _, of_day in groupby(ordered, key=lambda entry: entry.notice.effective_on):
        queues: dict[str, deque[Entry]] = {}
        for entry in of_day:
            queues.setdefault(entry.notice.municipality, deque()).append(entry)
        while queues:
            heads = {at: queue[0].notice for at, queue in queues.items()}
            nearest = min(heads, key=lambda at: (where.rank(heads[at]), where.waits(heads[at], queues), at))
            entry = queues[nearest].popleft()
            if not queues[nearest]:
                del queues[nearest]
            where.follow(entry.notice)
            yield entry
