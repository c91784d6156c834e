"""What the changelogs hold, by step and partition, with the digest that workers log: is what they have what is kept?

A worker logs a partition's digest with every commit and after every restoration (`batch.committed`, `state.restored`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from infra.apply.installation import Installation
from infra.codec import codec
from infra.environment import Environment
from infra.errors import OperatorError
from infra.run.topology import step
from infra.triage.records import messages
from streams.dead_letter_queue import DeadLetterQueue
from streams.decoding import partition_of
from streams.settings import PipelineSettings
from streams.state import PartitionState
from streams.step import Step
from streams.task import TaskState

#: Steps whose state is a pipeline's.
STATEFUL: Final = ("household", "fan-out")


@dataclass(frozen=True)
class StateSummary:
    """The state of one partition of a step: how many entries, of how many bytes, and their digest."""

    step: str
    partition: int
    entries: int
    bytes: int
    digest: str


def held(
    environment: Environment, installation: Installation, steps: Sequence[str] = ()
) -> Iterator[StateSummary]:
    """The state of each partition that has any, from the changelogs alone, as far as committed now; one step at a time.

    OperatorError: a step that keeps none, or a broker that doesn't answer. Takes the memory of a step's whole state.
    """
    for name in steps or STATEFUL:
        if name not in STATEFUL:
            raise OperatorError(f"{name} keeps no state; there are: {', '.join(STATEFUL)}")
        states = _states(environment, installation, step(name, installation))
        for number, kept in sorted(states.items()):
            # Marks (`streams.barrier`) alone are nothing that is kept.
            if kept.entries:
                yield StateSummary(name, number, kept.entries, kept.size_bytes, kept.digest)


def _states(environment: Environment, installation: Installation, of: Step) -> dict[int, TaskState]:
    shared, limit = codec(environment, installation), PipelineSettings().record_bytes_max

    def empty() -> TaskState:
        return TaskState(
            PartitionState(shared, of.stores, limit), DeadLetterQueue(shared, of.inputs[0], limit)
        )

    states: dict[int, TaskState] = {}
    for message in messages(environment, empty().changelogs(of.name)):
        topic, number = partition_of(message)
        if number not in states:
            states[number] = empty()
        entry = (message.key() or b"").decode(), message.value()
        states[number].changelogs(of.name)[topic].restore([entry])
    return states
