"""Which workers there are: a step, and a slot of it; each is a process of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from infra.errors import OperatorError
from schemas.systems import DOMAINS
from schemas.topics import group, sink_step

#: Steps by name as they are run; `sink` is the sinks of all domains.
RUN_STEPS: Final = ("intake", "household", "fan-out", "conversion", "sink", "tracker")
#: Slots of the step that is for looking on: it needs one.
SINGLE: Final = frozenset({"tracker"})
WORKERS_MAX: Final = 32


@dataclass(frozen=True, order=True)
class Slot:
    """One worker: its step (`sink` or `sink.<domain>` for sinks) and its number."""

    step: str
    number: int

    @property
    def name(self) -> str:
        """As in logs and lists."""
        return f"{self.step}.{self.number}"


def slots(steps: Sequence[str], workers: int) -> list[Slot]:
    """The slots of these steps, of all where none is named. OperatorError for an unknown step or number."""
    known = (*RUN_STEPS, *map(sink_step, DOMAINS))
    unknown = [step for step in steps if step not in known]
    if unknown:
        raise OperatorError(f"no step {', '.join(unknown)}; there are: {', '.join(known)}")
    if not 1 <= workers <= WORKERS_MAX:
        raise OperatorError(f"--workers is 1 to {WORKERS_MAX}")
    chosen = dict.fromkeys(steps or RUN_STEPS)
    return [Slot(step, n) for step in chosen for n in range(1 if step in SINGLE else workers)]


def steps_of(name: str) -> list[str]:
    """The steps of a worker's process, by the names of topics, users and groups: `sink` is every domain's."""
    return [sink_step(domain) for domain in DOMAINS] if name == "sink" else [name]


def groups_of(chosen: Iterable[Slot]) -> list[str]:
    """The consumer groups of these slots."""
    return list(dict.fromkeys(group(step) for slot in chosen for step in steps_of(slot.step)))
