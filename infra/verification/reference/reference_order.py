"""The order in which one person's notices take effect, across all municipalities that accepted any."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from infra.verification.reference.notice import ENTERING, LEAVING, Facts, Notice, Receipt


@dataclass(frozen=True)
class PersonalNotice:
    """A notice with its facts for one person, and its sequence number in its municipality's register.

    `taken_back` is when the cancellation of a move out or a death was received; such a notice ends no residence.
    """

    seq: int
    notice: Notice
    facts: Facts
    received: Receipt = ()
    taken_back: Receipt | None = None

    @property
    def leaves(self) -> bool:
        """Whether the person stops being a resident of its municipality."""
        return self.notice.reason in LEAVING and self.taken_back is None

    @property
    def protects(self) -> bool:
        """Whether it begins a protection measure, if none is in force."""
        reason = self.notice.reason
        return reason == "支援措置開始" or (reason == "出生" and self.facts.get("protected") is True)

    @property
    def effect_order(self) -> tuple[str, str, int]:
        """Sort key: by day, then by municipality, then by sequence number."""
        return self.notice.effective_on, self.notice.municipality, self.seq


@dataclass
class RegistrationState:
    """The municipalities where the person is registered, and the one left last. They order the notices of a day."""

    registered: set[str] = field(default_factory=set)
    left: str | None = None

    def apply(self, personal: PersonalNotice) -> None:
        """Update the state by the next notice."""
        notice = personal.notice
        if notice.reason in ENTERING:
            self.registered.add(notice.municipality)
        elif personal.leaves:
            self.registered.discard(notice.municipality)
            self.left = notice.municipality

    def rank(self, notice: Notice) -> int:
        """Return the precedence of `notice` among the municipalities' next notices of the day, 0 being the first."""
        if notice.reason in ("出生", "初期登録"):
            return 0
        if notice.reason not in ENTERING:
            return 1 if notice.municipality in self.registered else 4
        if notice.reason == "国外転入":
            return 4 if self.registered else 3
        return 2 if notice.moved_from == self.left and notice.moved_from not in self.registered else 4

    def awaits_move_out(self, notice: Notice, queues: Mapping[str, Iterable[PersonalNotice]]) -> bool:
        """Return whether `notice` is a move in whose move out is still in the queues of this day."""
        if notice.reason != "転入" or self.rank(notice) < 4:
            return False
        return any(
            other.notice.reason == "転出" and other.leaves for other in queues.get(notice.moved_from, ())
        )


def order_by_effect(notices: Iterable[PersonalNotice]) -> Iterator[PersonalNotice]:
    """Yield a person's notices by day.

    Within a day the order of each municipality's register is kept; between municipalities a move out comes before the
    move in that follows it.
    """
    state = RegistrationState()
    ordered = sorted(notices, key=lambda notice: notice.effect_order)
    for _, notices_of_day in groupby(ordered, key=lambda notice: notice.notice.effective_on):
        queues: dict[str, deque[PersonalNotice]] = {}
        for notice in notices_of_day:
            queues.setdefault(notice.notice.municipality, deque()).append(notice)
        while queues:
            heads = {municipality: queue[0].notice for municipality, queue in queues.items()}
            first = min(
                heads,
                key=lambda at: (state.rank(heads[at]), state.awaits_move_out(heads[at], queues), at),
            )
            notice = queues[first].popleft()
            if not queues[first]:
                del queues[first]
            state.apply(notice)
            yield notice
