"""The digest of each partition's state, computed from the changelogs, to compare with the digest that workers log.

A worker logs the digest of a partition with every commit (`batch.committed`) and after every restore
(`state.restored`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from infra.apply.installation import Installation
from infra.coding import codec
from infra.environment import Environment
from infra.errors import OperatorError
from infra.run.topology import build_step
from infra.triage.records import read_messages
from streams.decoding import partition_of
from streams.settings import PipelineSettings
from streams.step import Step
from streams.task import StreamTask

#: Steps with state stores in changelogs. (The tracker keeps its own table.)
STATEFUL: Final = ("household", "fan-out")


@dataclass(frozen=True)
class StateSummary:
    """The state of one partition of a step: number of entries, size in bytes, digest."""

    step: str
    partition: int
    entries: int
    bytes: int
    digest: str


def state_summaries(
    environment: Environment, installation: Installation, steps: Sequence[str] = ()
) -> Iterator[StateSummary]:
    """Yield a summary of the committed state of each partition that has any, step by step, from the changelogs alone.

    Needs the memory of one step's complete state. Raise OperatorError for a stateless step, or where a broker doesn't
    answer.
    """
    for name in steps or STATEFUL:
        if name not in STATEFUL:
            raise OperatorError(f"{name} has no state; steps with state: {', '.join(STATEFUL)}")
        tasks = _tasks(environment, installation, build_step(name, installation))
        for number, task in sorted(tasks.items()):
            # A changelog with barrier tokens only (`streams.barrier`) has no state.
            if task.entries:
                yield StateSummary(name, number, task.entries, task.size_bytes, task.digest)


def _tasks(environment: Environment, installation: Installation, step: Step) -> dict[int, StreamTask]:
    """Return a step's tasks by partition number, restored from their changelogs."""
    shared_codec, limit = codec(environment, installation), PipelineSettings().record_bytes_max

    def task(number: int) -> StreamTask:
        return StreamTask.create(step, (step.inputs[0], number), shared_codec, limit)

    tasks: dict[int, StreamTask] = {}
    for message in read_messages(environment, task(0).changelogs(step.name)):
        topic, number = partition_of(message)
        if number not in tasks:
            tasks[number] = task(number)
        entry = (message.key() or b"").decode(), message.value()
        tasks[number].changelogs(step.name)[topic].restore([entry])
    return tasks
