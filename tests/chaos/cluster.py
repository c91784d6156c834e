"""The mesh under test: three brokers, registry, database, workers of every step; and a network that can be broken."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from confluent_kafka.admin import AdminClient

from infra.apply.installation import Installation
from infra.apply.reconcile import apply
from infra.environment import Environment
from infra.local.home import Home
from infra.local.kafka_server import ADMIN
from infra.local.stack import Stack
from infra.monitoring.groups import groups, partitions_of, ready
from infra.run import background
from infra.run.slots import Slot, groups_of, slots
from infra.run.supervisor import WorkerState, supervised
from streams.clients import Partition
from tests.chaos.proxy import HOST, ROOT, Proxies

BROKERS: Final = 3
#: Every step but the tracker, which only looks on: its updates are idempotent, and Faust promises no more.
STEPS: Final = ("intake", "household", "fan-out", "conversion", "sink")
DATABASE: Final = "database"
READY_TIMEOUT_S: Final = 300.0
POLL_S: Final = 0.2


@dataclass(frozen=True)
class ChaosCluster:
    """What runs, by the names that faults strike it by."""

    stack: Stack
    installation: Installation
    proxies: Proxies
    slots: Sequence[Slot]
    #: Those that faults of workers strike.
    targets: Sequence[Slot]
    admin: AdminClient

    @property
    def environment(self) -> Environment:
        """The servers as the harness reaches them: not through the proxies."""
        return Environment.of_stack(self.stack.home)

    @property
    def brokers(self) -> list[str]:
        """Names of the brokers; the number of each is its place in the list, from 1."""
        return [name for name in self.stack.servers() if name.startswith("Kafka")]

    def route(self, broker: str) -> str:
        """The proxy's route to a broker."""
        return f"kafka-{self.brokers.index(broker) + 1}"

    def server(self, name: str) -> psutil.Process:
        """A server's process, with its children. RuntimeError: it is not running."""
        found = self.stack.servers()[name].process()
        if found is None:
            raise RuntimeError(f"{name} is not running")
        return found

    def workers(self) -> dict[Slot, WorkerState]:
        """Every worker as its supervisor knows it; none where the supervisor is gone."""
        found = supervised(self.installation)
        return {Slot(each.step, each.slot): each for each in found.workers} if found else {}

    def worker(self, slot: Slot) -> psutil.Process:
        """A worker's process. RuntimeError: it is not running."""
        state = self.workers().get(slot)
        if state is None or state.pid is None:
            raise RuntimeError(f"{slot.name} is not running")
        return psutil.Process(state.pid)

    def supervisor(self) -> psutil.Process:
        """The supervisor's process. RuntimeError: it is gone."""
        found = supervised(self.installation)
        if found is None:
            raise RuntimeError("the supervisor is gone")
        return psutil.Process(found.pid)

    def partitions(self, slot: Slot) -> list[Partition]:
        """What a worker has now."""
        return partitions_of(groups(self._asking(), groups_of([slot])), slot)

    def lacks(self) -> str:
        """What is not as it was before a fault: workers, copies in sync, members of groups; nothing where all is."""
        running = self.workers()
        gone = [slot.name for slot in self.slots if slot not in running or running[slot].state != "running"]
        if gone:
            return f"workers {', '.join(gone)}"
        if not _in_sync(self.admin):
            return "copies in sync"
        # Last: an administrator whose request to an ailing broker is answered too late ends the whole process.
        return "" if ready(self._asking(), self.slots) else "members of groups"

    def _asking(self) -> AdminClient:
        """A new one: one that has seen a broker go may ask it for a group's members ever after."""
        return AdminClient({**self.environment.kafka(ADMIN), "log_level": 0})


def _in_sync(admin: AdminClient) -> bool:
    known = admin.list_topics(timeout=5)
    partitions = [each for topic in known.topics.values() for each in topic.partitions.values()]
    return len(known.brokers) == BROKERS and all(len(p.isrs) == len(p.replicas) for p in partitions)


