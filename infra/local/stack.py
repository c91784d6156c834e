"""All servers of one installation: start, stop, status."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.errors import HomeError, PortTakenError, StackError, StartError
from infra.local import artifacts, database, kafka_server, ports, postgres_server, registry_server
from infra.local.home import SINGLE_PORTS, BrokerPorts, Home, Ports, StackState, Tunnel, cache_folder
from infra.local.java import Program, Startup
from infra.local.ports import HOST
from infra.local.process import Server
from infra.local.progress import ProgressReporter, Silent
from infra.local.secrets import Secrets

#: Names that have a password from the first start.
FIRST_SECRETS = (
    *kafka_server.FIRST_USERS,
    registry_server.WRITER,
    postgres_server.SUPERUSER,
    postgres_server.AUDITOR,
)
#: How long the JVM may take to write an ahead-of-time cache.
RECORD_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class ServerFiles:
    """The servers' files in the cache."""

    kafka: tuple[Path, ...]
    registry: Path
    postgres: Path


@dataclass(frozen=True)
class ServerStatus:
    """The status of one server; `started_at` in seconds since 1970."""

    name: str
    running: bool
    pid: int | None
    address: str
    memory_mb: float | None
    started_at: float | None


class Stack:
    """The local stack of one home. Every change needs the home's lock, so callers wait for one another."""

    def __init__(self, home: Home | None = None, progress: ProgressReporter | None = None) -> None:
        self.home = home or Home.of_settings()
        self.secrets = Secrets(self.home.secrets_file)
        self._progress = progress or Silent()

    def up(
        self,
        wait_for_registry: bool = True,
        new_ports: bool = False,
        brokers: int | None = None,
        tunnels: Sequence[int] = (),
    ) -> StackState:
        """Start the servers that don't run, and return when all answer.

        Unless `wait_for_registry`, the registry may still be starting at the return. `brokers` (by default one) and
        `tunnels` (the port that each broker's second listener advertises; by default there are none) count at the
        first start only. Raise StackError where a server can't be started.
        """
        files = fetch(self._progress)
        record_startup(files, self._progress)
        with self.home.lock():
            state = self._prepare(new_ports, brokers, tunnels)
            return _Start(self.home, self.secrets, files, state).run(wait_for_registry)

    def servers(self) -> dict[str, Server]:
        """Return all servers by name, brokers first. Raise HomeError where no stack was ever set up here."""
        return {server.name: server for server in self._servers()}

    def down(self) -> None:
        """Stop all running servers, the registry before the brokers that it needs."""
        if self.home.folder.is_dir():
            with self.home.lock():
                self._stop_all()

    def reset(self) -> None:
        """Stop all servers and delete this home with all data and passwords."""
        if not self.home.state_exists():
            return
        with self.home.lock():
            state = self.home.state()
            self._stop_all()
            shutil.rmtree(state.postgres, ignore_errors=True)
        shutil.rmtree(self.home.folder)

    def status(self) -> list[ServerStatus]:
        """Return the status of each server; nothing where no stack was ever set up."""
        if not self.home.state_exists():
            return []
        state = self.home.state()
        addresses = (
            *(f"{HOST}:{broker.client}" for broker in state.ports.brokers),
            registry_server.url(state.ports),
            f"{HOST}:{state.ports.postgres}/{postgres_server.DATABASE}",
        )
        return [_status(server, address) for server, address in zip(self._servers(), addresses, strict=True)]

    def _servers(self) -> list[Server]:
        state = self.home.state()
        return [
            *_brokers(self.home, state.ports),
            registry_server.server(self.home),
            postgres_server.server(self.home, state.postgres),
        ]

    def _prepare(self, new_ports: bool, brokers: int | None, tunnels: Sequence[int]) -> StackState:
        self.home.make()
        self.secrets.ensure(FIRST_SECRETS)
        known = self.home.state_exists()
        state = self.home.state() if known else self._first_state(brokers or 1, tunnels)
        existing = len(state.ports.brokers)
        if brokers not in (None, existing):
            raise HomeError(
                f"{self.home.folder} was created with --brokers {existing}; "
                "to change that, first delete everything with `mesh local reset --yes`"
            )
        state = self._validated_ports(state, new_ports)
        self.home.save_state(state)
        return state

    def _first_state(self, brokers: int, tunnels: Sequence[int]) -> StackState:
        return StackState(
            ports=choose_ports(brokers, tunnels),
            postgres=postgres_server.data_folder(self.home),
            cluster_id=kafka_server.cluster_id(),
        )

    def _validated_ports(self, state: StackState, new_ports: bool) -> StackState:
        """Return the state with new ports for those that another program has taken.

        Raise PortTakenError where it is a port that clients use, unless `new_ports`.
        """
        self.home.save_state(state)
        current = state.ports.by_name()
        in_use = {
            name for server in self._servers() if server.process() for name in _ports_of(server, current)
        }
        taken = [name for name in current if name not in in_use and not ports.becomes_free(current[name])]
        public = [name for name in taken if name.startswith(("kafka", "postgres")) or name == "registry"]
        if public and not new_ports:
            name = public[0]
            raise PortTakenError(
                f"port {current[name]} of {name} is taken by {ports.listener_of(current[name])}; "
                "end that program, or choose other ports: mesh local up --new-ports"
            )
        changed = (
            dict(zip(taken, ports.choose_free(len(taken), current.values()), strict=True)) if taken else {}
        )
        return state.model_copy(update={"ports": state.ports.with_ports(changed)})

    def _stop_all(self) -> None:
        if not self.home.state_exists():
            return
        *brokers, registry, database = self._servers()
        with ThreadPoolExecutor(1 + len(brokers)) as pool:
            stopped = pool.submit(database.stop)
            registry.stop()
            # All brokers at once: a broker that stops after most others waits for them in vain.
            list(pool.map(Server.stop, brokers))
            stopped.result()


