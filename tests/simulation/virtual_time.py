"""Time that passes only when told to; what is due is done on the way."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush


class VirtualTime:
    """Seconds; begins at some hour."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = 0

    def at(self, when_s: float, do: Callable[[], None]) -> None:
        """Has something done when it is that late; in the order in which it was asked for, where at the same time."""
        self._numbers += 1
        heappush(self._due, (when_s, self._numbers, do))

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Has something done so many seconds from now."""
        self.at(self.now_s + seconds, do)

    @property
    def next_s(self) -> float | None:
        """When the next thing is due; None where nothing is."""
        return self._due[0][0] if self._due else None

    def pass_to(self, when_s: float) -> None:
        """Lets time pass, never back."""
        while self._due and self._due[0][0] <= when_s:
            due_s, _, do = heappop(self._due)
            self.now_s = max(self.now_s, due_s)
            do()
        self.now_s = max(self.now_s, when_s)
