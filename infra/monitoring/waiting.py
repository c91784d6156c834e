"""Waiting until the mesh is idle: everything accepted is applied in every store (`mesh wait --idle`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice

from confluent_kafka.admin import AdminClient

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import OperatorError
from infra.local.kafka_server import ADMIN
from infra.monitoring.groups import GroupMembers, describe_groups
from infra.monitoring.stages import MeshInspector, StageLag
from infra.run.supervisor import running_supervisor
from schemas.topics import group

POLL_S = 0.1
#: How long a step with input may have no worker: a killed worker is restarted within this time.
NO_WORKER_TIMEOUT_S = 40.0

#: Called after each inspection with the steps that have unprocessed input.
Progress = Callable[[list[StageLag]], None]


def wait_idle(
    environment: Environment,
    installation: Installation,
    progress: Progress = lambda stages: None,
    timeout_s: float = 600.0,
    first: int | None = None,
) -> None:
    """Return when everything accepted is applied in every store and every receipt is converted and tracked.

    The tracker counts only if one runs. With `first`, only so many of the first steps count (intake, household,
    fan-out). Raise OperatorError (code 1) with what is left after `timeout_s`, or where a step has input and no worker.
    """
    admin = AdminClient({**environment.kafka(ADMIN), "log_level": "2"})
    deadline = time.monotonic() + timeout_s
    without_worker_since: dict[str, float] = {}
    with MeshInspector(environment, installation) as inspector:
        while True:
            stages = islice(inspector.stages(_has_tracker(admin, installation)), first)
            lags = [stage for stage in stages if stage.remaining]
            progress(lags)
            if not lags:
                return
            _require_workers(admin, lags, without_worker_since)
            if time.monotonic() > deadline:
                raise OperatorError(f"not idle after {timeout_s:.0f} s: {describe_lags(lags)}", code=1)
            time.sleep(POLL_S)


def describe_lags(lags: list[StageLag]) -> str:
    """Return what is left as text, such as "3 before intake"."""
    return ", ".join(f"{stage.remaining} before {stage.step}" for stage in lags) or "nothing"


def _has_tracker(admin: AdminClient, installation: Installation) -> bool:
    """Return whether a tracker runs, or is about to be restarted by a supervisor here."""
    supervisor = running_supervisor(installation)
    if supervisor and any(worker.step == "tracker" for worker in supervisor.workers):
        return True
    name = group("tracker")
    return bool(describe_groups(admin, [name])[name].members)


def _require_workers(
    admin: AdminClient, lags: list[StageLag], without_worker_since: dict[str, float]
) -> None:
    """Raise OperatorError where a step with input has had no worker for NO_WORKER_TIMEOUT_S.

    `without_worker_since` has the time of each such step's first inspection without a worker, and is updated.
    """
    by_group = describe_groups(admin, {group(stage.step) for stage in lags})
    now = time.monotonic()
    for stage in lags:
        if by_group.get(group(stage.step), GroupMembers(stable=False, members={})).members:
            without_worker_since.pop(stage.step, None)
        elif now - without_worker_since.setdefault(stage.step, now) > NO_WORKER_TIMEOUT_S:
            raise OperatorError(
                f"{stage.remaining} records wait before {stage.step}, which has no worker: mesh run {stage.step}",
                code=1,
            )
