"""The workers that can run: each is a step and a slot number, and has a process of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from infra.errors import OperatorError
from schemas.systems import CLOCK, DOMAINS
from schemas.topics import group, sink_step

#: Names of steps that can be run; `sink` is the sinks of all domains, and the clock is no step but runs like one.
RUN_STEPS: Final = ("intake", "household", "fan-out", "conversion", "sink", "tracker", CLOCK)
#: Steps with one slot only, and without keys: the tracker serves reads, the clock submits each day once.
SINGLE: Final = frozenset({"tracker", CLOCK})
WORKERS_MAX: Final = 32


@dataclass(frozen=True, order=True)
class Slot:
    """One worker: its step (`sink` or `sink.<domain>` for sinks) and its number."""

    step: str
    number: int

    @property
    def name(self) -> str:
        """The name in logs and lists, such as `intake.0`."""
        return f"{self.step}.{self.number}"


def slots(steps: Sequence[str], workers: int) -> list[Slot]:
    """Return the slots of these steps, or of all if none is named, with `workers` slots each.

    Raise OperatorError for an unknown step or an invalid number.
    """
    known = (*RUN_STEPS, *map(sink_step, DOMAINS))
    unknown = [step for step in steps if step not in known]
    if unknown:
        raise OperatorError(f"no step {', '.join(unknown)}; there are: {', '.join(known)}")
    if not 1 <= workers <= WORKERS_MAX:
        raise OperatorError(f"--workers is {workers}; it must be 1 to {WORKERS_MAX}")
    selected = dict.fromkeys(steps or RUN_STEPS)
    return [Slot(step, n) for step in selected for n in range(1 if step in SINGLE else workers)]


def steps_of(name: str) -> list[str]:
    """Return the steps of a worker's process as topics, users and groups name them: `sink` is every domain's sink."""
    return [sink_step(domain) for domain in DOMAINS] if name == "sink" else [name]


def reading_steps_of(name: str) -> list[str]:
    """Return those steps of a worker's process that are in a consumer group: the clock reads nothing."""
    return [step for step in steps_of(name) if step != CLOCK]


def groups_of(slots: Iterable[Slot]) -> list[str]:
    """Return the consumer groups of these slots."""
    return list(dict.fromkeys(group(step) for slot in slots for step in reading_steps_of(slot.step)))
