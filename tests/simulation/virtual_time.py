"""Virtual time, and the interface by which a process's clients let it pass."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol, TypeVar

T = TypeVar("T")


class VirtualTime:
    """Seconds that advance only on request; due callbacks run on the way. Starts at an arbitrary 1,000 s."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = 0

    def at(self, when_s: float, callback: Callable[[], None]) -> None:
        """Schedule a callback for a moment; callbacks of the same moment run in the order of scheduling."""
        self._numbers += 1
        heappush(self._due, (when_s, self._numbers, callback))

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Schedule a callback relative to now."""
        self.at(self.now_s + seconds, callback)

    @property
    def next_s(self) -> float | None:
        """The moment of the next callback, or None if none is scheduled."""
        return self._due[0][0] if self._due else None

    def pass_to(self, when_s: float) -> None:
        """Advance to a moment and run what is due until then. Time never goes back."""
        while self._due and self._due[0][0] <= when_s:
            due_s, _, callback = heappop(self._due)
            self.now_s = max(self.now_s, due_s)
            callback()
        self.now_s = max(self.now_s, when_s)


class Host(Protocol):
    """A process as its simulated clients see it. Every request goes through `request`, where faults are injected.

    `polled_version` is the log's version when its group member last returned records.
    """

    polled_version: int

    def is_responsive(self) -> bool:
        """Return whether the background threads of its clients answer the brokers."""

    def request(self, call: str, send: Callable[[], T], timeout_s: float = 0.0) -> T:
        """Return the answer of a broker or server, or the effect of an injected fault."""

    def wait(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Let time pass until the condition holds; return False after the timeout."""

    def let_others_run(self, seconds: float) -> None:
        """Let all other processes run for that long."""

    def fetch_size(self) -> int:
        """Return how many records the next fetch returns at most."""