class _Start:
    """One start of all servers in parallel; each waits only for the servers that it needs."""

    def __init__(self, home: Home, secrets: Secrets, files: ServerFiles, state: StackState) -> None:
        self._home = home
        self._secrets = secrets
        self._files = files
        self._state = state

    def run(self, wait_for_registry: bool) -> StackState:
        with ThreadPoolExecutor(3) as pool:
            database = pool.submit(self._database)
            granted: Future[None] = Future()
            registry = pool.submit(self._registry, granted, wait_for_registry)
            try:
                self._brokers()
                granted.set_result(None)
            except BaseException as error:
                granted.set_exception(error)
                raise
            database.result()
            registry.result()
        return self._state

    def _brokers(self) -> None:
        ports = self._state.ports
        numbers = range(1, len(ports.brokers) + 1)
        with ThreadPoolExecutor(len(numbers)) as pool:
            list(pool.map(self._broker, numbers))
        if not self._state.registry_granted:
            kafka_server.grant_registry(ports, self._secrets)
            self._state = self._state.model_copy(update={"registry_granted": True})
            self._home.save_state(self._state)

    def _broker(self, number: int) -> None:
        broker = kafka_server.Broker(self._home, self._state.ports, self._secrets, number)
        if kafka_server.server(self._home, number).process() is None:
            startup = Startup(use=kafka_server.program(self._files.kafka).startup_cache(cache_folder()))
            broker.start(self._files.kafka, startup, self._state.cluster_id or kafka_server.cluster_id())
        broker.wait_ready()

    def _registry(self, granted: Future[None], wait: bool) -> None:
        home, ports = self._home, self._state.ports
        if registry_server.server(home).process() is None:
            # Once its ACLs exist, it may start in parallel with the brokers, which are ready before it needs them.
            if not self._state.registry_granted:
                granted.result()
            startup = Startup(use=registry_server.program(self._files.registry).startup_cache(cache_folder()))
            registry_server.start(home, ports, self._files.registry, self._secrets, startup)
        # If a broker failed, report its error, not the timeout of a registry that waits for it.
        granted.result()
        if wait:
            registry_server.wait_ready(home, ports)

    def _database(self) -> None:
        home, folder, ports = self._home, self._state.postgres, self._state.ports
        if postgres_server.server(home, folder).process() is None:
            postgres_server.start(home, folder, self._files.postgres, ports, self._secrets)
        database.wait_ready(home, folder, ports, self._secrets)


def choose_ports(brokers: int = 1, tunnels: Sequence[int] = ()) -> Ports:
    """Return free ports for all servers; `tunnels` as in `Stack.up`. Raise PortTakenError where too few are free."""
    chosen = ports.choose_free(len(SINGLE_PORTS) + 2 * (brokers - 1) + len(tunnels), tunnels)
    single = dict(zip(SINGLE_PORTS, chosen, strict=False))
    remaining = iter(chosen[len(SINGLE_PORTS) :])
    return Ports(
        **single,
        more_brokers=tuple(
            BrokerPorts(client=next(remaining), controller=next(remaining)) for _ in range(brokers - 1)
        ),
        tunnels=tuple(Tunnel(port=next(remaining), advertised=advertised) for advertised in tunnels),
    )


