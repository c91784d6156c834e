"""The mesh under test: three brokers, registry, database, workers of every step, and a network that can be broken."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Final

import psutil
from confluent_kafka.admin import AdminClient

from infra.apply.installation import Installation
from infra.apply.reconcile import apply, declared_topics
from infra.environment import Environment
from infra.local.home import Home
from infra.local.kafka_server import ADMIN
from infra.local.stack import Stack
from infra.monitoring.groups import all_joined, describe_groups, partitions_of
from infra.run import background
from infra.run.slots import Slot, groups_of, slots
from infra.run.supervisor import WorkerState, running_supervisor
from streams.clients import Partition
from tests.chaos.days import take_time_from_producers
from tests.chaos.processes import MODULE, NO_DEFECT
from tests.chaos.proxy import HOST, ROOT, Proxies

BROKERS: Final = 3
#: Every step except the tracker: its updates are idempotent, and Faust promises no more.
STEPS: Final = ("intake", "household", "fan-out", "conversion", "sink")
DATABASE: Final = "database"
READY_TIMEOUT_S: Final = 300.0
POLL_S: Final = 0.2


@dataclass(frozen=True)
class ChaosCluster:
    """A running mesh, and access to its processes by the names that faults use."""

    stack: Stack
    installation: Installation
    proxies: Proxies
    slots: Sequence[Slot]
    #: Slots whose workers are targets of faults.
    targets: Sequence[Slot]
    admin: AdminClient
    #: The numbers of declarations for which the load has yet to submit the command to adopt them.
    adoptions: SimpleQueue[int] = field(default_factory=SimpleQueue)

    @property
    def environment(self) -> Environment:
        """The servers as the harness connects to them: without the proxies."""
        return Environment.of_stack(self.stack.home)

    @property
    def brokers(self) -> list[str]:
        """Names of the brokers, in the order of their IDs, which begin with 1."""
        return [name for name in self.stack.servers() if name.startswith("Kafka")]

    def route(self, broker: str) -> str:
        """Return the name of the proxy's route to a broker."""
        return f"kafka-{self.brokers.index(broker) + 1}"

    def server(self, name: str) -> psutil.Process:
        """Return a server's process. Raise RuntimeError if it is not running."""
        process = self.stack.servers()[name].process()
        if process is None:
            raise RuntimeError(f"{name} is not running")
        return process

    def workers(self) -> dict[Slot, WorkerState]:
        """Return the state of every worker as its supervisor reports it; empty if the supervisor has ended."""
        state = running_supervisor(self.installation)
        return {Slot(worker.step, worker.slot): worker for worker in state.workers} if state else {}

    def worker(self, slot: Slot) -> psutil.Process:
        """Return a worker's process. Raise RuntimeError if it is not running."""
        state = self.workers().get(slot)
        if state is None or state.pid is None:
            raise RuntimeError(f"{slot.name} is not running")
        return psutil.Process(state.pid)

    def supervisor(self) -> psutil.Process:
        """Return the supervisor's process. Raise RuntimeError if it has ended."""
        state = running_supervisor(self.installation)
        if state is None:
            raise RuntimeError("the supervisor has ended")
        return psutil.Process(state.pid)

    def partitions(self, slot: Slot) -> list[Partition]:
        """Return the partitions that are assigned to a worker now."""
        return partitions_of(describe_groups(self._new_admin(), groups_of([slot])), slot)

    def missing(self) -> str:
        """Return what is missing compared with the time before a fault; empty if nothing is.

        Checked are running workers, replicas in sync and members of groups.
        """
        states = self.workers()
        ended = [slot.name for slot in self.slots if slot not in states or states[slot].state != "running"]
        if ended:
            return f"workers not running: {', '.join(ended)}"
        if not _is_in_sync(self.admin):
            return "replicas not in sync"
        # Checked last: an AdminClient whose request to a failing broker is answered too late crashes this process.
        return "" if all_joined(self._new_admin(), self.slots) else "workers not in their groups"

    def _new_admin(self) -> AdminClient:
        """Return a new client: one that has seen a broker end may keep asking that broker for a group's members."""
        return AdminClient({**self.environment.kafka(ADMIN), "log_level": 0})


def _is_in_sync(admin: AdminClient) -> bool:
    metadata = admin.list_topics(timeout=5)
    partitions = [partition for topic in metadata.topics.values() for partition in topic.partitions.values()]
    return len(metadata.brokers) == BROKERS and all(len(p.isrs) == len(p.replicas) for p in partitions)


