"""What the simulated clients need of the process that they are in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Host(Protocol):
    """A process of the simulation: each request of its clients goes through `request`, where faults strike."""

    def heard(self) -> bool:
        """Whether its clients answer the brokers by themselves."""

    def request(self, call: str, do: Callable[[], T], timeout_s: float = 0.0) -> T:
        """What a broker or server answers, or what a fault makes of it."""

    def wait(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Lets time pass until that is so; False after the time-out."""

    def meanwhile(self, seconds: float) -> None:
        """All others go on for so long."""

    def most(self) -> int:
        """How many records the next fetch brings, at most."""
