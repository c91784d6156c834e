"""The stages of a replay, in their order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from infra.apply.installation import Installation
from infra.apply.reconcile import apply
from infra.environment import Environment
from infra.local.kafka_server import AUDITOR
from infra.monitoring.stages import StageLag
from infra.monitoring.waiting import wait_idle
from infra.replay.reset import delete_derived
from infra.run import background
from infra.run.background import start_workers
from infra.run.group_leave import leave_groups
from infra.run.supervisor import supervised
from infra.store_contents import digest

#: Up to fan-out nothing leaves the mesh; these run to their end before anything is converted for a domain.
BEFORE_CONVERSION = ("intake", "household", "fan-out")

#: Told what is being done, and what is still on its way.
Progress = Callable[[str, list[StageLag]], None]


@dataclass(frozen=True)
class ReplayResult:
    """Digests of `person` and `portal.notice` of all domains, before and after (`infra.store_contents.digest`).

    `idle`: whether all was applied before it began; only then must the two be equal.
    """

    before: str
    after: str
    idle: bool
    topics: int


def replay(
    environment: Environment,
    installation: Installation,
    progress: Progress = lambda what, left: None,
    timeout_s: float = 3600.0,
) -> ReplayResult:
    """Forget all that was derived, and derive it again from the `in.` topics. Workers that run here are stopped.

    Afterwards workers run as before, or none where none did. Whatever interrupts it: begun again, it does the whole.
    OperatorError where a stage takes longer than `timeout_s`.
    """
    progress("stopping workers", [])
    stopped = supervised(installation)
    if stopped is not None:
        wait_idle(
            environment,
            installation,
            lambda left: progress("waiting for what is on its way", left),
            timeout_s,
        )
    background.stop(installation)
    leave_groups(environment, stopped.slots if stopped else ())
    before = digest(environment.dsn(AUDITOR))
    progress("forgetting stores, topics and groups", [])
    topics = delete_derived(environment, installation)
    apply(environment, installation)
    workers = max((slot.number for slot in stopped.slots), default=0) + 1 if stopped else 1
    run = _Run(environment, installation, workers, progress, timeout_s)
    run.stage(BEFORE_CONVERSION)
    run.stage(())
    after = digest(environment.dsn(AUDITOR))
    if stopped is None:
        background.stop(installation)
    return ReplayResult(before, after, stopped is not None, topics)


@dataclass(frozen=True)
class _Run:
    """How stages are run."""

    environment: Environment
    installation: Installation
    workers: int
    progress: Progress
    timeout_s: float

    def stage(self, steps: tuple[str, ...]) -> None:
        """Run these steps (all, where none is named) until nothing is left before them."""
        name = ", ".join(steps) or "all steps"
        background.stop(self.installation)
        start_workers(self.environment, self.installation, self.workers, steps)
        told = partial(self.progress, name)
        wait_idle(self.environment, self.installation, told, self.timeout_s, len(steps) or None)
