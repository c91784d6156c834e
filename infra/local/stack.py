"""All servers of one installation: up, down, and what is running."""

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

from infra.local import artifacts, database, kafka_server, ports, postgres_server, registry_server
from infra.local.errors import HomeError, PortTakenError, StackError, StartError
from infra.local.home import SINGLE_PORTS, BrokerPorts, Home, Ports, StackState, Tunnel, cache_folder
from infra.local.java import Program, Startup
from infra.local.ports import HOST
from infra.local.process import Server
from infra.local.progress import ProgressReporter, Silent
from infra.local.secrets import Secrets

#: Names that have a password from the first start on.
FIRST_SECRETS = (
    *kafka_server.FIRST_USERS,
    registry_server.WRITER,
    postgres_server.SUPERUSER,
    postgres_server.AUDITOR,
)
#: How long the JVM may take to write an ahead-of-time cache.
RECORD_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Files:
    """The servers' files in the cache."""

    kafka: tuple[Path, ...]
    registry: Path
    postgres: Path


@dataclass(frozen=True)
class ServerStatus:
    """What is known of one server."""

    name: str
    running: bool
    pid: int | None
    address: str
    memory_mb: float | None
    started_at: float | None


class Stack:
    """The local stack of one home. Every change is made under the home's lock, so that callers queue."""

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
        """Have all servers running; what runs already is left alone.

        How many brokers there are is for the first start to say (one by default), and so is where the way to each
        leads through by which its clients may come (`tunnels`: an advertised port a broker; None of them by default).
        Returns when all answer (the registry too, unless `wait_for_registry` is false: then it goes on
        starting by itself). Raises StackError.
        """
        files = fetch(self._progress)
        record_startup(files, self._progress)
        with self.home.lock():
            state = self._prepare(new_ports, brokers, tunnels)
            return _Start(self.home, self.secrets, files, state).run(wait_for_registry)

    def servers(self) -> dict[str, Server]:
        """Every server by its name, brokers first. HomeError: nothing was ever set up here."""
        return {server.name: server for server in self._servers()}

    def down(self) -> None:
        """Stop all servers, in the order in which they need each other; what is down is left alone."""
        if self.home.folder.is_dir():
            with self.home.lock():
                self._stop_all()

    def reset(self) -> None:
        """Stop all servers and forget all data and passwords of this home."""
        if not self.home.state_exists():
            return
        with self.home.lock():
            state = self.home.state()
            self._stop_all()
            shutil.rmtree(state.postgres, ignore_errors=True)
        shutil.rmtree(self.home.folder)

    def status(self) -> list[ServerStatus]:
        """Every server of this home; none where nothing was ever set up."""
        if not self.home.state_exists():
            return []
        state = self.home.state()
        addresses = (
            *(f"{HOST}:{each.client}" for each in state.ports.brokers),
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
        there = len(state.ports.brokers)
        if brokers not in (None, there):
            raise HomeError(
                f"{self.home.folder} was made with --brokers {there}: mesh local reset --yes comes first"
            )
        state = self._check_ports(state, new_ports)
        self.home.remember(state)
        return state

    def _first_state(self, brokers: int, tunnels: Sequence[int]) -> StackState:
        return StackState(
            ports=first_ports(brokers, tunnels),
            postgres=postgres_server.place(self.home),
            cluster_id=kafka_server.cluster_id(),
        )

    def _check_ports(self, state: StackState, new_ports: bool) -> StackState:
        """Ports that clients know stay, or it is said; the others are changed without a word."""
        self.home.remember(state)
        kept = state.ports.named()
        running = {name for server in self._servers() if server.process() for name in _ports_of(server, kept)}
        lost = [name for name in kept if name not in running and not ports.becomes_free(kept[name])]
        public = [name for name in lost if name.startswith(("kafka", "postgres")) or name == "registry"]
        if public and not new_ports:
            name = public[0]
            raise PortTakenError(
                f"port {kept[name]} of {name} is taken by {ports.holder(kept[name])}; "
                "end that, or let the servers have other ports: mesh local up --new-ports"
            )
        fresh = dict(zip(lost, ports.choose(len(lost), kept.values()), strict=True)) if lost else {}
        return state.model_copy(update={"ports": state.ports.moved(fresh)})

    def _stop_all(self) -> None:
        if not self.home.state_exists():
            return
        *brokers, schemas, database = self._servers()
        with ThreadPoolExecutor(1 + len(brokers)) as pool:
            stopped = pool.submit(database.stop)
            schemas.stop()
            # All at once: a broker that is told to stop when most others are gone waits for them in vain.
            list(pool.map(Server.stop, brokers))
            stopped.result()


class _Start:
    """One start: the servers beside each other, each waiting only for what it needs."""

    def __init__(self, home: Home, secrets: Secrets, files: Files, state: StackState) -> None:
        self._home = home
        self._secrets = secrets
        self._files = files
        self._state = state

    def run(self, wait_for_registry: bool) -> StackState:
        with ThreadPoolExecutor(3) as pool:
            database = pool.submit(self._database)
            granted: Future[None] = Future()
            schemas = pool.submit(self._schemas, granted, wait_for_registry)
            try:
                self._brokers()
                granted.set_result(None)
            except BaseException as error:
                granted.set_exception(error)
                raise
            database.result()
            schemas.result()
        return self._state

    def _brokers(self) -> None:
        home, given = self._home, self._state.ports
        numbers = range(1, len(given.brokers) + 1)
        with ThreadPoolExecutor(len(numbers)) as pool:
            list(pool.map(self._broker, numbers))
        if not self._state.registry_granted:
            kafka_server.grant_registry(given, self._secrets)
            self._state = self._state.model_copy(update={"registry_granted": True})
            home.remember(self._state)

    def _broker(self, number: int) -> None:
        broker = kafka_server.Broker(self._home, self._state.ports, self._secrets, number)
        if kafka_server.server(self._home, number).process() is None:
            startup = Startup(use=kafka_server.program(self._files.kafka).startup_cache(cache_folder()))
            broker.start(self._files.kafka, startup, self._state.cluster_id or kafka_server.cluster_id())
        broker.wait_ready()

    def _schemas(self, granted: Future[None], wait: bool) -> None:
        home, given = self._home, self._state.ports
        if registry_server.server(home).process() is None:
            # With its rights in place it may start beside the broker, and finds it up when it needs it.
            if not self._state.registry_granted:
                granted.result()
            startup = Startup(use=registry_server.program(self._files.registry).startup_cache(cache_folder()))
            registry_server.start(home, given, self._files.registry, self._secrets, startup)
        # A broker that failed is the error to report, not a registry that waits for it.
        granted.result()
        if wait:
            registry_server.wait_ready(home, given)

    def _database(self) -> None:
        home, folder, given = self._home, self._state.postgres, self._state.ports
        if postgres_server.server(home, folder).process() is None:
            postgres_server.start(home, folder, self._files.postgres, given, self._secrets)
        database.wait_ready(home, folder, given, self._secrets)


def first_ports(brokers: int = 1, tunnels: Sequence[int] = ()) -> Ports:
    """Free ports for everything; `tunnels` as in `Stack.up`. PortTakenError: too few are free."""
    chosen = ports.choose(len(SINGLE_PORTS) + 2 * (brokers - 1) + len(tunnels), tunnels)
    single = dict(zip(SINGLE_PORTS, chosen, strict=False))
    rest = iter(chosen[len(SINGLE_PORTS) :])
    return Ports(
        **single,
        more_brokers=tuple(BrokerPorts(client=next(rest), controller=next(rest)) for _ in range(brokers - 1)),
        tunnels=tuple(Tunnel(port=next(rest), advertised=advertised) for advertised in tunnels),
    )


def fetch(progress: ProgressReporter) -> Files:
    """All servers' files, fetched and unpacked where they aren't yet. Raises ArtifactError."""
    group = artifacts.postgres_group()
    found = artifacts.fetch(["kafka", "registry", group], progress)
    cache = cache_folder()
    return Files(
        kafka=tuple(found["kafka"]),
        registry=registry_server.unpack(found["registry"][0], cache),
        postgres=postgres_server.unpack(found[group][0], cache),
    )


def record_startup(files: Files, progress: ProgressReporter) -> None:
    """Make the ahead-of-time caches of both Java servers, once per cache: they halve the time to be ready.

    A start that is recorded is a real one, in a home that is thrown away. All works without the caches too.
    """
    cache = cache_folder()
    targets = [program.startup_cache(cache) for program in _programs(files)]
    if all(target.is_file() for target in targets):
        return
    with artifacts.cache_lock(cache):
        if all(target.is_file() for target in targets):
            return
        progress.say("preparing the servers to start fast (once)")
        try:
            _record(files, targets)
        except StackError as error:
            progress.say(f"they will start slower: {error}")


def _programs(files: Files) -> tuple[Program, Program]:
    return kafka_server.program(files.kafka), registry_server.program(files.registry)


def _record(files: Files, targets: list[Path]) -> None:
    with _throwaway() as home:
        drafts = [home.folder / target.name for target in targets]
        secrets = Secrets(home.secrets_file)
        secrets.ensure(FIRST_SECRETS)
        given = first_ports()
        broker = kafka_server.Broker(home, given, secrets)
        try:
            broker.start(files.kafka, Startup(make=drafts[0]), kafka_server.cluster_id())
            broker.wait_ready()
            kafka_server.grant_registry(given, secrets)
            registry_server.start(home, given, files.registry, secrets, Startup(make=drafts[1]))
            registry_server.wait_ready(home, given)
        finally:
            with ThreadPoolExecutor(2) as pool:
                for server in (registry_server.server(home), kafka_server.server(home)):
                    pool.submit(server.stop, RECORD_TIMEOUT_S)
        for draft, target in zip(drafts, targets, strict=True):
            if not draft.is_file():
                raise StartError(f"{target.stem} was not recorded")
            target.parent.mkdir(exist_ok=True)
            shutil.move(draft, target)


@contextmanager
def _throwaway() -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="mesh-") as folder:
        home = Home(Path(folder))
        home.make()
        yield home


def _brokers(home: Home, given: Ports) -> list[Server]:
    return [kafka_server.server(home, number) for number in range(1, len(given.brokers) + 1)]


def _ports_of(server: Server, names: Iterable[str]) -> list[str]:
    """The names of a server's ports; a broker's pid file is named as its port."""
    own = server.pid_file.name
    _, _, number = own.partition("-")
    inner = {
        "kafka": [f"controller{number and '-'}{number}", f"tunnel-{number or 1}"],
        "registry": ["registry_management"],
    }
    wanted = {own, *inner.get(own.partition("-")[0], ())}
    return [name for name in names if name in wanted]


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
    """Memory of a server and its children; what they share is counted once (PSS), where the system tells."""
    total = 0
    for found in (process, *process.children(recursive=True)):
        try:
            total += found.memory_full_info().pss
        except (psutil.AccessDenied, AttributeError):
            total += found.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def uptime_s(status: ServerStatus) -> float | None:
    """Seconds since a server was started."""
    return None if status.started_at is None else time.time() - status.started_at
