"""Where the local stack keeps what: one folder per installation (MESH_HOME), one cache per user."""

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

from infra.local.errors import HomeError

CACHE_NAME = "public-service-mesh"
#: Longer than the slowest first start: whoever comes second waits for whoever came first.
LOCK_TIMEOUT_S = 600.0
STATE_FILE = "stack.json"
#: Ports of which an installation has one, whatever its number of brokers.
SINGLE_PORTS = ("kafka", "controller", "registry", "registry_management", "postgres")
LOCK_FILE = ".lock"


class LocalSettings(BaseSettings):
    """Settings of the local stack, from MESH_HOME and MESH_MAVEN_REPOSITORY."""

    model_config = SettingsConfigDict(env_prefix="MESH_", frozen=True)

    home: Path = Field(
        default=Path(".mesh"), description="Where this installation keeps data, secrets, keys and logs."
    )
    maven_repository: AnyHttpUrl | None = Field(
        default=None,
        description="Where the local stack's artifacts come from, in place of the public repository.",
    )


class BrokerPorts(BaseModel, frozen=True):
    """Ports of one broker."""

    client: int
    controller: int


class Tunnel(BaseModel, frozen=True):
    """A broker's second listener: who comes by it is told of `advertised`, where something leads back to `port`."""

    port: int
    advertised: int


class Ports(BaseModel, frozen=True):
    """Ports on 127.0.0.1, chosen at the first start and kept. `kafka` and `controller` are the first broker's."""

    kafka: int
    controller: int
    registry: int
    registry_management: int
    postgres: int
    more_brokers: tuple[BrokerPorts, ...] = ()
    #: One for each broker, or none.
    tunnels: tuple[Tunnel, ...] = ()

    @property
    def brokers(self) -> tuple[BrokerPorts, ...]:
        """Every broker's, the first one's first."""
        return (BrokerPorts(client=self.kafka, controller=self.controller), *self.more_brokers)

    def named(self) -> dict[str, int]:
        """Every port that a server listens on; those of further brokers as `kafka-2`, `controller-2`, `tunnel-2`."""
        single = {name: getattr(self, name) for name in SINGLE_PORTS}
        brokers = dict(enumerate(self.more_brokers, start=2))
        return (
            single
            | {f"kafka-{number}": each.client for number, each in brokers.items()}
            | {f"controller-{number}": each.controller for number, each in brokers.items()}
            | {f"tunnel-{number}": each.port for number, each in enumerate(self.tunnels, start=1)}
        )

    def moved(self, to: Mapping[str, int]) -> Ports:
        """The same, but for these ports by their names."""
        named = {**self.named(), **to}
        return Ports(
            **{name: named[name] for name in SINGLE_PORTS},
            more_brokers=tuple(
                BrokerPorts(client=named[f"kafka-{number}"], controller=named[f"controller-{number}"])
                for number in range(2, len(self.brokers) + 1)
            ),
            tunnels=tuple(
                Tunnel(port=named[f"tunnel-{number}"], advertised=each.advertised)
                for number, each in enumerate(self.tunnels, start=1)
            ),
        )


class StackState(BaseModel, frozen=True):
    """What a later start must know of the first one."""

    ports: Ports
    #: PostgreSQL's folder: below the home, or elsewhere where its user can't reach that (`postgres.place`).
    postgres: Path
    #: Whether the registry's user has its rights in Kafka.
    registry_granted: bool = False
    #: What brokers know each other by; empty for a broker of an earlier release, which knows its own.
    cluster_id: str = ""


class Home:
    """The folder of one installation. Nothing is made before `make`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.logs = self.folder / "logs"
        self.kafka = self.folder / "kafka"
        self.registry = self.folder / "registry"
        self.secrets_file = self.folder / "secrets.json"

    @classmethod
    def of_settings(cls) -> Home:
        """The home that MESH_HOME names, `.mesh` here by default."""
        return cls(LocalSettings().home)

    def make(self) -> None:
        """Make the folder. HomeError where it is somebody else's: `reset` must never delete what isn't ours.

        PostgreSQL runs as another user where we are root, and must be able to pass through.
        """
        foreign = not self.state_exists() and self.folder.is_dir() and self._holds_anything()
        if foreign:
            raise HomeError(f"MESH_HOME {self.folder} is not empty and not of the mesh; name another folder")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o755 if os.geteuid() == 0 else 0o700)
            for part in (self.logs, self.kafka, self.registry):
                part.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise HomeError(f"MESH_HOME {self.folder} can't be used: {error.strerror}") from error

    def broker(self, number: int) -> Path:
        """The folder of a broker; they count from 1."""
        return self.kafka if number == 1 else self.folder / f"{self.kafka.name}-{number}"

    def lock(self) -> FileLock:
        """Held by whoever changes what runs here."""
        if not self.folder.is_dir():
            self.make()
        return FileLock(self.folder / LOCK_FILE, timeout=LOCK_TIMEOUT_S)

    def state_exists(self) -> bool:
        """Whether a stack was ever set up here."""
        return (self.folder / STATE_FILE).is_file()

    def state(self) -> StackState:
        """What the first start chose. HomeError: nothing was ever set up here, or the file is damaged."""
        try:
            return StackState.model_validate_json((self.folder / STATE_FILE).read_bytes())
        except FileNotFoundError:
            raise HomeError(f"no stack in {self.folder}: mesh local up") from None
        except ValueError as error:
            raise HomeError(f"{self.folder / STATE_FILE} is damaged: mesh local reset --yes") from error

    def remember(self, state: StackState) -> None:
        """Keep `state`, whole or not at all."""
        write_private(self.folder / STATE_FILE, state.model_dump_json(indent=1).encode())

    def _holds_anything(self) -> bool:
        # A start that ended before its first state left empty folders and the lock; those are ours.
        ours = {LOCK_FILE, self.logs.name, self.kafka.name, self.registry.name, "run"}
        return any(
            entry.name not in ours and not entry.name.startswith(f"{self.kafka.name}-")
            for entry in self.folder.iterdir()
        )


def cache_folder() -> Path:
    """The user's cache: $XDG_CACHE_HOME or ~/.cache, and our folder in it."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(given) if given.startswith("/") else Path.home() / ".cache"
    return base / CACHE_NAME


def clear_drafts(folder: Path) -> None:
    """Remove what a start that was killed left half made; whoever holds the home's lock knows nobody is using it."""
    for leftover in folder.glob("draft-*"):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def write_private(file: Path, content: bytes) -> None:
    """Write `file` for its owner's eyes only, whole or not at all."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


def write_json(file: Path, content: Any) -> None:
    """`content` as JSON, for its owner's eyes only, whole or not at all."""
    write_private(file, orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
