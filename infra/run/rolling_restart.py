"""`mesh restart`: workers of another generation are restarted one at a time, and processing goes on meanwhile.

A worker's partitions are not processed while it restarts, because it is a static member of its group and gets them
back. The next worker is restarted when the last one has them again, so no partition waits longer than for one restart.

Readers are restarted before writers: a reader of a topic knows every system and schema before the first record of it
is written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
from confluent_kafka.admin import AdminClient

from infra.apply.applied_declarations import require_applied
from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import OperatorError
from infra.local.kafka_server import ADMIN
from infra.monitoring.groups import GroupMembers, describe_groups, partitions_of
from infra.run.exclusive import exclusive
from infra.run.generation import installed_generation
from infra.run.given_up import given_up_sinks
from infra.run.restart_requests import request_restart
from infra.run.slots import Slot, groups_of, reading_steps_of
from infra.run.supervisor import RunningSupervisor, WorkerState, running_supervisor
from infra.run.worker import heartbeat_file
from schemas.systems import CLOCK
from schemas.topics import group, transactional_id

#: Steps in the order of their restarts; `sink` is every sink.
READERS_FIRST: Final = ("tracker", "sink", "conversion", "fan-out", "household", "intake", CLOCK)
READY_TIMEOUT_S: Final = 120.0
POLL_S: Final = 0.1


def to_restart(installation: Installation, supervisor: RunningSupervisor | None) -> list[Slot]:
    """Return the slots to restart, in order: workers of another generation or given up, or with a sink given up."""
    workers, generation = supervisor.workers if supervisor else (), installed_generation()
    return in_order(
        [
            _slot(worker)
            for worker in workers
            if worker.generation != generation
            or worker.state == "given-up"
            or given_up_sinks(installation, worker)
        ]
    )


def in_order(slots: Sequence[Slot]) -> list[Slot]:
    """Return slots in the order of their restarts: readers of a topic before its writers."""
    return sorted(
        slots, key=lambda slot: (READERS_FIRST.index(slot.step.partition(".")[0]), slot.step, slot.number)
    )


def restart(
    environment: Environment,
    installation: Installation,
    report: Callable[[str], None],
    everything: bool = False,
) -> int:
    """Restart the workers of another generation or given up, or with `everything` all, and return how many.

    `report` gets the name of each worker that runs again. Raise OperatorError where the declarations aren't applied, no
    worker runs here, the supervisor is of a release without restarts, or a worker doesn't come back: then the others go
    on as before.
    """
    require_applied(installation)
    supervisor = running_supervisor(installation)
    if supervisor is None:
        raise OperatorError("no workers run here; start them with mesh up, or mesh run")
    if not all(worker.generation for worker in supervisor.workers):
        raise OperatorError("the supervisor is of an earlier release: stop it and start it again")
    every = in_order(supervisor.slots)
    slots = every if everything else to_restart(installation, supervisor)
    with exclusive(installation.run_folder / "restart.lock", "another command restarts the workers now"):
        admin = AdminClient({**environment.kafka(ADMIN), "log_level": "2"})
        for slot in slots:
            _Restart(admin, installation, slot).run()
            report(slot.name)
    return len(slots)


@dataclass(frozen=True)
class _Restart:
    """The restart of one worker."""

    admin: AdminClient
    installation: Installation
    slot: Slot

    def run(self) -> None:
        """Request the restart, and return when the new process has the partitions of the old one."""
        before, ids = self._worker(), self._member_ids()
        request_restart(self.installation, self.slot)
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not self._is_back(before, ids):
            if time.monotonic() > deadline:
                self._fail(f"is not back after {READY_TIMEOUT_S:.0f} s")
            time.sleep(POLL_S)
        if self._worker().generation != installed_generation():
            self._fail("runs other code than this command: its supervisor is of another installation")

    def _is_back(self, before: WorkerState, ids_before: Mapping[str, str]) -> bool:
        worker = self._worker()
        if worker.state == "given-up" and worker.restarts > before.restarts:
            self._fail(f"ended with exit code {worker.exit_code}")
        if worker.state != "running" or worker.pid == before.pid:
            return False
        if not reading_steps_of(self.slot.step):
            return True
        by_group = self._groups()
        ids = _ids_of(by_group, self.slot)
        # A static member stays in its group while its worker restarts, so only another ID says that it has joined.
        joined = bool(ids) and all(ids.get(step) not in (None, old) for step, old in ids_before.items())
        stable = all(members.stable for members in by_group.values())
        return joined and stable and self._has_restored(worker, by_group)

    def _has_restored(self, worker: WorkerState, by_group: dict[str, GroupMembers]) -> bool:
        """Return whether the worker processes all of its partitions; sinks and the tracker have no heartbeat."""
        if self.slot.step == "tracker" or self.slot.step.startswith("sink"):
            return True
        try:
            heartbeat = orjson.loads(heartbeat_file(self.installation, self.slot).read_bytes())
        except FileNotFoundError:
            return False
        assigned = {f"{topic}/{number}" for topic, number in partitions_of(by_group, self.slot)}
        return (
            heartbeat["pid"] == worker.pid
            and heartbeat["state"] == "running"
            and assigned <= set(heartbeat["partitions"])
        )

    def _worker(self) -> WorkerState:
        supervisor = running_supervisor(self.installation)
        for worker in supervisor.workers if supervisor else ():
            if _slot(worker) == self.slot:
                return worker
        raise OperatorError(f"the supervisor of {self.slot.name} has ended", code=1)

    def _groups(self) -> dict[str, GroupMembers]:
        return describe_groups(self.admin, groups_of([self.slot]))

    def _member_ids(self) -> dict[str, str]:
        return _ids_of(self._groups(), self.slot)

    def _fail(self, what: str) -> None:
        log = self.installation.logs_folder / f"{self.slot.name}.log"
        raise OperatorError(f"{self.slot.name} {what}; no further worker was restarted; see {log}", code=1)


def _ids_of(by_group: Mapping[str, GroupMembers], slot: Slot) -> dict[str, str]:
    """Return the IDs of a slot's members, by step; the tracker is the only member of its group."""
    found = {}
    for step in reading_steps_of(slot.step):
        ids = by_group[group(step)].ids
        name = next(iter(ids), "") if step == "tracker" else transactional_id(step, slot.number)
        if name in ids:
            found[step] = ids[name]
    return found


def _slot(worker: WorkerState) -> Slot:
    return Slot(worker.step, worker.slot)
