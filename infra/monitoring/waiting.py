"""`mesh wait --idle`: until all that was accepted is applied everywhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice

from confluent_kafka.admin import AdminClient

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import OperatorError
from infra.local.kafka_server import ADMIN
from infra.monitoring.groups import GroupMembers, groups
from infra.monitoring.stages import MeshInspector, StageLag
from infra.run.supervisor import supervised
from schemas.topics import group

POLL_S = 0.1
#: How long a step that has something before it may be without any worker: one that was killed comes back.
ABSENT_TIMEOUT_S = 40.0

#: Told what is still on its way, each time it was looked at.
Progress = Callable[[list[StageLag]], None]


def wait_idle(
    environment: Environment,
    installation: Installation,
    progress: Progress = lambda stages: None,
    timeout_s: float = 600.0,
    first: int | None = None,
) -> None:
    """Return when everything accepted is applied everywhere, receipts are relayed and converted, the tracker knows.

    The tracker counts where one runs. With `first`, only so many of the first stages (intake, household, fan-out).
    OperatorError (code 1) where that isn't so after `timeout_s`, with what is still on its way, and where a step has
    something before it and no worker.
    """
    admin = AdminClient({**environment.kafka(ADMIN), "log_level": "2"})
    deadline = time.monotonic() + timeout_s
    absent: dict[str, float] = {}
    with MeshInspector(environment, installation) as look:
        while True:
            left = [
                stage
                for stage in islice(look.stages(_has_tracker(admin, installation)), first)
                if stage.remaining
            ]
            progress(left)
            if not left:
                return
            _hold_present(admin, left, absent)
            if time.monotonic() > deadline:
                raise OperatorError(f"not idle after {timeout_s:.0f} s: {described(left)}", code=1)
            time.sleep(POLL_S)


def described(left: list[StageLag]) -> str:
    """What is still on its way, in words."""
    return ", ".join(f"{stage.remaining} before {stage.step}" for stage in left) or "nothing"


def _has_tracker(admin: AdminClient, installation: Installation) -> bool:
    """One that is about to be started again counts too."""
    found = supervised(installation)
    if found and any(worker.step == "tracker" for worker in found.workers):
        return True
    name = group("tracker")
    return bool(groups(admin, [name])[name].members)


def _hold_present(admin: AdminClient, left: list[StageLag], absent: dict[str, float]) -> None:
    """A step with something before it must have a worker, or nothing will ever move."""
    found = groups(admin, {group(stage.step) for stage in left})
    now = time.monotonic()
    for stage in left:
        if found.get(group(stage.step), GroupMembers(stable=False, members={})).members:
            absent.pop(stage.step, None)
        elif now - absent.setdefault(stage.step, now) > ABSENT_TIMEOUT_S:
            what = f"{stage.remaining} records wait before {stage.step}"
            raise OperatorError(f"{what}, and no worker of it runs: mesh run {stage.step}", code=1)
