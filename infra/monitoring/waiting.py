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
from infra.monitoring.blockages import BlockageDetector
from infra.monitoring.groups import describe_groups
from infra.monitoring.stages import MeshInspector, StageLag
from infra.run.supervisor import running_supervisor
from schemas.topics import group

POLL_S = 0.1

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
    fan-out). Raise OperatorError (code 1) with what is left after `timeout_s`, and BlockedError where waiting would not
    help (`infra.monitoring.blockages`).
    """
    admin = AdminClient({**environment.kafka(ADMIN), "log_level": "2"})
    deadline = time.monotonic() + timeout_s
    blockages = BlockageDetector(admin, installation)
    with MeshInspector(environment, installation) as inspector:
        while True:
            stages = list(islice(inspector.stages(_has_tracker(admin, installation)), first))
            lags = [stage for stage in stages if stage.remaining or stage.beyond_end]
            progress(lags)
            blockages.check(stages)
            if not lags:
                return
            if time.monotonic() > deadline:
                raise OperatorError(f"not idle after {timeout_s:.0f} s: {describe_lags(lags)}", code=1)
            time.sleep(POLL_S)


def describe_lags(lags: list[StageLag]) -> str:
    """Return what is left as text, such as "3 before intake"."""
    return ", ".join(map(_describe, lags)) or "nothing"


def _describe(stage: StageLag) -> str:
    beyond = " (an offset lies beyond the end of the log)" if stage.beyond_end else ""
    return f"{stage.remaining} before {stage.step}{beyond}"


def _has_tracker(admin: AdminClient, installation: Installation) -> bool:
    """Return whether a tracker runs, or is about to be restarted by a supervisor here."""
    supervisor = running_supervisor(installation)
    if supervisor and any(worker.step == "tracker" for worker in supervisor.workers):
        return True
    name = group("tracker")
    return bool(describe_groups(admin, [name])[name].members)
