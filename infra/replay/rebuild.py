"""The stages of a replay, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from infra.apply.checks import check
from infra.apply.installation import Installation
from infra.apply.reconcile import apply, declared_topics
from infra.environment import Environment
from infra.local.kafka_server import AUDITOR
from infra.monitoring.blockages import BlockedError
from infra.monitoring.stages import StageLag
from infra.monitoring.waiting import wait_idle
from infra.replay.reset import delete_derived, derived_topics
from infra.run import background
from infra.run.background import start_workers
from infra.run.group_leave import leave_groups
from infra.run.slots import RUN_STEPS
from infra.run.supervisor import running_supervisor
from infra.store_contents import digest
from schemas.systems import CLOCK

#: These steps publish nothing outside the mesh. They run to the end of their input before conversion starts.
BEFORE_CONVERSION = ("intake", "household", "fan-out")

#: Called with the current stage and the steps that have unprocessed input.
Progress = Callable[[str, list[StageLag]], None]


@dataclass(frozen=True)
class ReplayResult:
    """Digests of all domains' rows before and after (`infra.store_contents.digest`), and the number of topics.

    `idle` is whether the mesh was idle before; only then must the two digests be equal.
    """

    before: str
    after: str
    idle: bool
    topics: int


def replay(
    environment: Environment,
    installation: Installation,
    progress: Progress = lambda stage, lags: None,
    timeout_s: float = 3600.0,
) -> ReplayResult:
    """Delete everything derived and derive it again from the input topics; stop the workers of this installation.

    Afterwards the same workers run as before, or none. An interrupted replay can be started again and then does
    everything. Raise OperatorError where a stage takes longer than `timeout_s`, and as `apply` does, before anything is
    deleted, where the declarations can't be applied.
    """
    check(environment, installation, declared_topics(installation), derived_topics(installation))
    progress("stopping workers", [])
    stopped = running_supervisor(installation)
    idle = stopped is not None
    if stopped is not None:
        try:
            wait_idle(environment, installation, partial(progress, "waiting until idle"), timeout_s)
        except BlockedError:
            # A replay is what mends this: it derives again what a worker can't process.
            idle = False
    background.stop(installation)
    leave_groups(environment, stopped.slots if stopped else ())
    before = digest(environment.dsn(AUDITOR))
    progress("deleting stores, topics and groups", [])
    topics = delete_derived(environment, installation)
    apply(environment, installation)
    workers = max((slot.number for slot in stopped.slots), default=0) + 1 if stopped else 1
    stages = _Stages(environment, installation, workers, progress, timeout_s)
    stages.run(BEFORE_CONVERSION, first=len(BEFORE_CONVERSION))
    # Without the clock: a day that begins meanwhile would change rows, and the stores would differ by it.
    stages.run(tuple(step for step in RUN_STEPS if step != CLOCK))
    after = digest(environment.dsn(AUDITOR))
    background.stop(installation)
    if stopped is not None:
        start_workers(
            environment, installation, workers, tuple(dict.fromkeys(slot.step for slot in stopped.slots))
        )
    return ReplayResult(before, after, idle, topics)


@dataclass(frozen=True)
class _Stages:
    """Runs the stages of a replay, each with `workers` workers per step."""

    environment: Environment
    installation: Installation
    workers: int
    progress: Progress
    timeout_s: float

    def run(self, steps: tuple[str, ...], first: int | None = None) -> None:
        """Run these steps until the input of the `first` stages is processed, of all stages if it is None."""
        name = ", ".join(steps) if first is not None else "all steps"
        background.stop(self.installation)
        start_workers(self.environment, self.installation, self.workers, steps)
        show = partial(self.progress, name)
        wait_idle(self.environment, self.installation, show, self.timeout_s, first)
