"""What `mesh status` tells: servers, and each worker that is supervised here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from confluent_kafka.admin import AdminClient

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import NoEnvironmentError, OperatorError
from infra.local.kafka_server import ADMIN
from infra.local.stack import ServerStatus, Stack
from infra.monitoring.groups import GroupMembers, groups, partitions_of
from infra.monitoring.stages import MeshInspector
from infra.run.slots import Slot, groups_of
from infra.run.supervisor import WorkerState, supervised
from streams.clients import Partition


@dataclass(frozen=True)
class WorkerStatus:
    """One worker. `partitions` as `topic/number`; `lag` the records left in them, None where no server tells."""

    step: str
    slot: int
    state: str
    pid: int | None
    restarts: int
    partitions: list[str]
    lag: int | None


@dataclass(frozen=True)
class MeshStatus:
    """Servers and workers."""

    servers: list[ServerStatus]
    workers: list[WorkerStatus]
    #: By step that has any: open dead letters, and records parked behind them. None where no server tells.
    aside: dict[str, tuple[int, int]] | None = None

    @property
    def well(self) -> bool:
        """Whether all servers run, and every worker."""
        return all(server.running for server in self.servers) and all(
            worker.state == "running" for worker in self.workers
        )

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "servers": [asdict(server) for server in self.servers],
            "workers": [asdict(worker) for worker in self.workers],
            "aside": None
            if self.aside is None
            else {
                step: {"dead_letters": open_, "blocked": parked}
                for step, (open_, parked) in self.aside.items()
            },
        }


def status_of(installation: Installation) -> MeshStatus:
    """The status now; what can't be asked because a server is down is left open."""
    found = supervised(installation)
    workers = found.workers if found else ()
    try:
        environment = Environment.load()
        in_groups = _in_groups(environment, workers)
        left, aside = _left(environment, installation)
    except (NoEnvironmentError, OperatorError):
        in_groups, left, aside = {}, None, None
    return MeshStatus(Stack().status(), [_worker(worker, in_groups, left) for worker in workers], aside)


def _in_groups(environment: Environment, workers: tuple[WorkerState, ...]) -> dict[str, GroupMembers]:
    admin = AdminClient({**environment.kafka(ADMIN), "log_level": "2"})
    return groups(admin, groups_of(Slot(worker.step, worker.slot) for worker in workers))


def _left(
    environment: Environment, installation: Installation
) -> tuple[dict[Partition, int], dict[str, tuple[int, int]]]:
    with MeshInspector(environment, installation) as look:
        left = {place: lag.remaining for stage in look.stages() for place, lag in stage.lags.items()}
        return left, look.aside()


def _worker(
    worker: WorkerState, in_groups: dict[str, GroupMembers], left: Mapping[Partition, int] | None
) -> WorkerStatus:
    slot = Slot(worker.step, worker.slot)
    partitions = partitions_of(in_groups, slot) if in_groups else []
    lag = sum(left.get(place, 0) for place in partitions) if left is not None else None
    names = [f"{topic}/{number}" for topic, number in partitions]
    return WorkerStatus(worker.step, worker.slot, worker.state, worker.pid, worker.restarts, names, lag)