@contextmanager
def running(
    folder: Path,
    municipalities: Sequence[str],
    workers: int,
    defect: str | None = None,
    steps: Sequence[str] = STEPS,
) -> Iterator[ChaosCluster]:
    """A mesh of its own in `folder`, from nothing to nothing; with a defect, its workers have that.

    `steps` are those whose workers are struck.
    """
    stack, installation = Stack(Home(folder)), Installation(folder)
    brokers = [f"kafka-{number}" for number in range(1, BROKERS + 1)]
    with ExitStack() as ending, _surroundings(folder):
        stack.reset()
        ending.callback(stack.reset)
        proxies = ending.enter_context(Proxies(*brokers, DATABASE))
        given = stack.up(brokers=BROKERS, tunnels=[proxies.ports[name] for name in brokers]).ports
        apply(Environment.of_stack(stack.home), installation, municipalities)
        for name, tunnel in zip(brokers, given.tunnels, strict=True):
            proxies.lead(name, tunnel.port)
        proxies.lead(DATABASE, given.postgres)
        chosen = slots(STEPS, workers)
        admin = AdminClient({**Environment.of_stack(stack.home).kafka(ADMIN), "log_level": 0})
        targets = [slot for slot in chosen if slot.step in steps]
        place = ChaosCluster(stack, installation, proxies, chosen, targets, admin)
        os.environ.update(_through(proxies.ports, place.environment))
        ending.callback(_stop, place)
        _start(place, workers, defect)
        yield place


def _start(place: ChaosCluster, workers: int, defect: str | None) -> None:
    if defect is None:
        background.start(place.installation, STEPS, workers)
    else:
        _start_broken(place, workers, defect)
    background.wait_ready(
        place.installation, place.slots, lambda: ready(place.admin, place.slots), READY_TIMEOUT_S
    )


def _start_broken(place: ChaosCluster, workers: int, defect: str) -> None:
    place.installation.run.mkdir(parents=True, exist_ok=True)
    place.installation.logs.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.chaos.broken_supervisor", defect, str(workers), *STEPS]
    with (place.installation.logs / "supervisor.log").open("wb") as log:
        started = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
        )
    while supervised(place.installation) is None:
        # It ends by itself where it can't begin; while it lives it is about to.
        with suppress(subprocess.TimeoutExpired):
            raise RuntimeError(f"the supervisor ended with {started.wait(POLL_S)}")


def _stop(place: ChaosCluster) -> None:
    """Whatever state faults have left it in: what stands still goes on, and ends."""
    if not place.stack.home.state_exists():
        return
    place.proxies.open_all()
    for process in _all_of(place):
        _signal(process, signal.SIGCONT)
    background.stop(place.installation)


def _all_of(place: ChaosCluster) -> list[psutil.Process]:
    found = [each.process() for each in place.stack.servers().values()]
    state = supervised(place.installation)
    pids = [state.pid, *(each.pid for each in state.workers if each.pid)] if state else []
    workers = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    servers = [each for server in found if server for each in family(server)]
    return [*servers, *workers]


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all below it: PostgreSQL is many, and a pause is of all of them."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def signal_all(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    """To each of them that is still there."""
    for process in processes:
        _signal(process, number)


def _through(ports: Mapping[str, int], environment: Environment) -> dict[str, str]:
    """The settings by which workers reach brokers and database through the proxies, and the registry as it is."""
    brokers = [f"{HOST}:{port}" for name, port in ports.items() if name != DATABASE]
    database = f"postgresql://{HOST}:{ports[DATABASE]}/{environment.database_name}"
    return {
        "MESH_SECRETS": str(environment.secrets_file),
        "MESH_KAFKA_BOOTSTRAP": ",".join(brokers),
        "MESH_REGISTRY_URL": environment.registry_url,
        "MESH_DATABASE_URL": database,
    }


def keep(place: ChaosCluster, folder: Path) -> None:
    """Stops everything and keeps all that the servers hold, for whoever looks for the cause of a finding."""
    _stop(place)
    place.stack.down()
    home = place.stack.home
    data = home.state().postgres
    if not data.is_relative_to(home.folder):
        shutil.move(data, home.folder / DATABASE)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.move(home.folder, folder)


def clear(folder: Path) -> None:
    """Ends whatever a run that was cut short has left running in `folder`."""
    if not (folder / "stack.json").is_file():
        return
    stack = Stack(Home(folder))
    found = [each.process() for each in stack.servers().values()]
    signal_all([each for server in found if server for each in family(server)], signal.SIGCONT)
    background.stop(Installation(folder))
    stack.reset()


@contextmanager
def _surroundings(folder: Path) -> Iterator[None]:
    """MESH_* settings of this run alone; those of before come back."""
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
