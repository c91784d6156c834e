"""The result of the demo as data; `cli.py` prints it as a table, `page.py` as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from infra.verification.reference import Difference


@dataclass(frozen=True)
class Latency:
    """Seconds from publish to store of the changes of one phase."""

    phase: str
    changes: int
    median_s: float
    p99_s: float


@dataclass(frozen=True)
class DomainFigures:
    """Figures of one domain: changes, rows by status (messages by reason if it has no persons), disclosures."""

    domain: str
    japanese: str
    changes: int
    rows: Mapping[str, int]
    disclosures: int


@dataclass(frozen=True)
class Phase:
    """A part of the run and its duration."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Report:
    """The result of a run. `differences` are those between the stores and the reference model.

    `compared_readings` counts the rows of declared readings by table, `events_without_effect` the events of declared
    entities that have none.
    """

    residents: int
    submitted: int
    accepted: Mapping[str, int]
    rejected: Mapping[str, int]
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
    compared_readings: Mapping[str, int] = field(default_factory=dict)
    events_without_effect: int = 0
    inputs: Sequence[str] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether stores and model agree, no record is a dead letter, and every case is complete or waits."""
        return not self.differences and not self.dead_letters and set(self.cases) <= {"complete", "waiting"}
