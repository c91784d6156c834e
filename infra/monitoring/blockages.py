"""Why waiting would not help: an offset beyond the end of a log, workers that were given up, a step without worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from confluent_kafka.admin import AdminClient

from infra.apply.installation import Installation
from infra.errors import OperatorError
from infra.monitoring.groups import GroupMembers, describe_groups
from infra.monitoring.stages import StageLag
from infra.run.given_up import GivenUpWorker, given_up_workers
from infra.run.slots import steps_of
from infra.run.supervisor import RunningSupervisor, running_supervisor
from schemas.topics import group, transactional_id

#: How long a step with input may have no worker: a killed worker is restarted within this time.
NO_WORKER_TIMEOUT_S: Final = 40.0
#: How long an offset must lie beyond the end of the log: until then a broker that has just lost its role may answer.
BEYOND_END_TIMEOUT_S: Final = 10.0


class BlockedError(OperatorError):
    """The mesh can't become idle before an operator acts; the text names the worker, and says what to do."""

    def __init__(self, text: str) -> None:
        super().__init__(text, code=1)


class BlockageDetector:
    """Finds blockages in repeated inspections, on Kafka's groups and the supervisor of this installation."""

    def __init__(
        self, admin: AdminClient, installation: Installation, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._admin, self._installation, self._clock = admin, installation, clock
        #: Kind and stage of each blockage that may pass by itself, and the time at which it was first seen.
        self._since: dict[tuple[str, int], float] = {}

    def check(self, stages: Sequence[StageLag]) -> None:
        """Raise BlockedError where the stages, all that count in one inspection, can't become empty."""
        running = running_supervisor(self._installation)
        given_up = given_up_workers(self._installation, running)
        inspected = {stage.step for stage in stages}
        stuck = [worker for worker in given_up if worker.step in inspected]
        waiting = {stage.step for stage in stages if stage.remaining}
        names = {group(step) for step in waiting | {worker.step for worker in stuck}}
        members = describe_groups(self._admin, names)
        for number, stage in enumerate(stages):
            of_step = [worker for worker in stuck if worker.step == stage.step]
            self._check_offsets(number, stage, of_step)
        for step in dict.fromkeys(worker.step for worker in stuck):
            _check_given_up(step, stuck, running, members)
        for number, stage in enumerate(stages):
            self._check_worker(number, stage, members)

    def _check_offsets(self, number: int, stage: StageLag, given_up: Sequence[GivenUpWorker]) -> None:
        """Raise BlockedError for an offset beyond the end of its log: at once if its worker was given up."""
        lasted = self._lasts("offset", number, bool(stage.beyond_end), BEYOND_END_TIMEOUT_S)
        if not stage.beyond_end or not (lasted or given_up):
            return
        (topic, partition), lag = next(iter(stage.beyond_end.items()))
        place = "store" if stage.step.startswith("sink.") else "group"
        worker = f"{given_up[0]} was given up" if given_up else f"{stage.step} can't continue"
        raise BlockedError(
            f"{worker}: the offset {lag.committed} in its {place} lies beyond the end {lag.end} of {topic}/{partition}"
            f"{_more(len(stage.beyond_end) - 1)}, so the log lost records or was created again; "
            "restore the topic, or run `mesh replay --yes`"
        )

    def _check_worker(self, number: int, stage: StageLag, members: Mapping[str, GroupMembers]) -> None:
        """Raise BlockedError where a step with input has had no worker for NO_WORKER_TIMEOUT_S."""
        has_none = bool(stage.remaining) and not members[group(stage.step)].members
        if self._lasts("worker", number, has_none, NO_WORKER_TIMEOUT_S):
            raise BlockedError(
                f"{stage.remaining} records wait before {stage.step}, which has no worker: mesh run {stage.step}"
            )

    def _lasts(self, kind: str, stage: int, is_seen: bool, limit_s: float) -> bool:
        """Return whether a blockage has been seen in every inspection for longer than `limit_s`."""
        if not is_seen:
            self._since.pop((kind, stage), None)
            return False
        now = self._clock()
        return now - self._since.setdefault((kind, stage), now) > limit_s


def _check_given_up(
    step: str,
    given_up: Sequence[GivenUpWorker],
    running: RunningSupervisor | None,
    members: Mapping[str, GroupMembers],
) -> None:
    """Raise BlockedError where the workers of a step that were given up have left no other, here or elsewhere."""
    of_step = [worker for worker in given_up if worker.step == step]
    slots_here = (
        {worker.slot for worker in running.workers if step in steps_of(worker.step)} if running else set()
    )
    # A static member stays in its group for a while after its worker has ended.
    ended = {transactional_id(step, worker.slot) for worker in of_step}
    if slots_here <= {worker.slot for worker in of_step} and members[group(step)].members.keys() <= ended:
        raise BlockedError(
            f"{of_step[0]} was given up{_more(len(of_step) - 1)}, and {step} has no other worker; "
            "its log says why: see `mesh status`"
        )


def _more(count: int) -> str:
    return f" (and {count} more)" if count else ""
