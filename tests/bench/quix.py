"""Quix Streams, fetched into an environment of its own below build/, by hash: never a dependency of the project."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

from tests.bench.sizes import Say

LOCK: Final = Path(__file__).with_name("quix.lock")
TIMEOUT_S: Final = 300.0


class MissingError(Exception):
    """The other side can't be had here; says why."""


def python(folder: Path, say: Say) -> Path:
    """The interpreter of an environment that has it; made where it isn't yet. MissingError."""
    home = folder / "quix"
    interpreter, ready = home / "bin" / "python", home / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    if ready.exists():
        return interpreter
    say("fetching Quix Streams …")
    venv.create(home, clear=True, with_pip=False)
    uv = Path(sys.executable).with_name("uv")
    command: list[str | Path] = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--python",
        interpreter,
        "--require-hashes",
        "--no-deps",
        "-r",
        LOCK,
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingError(f"Quix Streams could not be fetched ({type(error).__name__})") from None
    ready.touch()
    return interpreter