@contextmanager
def running(
    folder: Path,
    municipalities: Sequence[str],
    workers: int,
    defect: str | None = None,
    steps: Sequence[str] = STEPS,
) -> Iterator[ChaosCluster]:
    """Start a mesh of its own in `folder`, yield it, and remove it.

    `workers` is the number of workers per step; with `defect` they have that seeded defect. Faults of workers are
    injected only into those of `steps`.
    """
    stack, installation = Stack(Home(folder)), Installation(folder)
    brokers = [f"kafka-{number}" for number in range(1, BROKERS + 1)]
    with ExitStack() as exit_stack, _own_settings(folder):
        stack.reset()
        exit_stack.callback(stack.reset)
        proxies = exit_stack.enter_context(Proxies(*brokers, DATABASE))
        ports = stack.up(brokers=BROKERS, tunnels=[proxies.ports[name] for name in brokers]).ports
        apply(Environment.of_stack(stack.home), installation, municipalities)
        _take_time_from_producers(stack, installation)
        for name, tunnel in zip(brokers, ports.tunnels, strict=True):
            proxies.set_target(name, tunnel.port)
        proxies.set_target(DATABASE, ports.postgres)
        all_slots = slots(STEPS, workers)
        admin = AdminClient({**Environment.of_stack(stack.home).kafka(ADMIN), "log_level": 0})
        targets = [slot for slot in all_slots if slot.step in steps]
        cluster = ChaosCluster(stack, installation, proxies, all_slots, targets, admin)
        os.environ.update(_proxied_settings(proxies.ports, cluster.environment))
        exit_stack.callback(_stop_workers, cluster)
        _start_workers(cluster, workers, defect)
        yield cluster


def _take_time_from_producers(stack: Stack, installation: Installation) -> None:
    topics = [topic.name for topic in declared_topics(installation) if topic.name.startswith("in.")]
    client = AdminClient({**Environment.of_stack(stack.home).kafka(ADMIN), "log_level": 0})
    take_time_from_producers(client, topics)


def _start_workers(cluster: ChaosCluster, workers: int, defect: str | None) -> None:
    _start_supervisor(cluster, workers, defect or NO_DEFECT)
    background.wait_ready(
        cluster.installation,
        cluster.slots,
        lambda: all_joined(cluster.admin, cluster.slots),
        READY_TIMEOUT_S,
    )


def _start_supervisor(cluster: ChaosCluster, workers: int, defect: str) -> None:
    cluster.installation.run_folder.mkdir(parents=True, exist_ok=True)
    cluster.installation.logs_folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", MODULE, "supervisor", defect, str(workers), *STEPS]
    with (cluster.installation.logs_folder / "supervisor.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
        )
    while running_supervisor(cluster.installation) is None:
        # A supervisor that can't start ends; as long as it lives it will be ready.
        with suppress(subprocess.TimeoutExpired):
            raise RuntimeError(f"the supervisor ended with exit code {process.wait(POLL_S)}: see {log.name}")


def _stop_workers(cluster: ChaosCluster) -> None:
    """Stop the workers, whatever faults are in force: resume paused processes and open the network first."""
    if not cluster.stack.home.state_exists():
        return
    cluster.proxies.open_all()
    signal_all(_all_processes(cluster), signal.SIGCONT)
    background.stop(cluster.installation)


def _all_processes(cluster: ChaosCluster) -> list[psutil.Process]:
    state = running_supervisor(cluster.installation)
    pids = [state.pid, *(worker.pid for worker in state.workers if worker.pid)] if state else []
    workers = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    return [*_server_processes(cluster.stack), *workers]


def _server_processes(stack: Stack) -> list[psutil.Process]:
    servers = [server.process() for server in stack.servers().values()]
    return [process for server in servers if server for process in family(server)]


def family(process: psutil.Process) -> list[psutil.Process]:
    """Return a process and its descendants: PostgreSQL has many, and a pause must stop all of them."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def signal_all(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to each process that still exists."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _proxied_settings(ports: Mapping[str, int], environment: Environment) -> dict[str, str]:
    """Return the settings with which workers connect to brokers and database through the proxies.

    The registry is connected directly.
    """
    brokers = [f"{HOST}:{port}" for name, port in ports.items() if name != DATABASE]
    database = f"postgresql://{HOST}:{ports[DATABASE]}/{environment.database_name}"
    return {
        "MESH_SECRETS": str(environment.secrets_file),
        "MESH_KAFKA_BOOTSTRAP": ",".join(brokers),
        "MESH_REGISTRY_URL": environment.registry_url,
        "MESH_DATABASE_URL": database,
    }


def keep_data(cluster: ChaosCluster, folder: Path) -> None:
    """Stop everything and move all data of the servers to `folder`, to search for the cause of an anomaly."""
    _stop_workers(cluster)
    cluster.stack.down()
    home = cluster.stack.home
    database = home.state().postgres
    if not database.is_relative_to(home.folder):
        shutil.move(database, home.folder / DATABASE)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.move(home.folder, folder)


def clean_up(folder: Path) -> None:
    """End all processes that an interrupted run has left running in `folder`, and remove its data."""
    if not (folder / "stack.json").is_file():
        return
    stack = Stack(Home(folder))
    signal_all(_server_processes(stack), signal.SIGCONT)
    background.stop(Installation(folder))
    stack.reset()


@contextmanager
def _own_settings(folder: Path) -> Iterator[None]:
    """Replace all MESH_* settings by those of this run, and restore them afterwards."""
    before = {name: value for name, value in os.environ.items() if name.startswith("MESH_")}
    for name in before:
        del os.environ[name]
    os.environ["MESH_HOME"] = str(folder)
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith("MESH_")]:
            del os.environ[name]
        os.environ.update(before)
