"""Folders and files of the local stack: one folder per installation (MESH_HOME), one cache per user."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from filelock import FileLock
from pydantic import AnyHttpUrl, BaseModel, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.errors import HomeError

CACHE_NAME = "public-service-mesh"
#: Longer than the slowest first start, because a second command waits for the first.
LOCK_TIMEOUT_S = 600.0
STATE_FILE = "stack.json"
#: Names of the ports that an installation has once, independent of the number of brokers.
SINGLE_PORTS = ("kafka", "controller", "registry", "registry_management", "postgres")
LOCK_FILE = ".lock"


class LocalSettings(BaseSettings):
    """Settings of the local stack, from MESH_HOME and MESH_MAVEN_REPOSITORY."""

    model_config = SettingsConfigDict(env_prefix="MESH_", frozen=True)

    home: Path = Field(
        default=Path(".mesh"), description="Folder of this installation: data, secrets, keys and logs."
    )
    maven_repository: AnyHttpUrl | None = Field(
        default=None,
        description="Maven repository of the servers' files, in place of the public one.",
    )


class BrokerPorts(BaseModel, frozen=True):
    """Ports of one broker."""

    client: int
    controller: int


class Tunnel(BaseModel, frozen=True):
    """A broker's second listener on `port`; it advertises port `advertised`, where a proxy forwards to `port`."""

    port: int
    advertised: int


class Ports(BaseModel, frozen=True):
    """Ports on 127.0.0.1, chosen at the first start. `kafka` and `controller` are those of the first broker."""

    kafka: int
    controller: int
    registry: int
    registry_management: int
    postgres: int
    more_brokers: tuple[BrokerPorts, ...] = ()
    #: One per broker, or none.
    tunnels: tuple[Tunnel, ...] = ()

    @property
    def brokers(self) -> tuple[BrokerPorts, ...]:
        """The ports of every broker, in order."""
        return (BrokerPorts(client=self.kafka, controller=self.controller), *self.more_brokers)

    def by_name(self) -> dict[str, int]:
        """Return all ports by name; those of further brokers are `kafka-2`, `controller-2`, tunnels `tunnel-1`."""
        single = {name: getattr(self, name) for name in SINGLE_PORTS}
        brokers = dict(enumerate(self.more_brokers, start=2))
        return (
            single
            | {f"kafka-{number}": broker.client for number, broker in brokers.items()}
            | {f"controller-{number}": broker.controller for number, broker in brokers.items()}
            | {f"tunnel-{number}": tunnel.port for number, tunnel in enumerate(self.tunnels, start=1)}
        )

    def with_ports(self, changed: Mapping[str, int]) -> Ports:
        """Return these ports with some replaced by name."""
        ports = {**self.by_name(), **changed}
        return Ports(
            **{name: ports[name] for name in SINGLE_PORTS},
            more_brokers=tuple(
                BrokerPorts(client=ports[f"kafka-{number}"], controller=ports[f"controller-{number}"])
                for number in range(2, len(self.brokers) + 1)
            ),
            tunnels=tuple(
                Tunnel(port=ports[f"tunnel-{number}"], advertised=tunnel.advertised)
                for number, tunnel in enumerate(self.tunnels, start=1)
            ),
        )


class StackState(BaseModel, frozen=True):
    """What the first start chose and later starts need."""

    ports: Ports
    #: PostgreSQL's folder: in the home, or elsewhere if its user can't enter the home (`postgres_server.data_folder`).
    postgres: Path
    #: Whether the registry's user has its ACLs in Kafka.
    registry_granted: bool = False
    #: The ID of the Kafka cluster; empty for an installation of an earlier release, whose broker's storage has it.
    cluster_id: str = ""


class Home:
    """The folder of one installation. `make` creates it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.logs = self.folder / "logs"
        self.kafka = self.folder / "kafka"
        self.registry = self.folder / "registry"
        self.secrets_file = self.folder / "secrets.json"

    @classmethod
    def of_settings(cls) -> Home:
        """Return the home in MESH_HOME, by default `.mesh` in the current folder."""
        return cls(LocalSettings().home)

    def make(self) -> None:
        """Create the folders. Raise HomeError where the folder contains other files, because `reset` deletes all of it.

        For root the folder is open to others, because PostgreSQL then runs as another user and must enter it.
        """
        foreign = not self.state_exists() and self.folder.is_dir() and self._is_in_use()
        if foreign:
            raise HomeError(
                f"MESH_HOME {self.folder} contains files of other programs; set MESH_HOME to another folder"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o755 if os.geteuid() == 0 else 0o700)
            for part in (self.logs, self.kafka, self.registry):
                part.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise HomeError(
                f"MESH_HOME {self.folder} can't be used ({error.strerror}); set MESH_HOME to another folder"
            ) from error

    def broker(self, number: int) -> Path:
        """Return the folder of a broker; the first has number 1."""
        return self.kafka if number == 1 else self.folder / f"{self.kafka.name}-{number}"

    def lock(self) -> FileLock:
        """Return the lock that a process must hold to start or stop servers here."""
        if not self.folder.is_dir():
            self.make()
        return FileLock(self.folder / LOCK_FILE, timeout=LOCK_TIMEOUT_S)

    def state_exists(self) -> bool:
        """Return whether a stack was ever set up here."""
        return (self.folder / STATE_FILE).is_file()

    def state(self) -> StackState:
        """Return what the first start chose. Raise HomeError where there was none, or the file is damaged."""
        try:
            return StackState.model_validate_json((self.folder / STATE_FILE).read_bytes())
        except FileNotFoundError:
            raise HomeError(f"there is no local stack in {self.folder}: run `mesh local up`") from None
        except ValueError as error:
            raise HomeError(
                f"{self.folder / STATE_FILE} is damaged: delete everything with `mesh local reset --yes`"
            ) from error

    def save_state(self, state: StackState) -> None:
        """Write `state` atomically."""
        write_private(self.folder / STATE_FILE, state.model_dump_json(indent=1).encode())

    def _is_in_use(self) -> bool:
        # A start that ended before it wrote its state has left empty folders and the lock.
        created_by_start = {LOCK_FILE, self.logs.name, self.kafka.name, self.registry.name, "run"}
        return any(
            entry.name not in created_by_start and not entry.name.startswith(f"{self.kafka.name}-")
            for entry in self.folder.iterdir()
        )


def cache_folder() -> Path:
    """Return the mesh's folder in the user's cache, which is $XDG_CACHE_HOME or ~/.cache."""
    xdg_cache = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(xdg_cache) if xdg_cache.startswith("/") else Path.home() / ".cache"
    return base / CACHE_NAME


def clear_drafts(folder: Path) -> None:
    """Delete the drafts of a killed start. The caller holds the home's lock, so no other process uses them."""
    for leftover in folder.glob("draft-*"):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def write_private(file: Path, content: bytes) -> None:
    """Write `file` atomically, readable by its owner only."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


def write_json(file: Path, content: Any) -> None:
    """Write `content` as JSON atomically, readable by its owner only."""
    write_private(file, orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
