"""What `mesh status` shows: servers, the workers of this MESH_HOME, and dead-letter queues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from confluent_kafka.admin import AdminClient

from infra.apply.applied_declarations import are_applied
from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import NoEnvironmentError, OperatorError
from infra.local.kafka_server import ADMIN
from infra.local.stack import ServerStatus, Stack
from infra.monitoring.adoption_progress import AdoptionProgress, adoption_progress
from infra.monitoring.groups import GroupMembers, describe_groups, partitions_of
from infra.monitoring.stages import MeshInspector
from infra.run.generation import installed_generation
from infra.run.given_up import given_up_sinks
from infra.run.slots import Slot, groups_of
from infra.run.supervisor import WorkerState, running_supervisor
from streams.clients import Partition


@dataclass(frozen=True)
class WorkerStatus:
    """A worker: `partitions` as `topic/number`, `lag` their unprocessed records, None if the servers don't answer.

    `generation` is that of its code and declarations (`infra.run.generation`); empty if it isn't known.
    """

    step: str
    slot: int
    state: str
    pid: int | None
    restarts: int
    partitions: list[str]
    lag: int | None
    generation: str = ""


@dataclass(frozen=True)
class MeshStatus:
    """Servers, workers and dead-letter queues; `generation` is that of what is installed now."""

    servers: list[ServerStatus]
    workers: list[WorkerStatus]
    #: Numbers of open dead letters and of blocked records, by step that has any; None if the servers don't answer.
    dlq: dict[str, tuple[int, int]] | None = None
    generation: str = field(default_factory=installed_generation)
    #: How far the declarations are adopted; None if the servers don't answer.
    adoption: AdoptionProgress | None = None
    #: Whether the declarations that are installed were applied.
    is_applied: bool = True

    @property
    def outdated(self) -> list[WorkerStatus]:
        """The workers that run other code or declarations than are installed."""
        return [worker for worker in self.workers if worker.generation not in {"", self.generation}]

    @property
    def healthy(self) -> bool:
        """Whether all servers and all workers are running."""
        return all(server.running for server in self.servers) and all(
            worker.state == "running" for worker in self.workers
        )

    def document(self) -> dict[str, Any]:
        """Return the status as the JSON document of `mesh status --json`."""
        return {
            "servers": [asdict(server) for server in self.servers],
            "workers": [asdict(worker) for worker in self.workers],
            "generation": self.generation,
            "is_applied": self.is_applied,
            "adoption": None if self.adoption is None else asdict(self.adoption),
            "dlq": None
            if self.dlq is None
            else {
                step: {"dead_letters": dead_letters, "blocked": blocked}
                for step, (dead_letters, blocked) in self.dlq.items()
            },
        }


def status_of(installation: Installation) -> MeshStatus:
    """Return the current status; lag, partitions and dead-letter queues are missing where a server is down.

    A sink that its process has given up is a worker of its own.
    """
    supervisor = running_supervisor(installation)
    workers = supervisor.workers if supervisor else ()
    try:
        environment = Environment.load()
        members = _group_members(environment, workers)
        lags, dlq = _lag_and_dlq(environment, installation)
        adoption = adoption_progress(environment, installation)
    except (NoEnvironmentError, OperatorError):
        members, lags, dlq, adoption = {}, None, None, None
    statuses = [_worker_status(worker, members, lags) for worker in workers]
    statuses += [
        replace(status, step=step, state="given-up", restarts=0, partitions=[], lag=None)
        for worker, status in zip(workers, statuses, strict=True)
        for step in given_up_sinks(installation, worker)
    ]
    return MeshStatus(
        Stack().status(), statuses, dlq, adoption=adoption, is_applied=are_applied(installation)
    )


def _group_members(environment: Environment, workers: tuple[WorkerState, ...]) -> dict[str, GroupMembers]:
    admin = AdminClient({**environment.kafka(ADMIN), "log_level": "2"})
    return describe_groups(admin, groups_of(Slot(worker.step, worker.slot) for worker in workers))


def _lag_and_dlq(
    environment: Environment, installation: Installation
) -> tuple[dict[Partition, int], dict[str, tuple[int, int]]]:
    with MeshInspector(environment, installation) as inspector:
        lags = {
            partition: lag.remaining for stage in inspector.stages() for partition, lag in stage.lags.items()
        }
        return lags, inspector.dlq_counts()


def _worker_status(
    worker: WorkerState, members: dict[str, GroupMembers], lags: Mapping[Partition, int] | None
) -> WorkerStatus:
    slot = Slot(worker.step, worker.slot)
    partitions = partitions_of(members, slot) if members else []
    lag = sum(lags.get(partition, 0) for partition in partitions) if lags is not None else None
    names = [f"{topic}/{number}" for topic, number in partitions]
    return WorkerStatus(
        worker.step, worker.slot, worker.state, worker.pid, worker.restarts, names, lag, worker.generation
    )
