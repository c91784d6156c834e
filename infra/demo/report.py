"""What the demo found, as data: a table for the terminal and a page are two views of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from infra.verification.reference import Difference


@dataclass(frozen=True)
class Latency:
    """Seconds from publish to store, of the changes of one phase."""

    phase: str
    changes: int
    median_s: float
    p99_s: float


@dataclass(frozen=True)
class DomainFigures:
    """One domain: changes it was told, rows in its store by status (the portal's by reason), disclosures recorded."""

    domain: str
    japanese: str
    changes: int
    rows: Mapping[str, int]
    disclosures: int


@dataclass(frozen=True)
class Phase:
    """A part of the run, and how long it took."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Report:
    """The whole run. `differences` are the stores' against the reference model: none where all is right."""

    residents: int
    handed_over: int
    accepted: Mapping[str, int]
    refused: Mapping[str, int]
    conflicts: int
    domains: Sequence[DomainFigures]
    latencies: Sequence[Latency]
    cases: Mapping[str, int]
    compared_rows: int
    compared_messages: int
    compared_accounts: int
    differences: Sequence[Difference]
    phases: Sequence[Phase]
    notices_per_s: float
    machine: str
    dead_letters: int = 0
    inputs: Sequence[str] = field(default=())

    @property
    def right(self) -> bool:
        """Whether every row is as it must be, and no case is left open."""
        return not self.differences and not self.dead_letters and set(self.cases) <= {"complete"}
