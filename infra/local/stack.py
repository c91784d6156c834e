"""All servers of one installation: up, down, and what is running."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.local import artifacts, database, kafka, ports, postgres, registry
from infra.local.errors import PortTakenError, StackError, StartError
from infra.local.home import Home, Ports, StackState, cache_folder
from infra.local.java import Program, Startup
from infra.local.ports import HOST
from infra.local.process import Server
from infra.local.progress import Progress, Silent
from infra.local.secrets import Secrets

#: Names that have a password from the first start on.
FIRST_SECRETS = (*kafka.FIRST_USERS, registry.WRITER, postgres.SUPERUSER, postgres.AUDITOR)
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

    def __init__(self, home: Home | None = None, progress: Progress | None = None) -> None:
        self.home = home or Home.of_settings()
        self.secrets = Secrets(self.home.secrets_file)
        self._progress = progress or Silent()

    def up(self, wait_for_registry: bool = True, new_ports: bool = False) -> StackState:
        """Have all servers running; what runs already is left alone.

        Returns when they answer (the registry too, unless `wait_for_registry` is false: then it goes on
        starting by itself). Raises StackError.
        """
        files = fetch(self._progress)
        record_startup(files, self._progress)
        with self.home.lock():
            state = self._prepare(new_ports)
            return _Start(self.home, self.secrets, files, state).run(wait_for_registry)

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
            f"{HOST}:{state.ports.kafka}",
            registry.url(state.ports),
            f"{HOST}:{state.ports.postgres}/{postgres.DATABASE}",
        )
        return [_status(server, address) for server, address in zip(self._servers(), addresses, strict=True)]

    def _servers(self) -> tuple[Server, Server, Server]:
        folder = self.home.state().postgres
        return kafka.server(self.home), registry.server(self.home), postgres.server(self.home, folder)

    def _prepare(self, new_ports: bool) -> StackState:
        self.home.make()
        self.secrets.ensure(FIRST_SECRETS)
        state = self.home.state() if self.home.state_exists() else self._first_state()
        state = self._check_ports(state, new_ports)
        self.home.remember(state)
        return state

    def _first_state(self) -> StackState:
        names = list(Ports.model_fields)
        chosen = Ports(**dict(zip(names, ports.choose(len(names)), strict=True)))
        return StackState(ports=chosen, postgres=postgres.place(self.home))

    def _check_ports(self, state: StackState, new_ports: bool) -> StackState:
        """Ports that clients know stay, or it is said; the others are changed without a word."""
        self.home.remember(state)
        broker, schemas, database = (server.process() is not None for server in self._servers())
        owners = {"kafka": broker, "controller": broker, "registry": schemas, "registry_management": schemas}
        owners["postgres"] = database
        kept = state.ports.model_dump()
        lost = [
            name for name, running in owners.items() if not running and not ports.becomes_free(kept[name])
        ]
        public = [name for name in lost if name in ("kafka", "registry", "postgres")]
        if public and not new_ports:
            name = public[0]
            raise PortTakenError(
                f"port {kept[name]} of {name} is taken by {ports.holder(kept[name])}; "
                "end that, or let the servers have other ports: mesh local up --new-ports"
            )
        fresh = dict(zip(lost, ports.choose(len(lost), kept.values()), strict=True)) if lost else {}
        return state.model_copy(update={"ports": Ports(**kept | fresh)})

    def _stop_all(self) -> None:
        if not self.home.state_exists():
            return
        broker, schemas, database = self._servers()
        with ThreadPoolExecutor(2) as pool:
            stopped = pool.submit(database.stop)
            schemas.stop()
            broker.stop()
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
                self._broker()
                granted.set_result(None)
            except BaseException as error:
                granted.set_exception(error)
                raise
            database.result()
            schemas.result()
        return self._state

    def _broker(self) -> None:
        home, given = self._home, self._state.ports
        if kafka.server(home).process() is None:
            startup = Startup(use=kafka.program(self._files.kafka).startup_cache(cache_folder()))
            kafka.start(home, given, self._files.kafka, self._secrets, startup)
        kafka.wait_ready(home, given, self._secrets)
        if not self._state.registry_granted:
            kafka.grant_registry(given, self._secrets)
            self._state = self._state.model_copy(update={"registry_granted": True})
            home.remember(self._state)

    def _schemas(self, granted: Future[None], wait: bool) -> None:
        home, given = self._home, self._state.ports
        if registry.server(home).process() is None:
            # With its rights in place it may start beside the broker, and finds it up when it needs it.
            if not self._state.registry_granted:
                granted.result()
            startup = Startup(use=registry.program(self._files.registry).startup_cache(cache_folder()))
            registry.start(home, given, self._files.registry, self._secrets, startup)
        # A broker that failed is the error to report, not a registry that waits for it.
        granted.result()
        if wait:
            registry.wait_ready(home, given)

    def _database(self) -> None:
        home, folder, given = self._home, self._state.postgres, self._state.ports
        if postgres.server(home, folder).process() is None:
            postgres.start(home, folder, self._files.postgres, given, self._secrets)
        database.wait_ready(home, folder, given, self._secrets)


def fetch(progress: Progress) -> Files:
    """All servers' files, fetched and unpacked where they aren't yet. Raises ArtifactError."""
    group = artifacts.postgres_group()
    found = artifacts.fetch(["kafka", "registry", group], progress)
    cache = cache_folder()
    return Files(
        kafka=tuple(found["kafka"]),
        registry=registry.unpack(found["registry"][0], cache),
        postgres=postgres.unpack(found[group][0], cache),
    )


def record_startup(files: Files, progress: Progress) -> None:
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
    return kafka.program(files.kafka), registry.program(files.registry)


def _record(files: Files, targets: list[Path]) -> None:
    with _throwaway() as home:
        drafts = [home.folder / target.name for target in targets]
        secrets = Secrets(home.secrets_file)
        secrets.ensure(FIRST_SECRETS)
        names = list(Ports.model_fields)
        given = Ports(**dict(zip(names, ports.choose(len(names)), strict=True)))
        try:
            kafka.start(home, given, files.kafka, secrets, Startup(make=drafts[0]))
            kafka.wait_ready(home, given, secrets)
            kafka.grant_registry(given, secrets)
            registry.start(home, given, files.registry, secrets, Startup(make=drafts[1]))
            registry.wait_ready(home, given)
        finally:
            with ThreadPoolExecutor(2) as pool:
                for server in (registry.server(home), kafka.server(home)):
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