def fetch(progress: ProgressReporter) -> ServerFiles:
    """Download and unpack missing server files, and return all. Raise ArtifactError."""
    group = artifacts.postgres_group()
    by_group = artifacts.fetch(["kafka", "registry", group], progress)
    cache = cache_folder()
    return ServerFiles(
        kafka=tuple(by_group["kafka"]),
        registry=registry_server.unpack(by_group["registry"][0], cache),
        postgres=postgres_server.unpack(by_group[group][0], cache),
    )


def record_startup(files: ServerFiles, progress: ProgressReporter) -> None:
    """Record the ahead-of-time caches of both Java servers, once; they halve the time until the servers are ready.

    To record, start the servers in a temporary home. If that fails, everything works without the caches.
    """
    cache = cache_folder()
    targets = [program.startup_cache(cache) for program in _programs(files)]
    if all(target.is_file() for target in targets):
        return
    with artifacts.cache_lock(cache):
        if all(target.is_file() for target in targets):
            return
        progress.line("preparing the servers for fast starts (only once)")
        try:
            _record(files, targets)
        except StackError as error:
            progress.line(f"the servers will start more slowly: {error}")


def _programs(files: ServerFiles) -> tuple[Program, Program]:
    return kafka_server.program(files.kafka), registry_server.program(files.registry)


def _record(files: ServerFiles, targets: list[Path]) -> None:
    with _temporary_home() as home:
        drafts = [home.folder / target.name for target in targets]
        secrets = Secrets(home.secrets_file)
        secrets.ensure(FIRST_SECRETS)
        ports = choose_ports()
        broker = kafka_server.Broker(home, ports, secrets)
        try:
            broker.start(files.kafka, Startup(record=drafts[0]), kafka_server.cluster_id())
            broker.wait_ready()
            kafka_server.grant_registry(ports, secrets)
            registry_server.start(home, ports, files.registry, secrets, Startup(record=drafts[1]))
            registry_server.wait_ready(home, ports)
        finally:
            with ThreadPoolExecutor(2) as pool:
                for server in (registry_server.server(home), kafka_server.server(home)):
                    pool.submit(server.stop, RECORD_TIMEOUT_S)
        for draft, target in zip(drafts, targets, strict=True):
            if not draft.is_file():
                raise StartError(f"the JVM did not write the cache {target.stem}")
            target.parent.mkdir(exist_ok=True)
            shutil.move(draft, target)


@contextmanager
def _temporary_home() -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="mesh-") as folder:
        home = Home(Path(folder))
        home.make()
        yield home


def _brokers(home: Home, ports: Ports) -> list[Server]:
    return [kafka_server.server(home, number) for number in range(1, len(ports.brokers) + 1)]


def _ports_of(server: Server, names: Iterable[str]) -> list[str]:
    """Return the names of a server's ports; a server's pid file has the name of its first port."""
    own = server.pid_file.name
    _, _, number = own.partition("-")
    further = {
        "kafka": [f"controller{number and '-'}{number}", f"tunnel-{number or 1}"],
        "registry": ["registry_management"],
    }
    ports_of_server = {own, *further.get(own.partition("-")[0], ())}
    return [name for name in names if name in ports_of_server]


def _status(server: Server, address: str) -> ServerStatus:
    process = server.process()
    if process is None:
        return ServerStatus(server.name, False, None, address, None, None)
    try:
        with process.oneshot():
            memory = _memory_bytes(process) / 1e6
            return ServerStatus(server.name, True, process.pid, address, memory, process.create_time())
    except psutil.Error:
        return ServerStatus(server.name, False, None, address, None, None)


def _memory_bytes(process: psutil.Process) -> int:
    """Return the memory of a server and its children. Shared memory counts once (PSS), if the system reports it."""
    total = 0
    for member in (process, *process.children(recursive=True)):
        try:
            total += member.memory_full_info().pss
        except (psutil.AccessDenied, AttributeError):
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def uptime_s(status: ServerStatus) -> float | None:
    """Return the seconds since a server was started, or None if it is down."""
    return None if status.started_at is None else time.time() - status.started_at
