"""Quix Streams, installed by hash into an environment of its own in build/: it is no dependency of the project."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

from tests.bench.sizes import Progress

LOCK: Final = Path(__file__).with_name("quix.lock")
TIMEOUT_S: Final = 300.0


class UnavailableError(Exception):
    """Quix Streams isn't available here, for the reason in the message."""


def install(folder: Path, progress: Progress) -> Path:
    """Return the interpreter of an environment with Quix Streams, created if necessary.

    Raise UnavailableError if it can't be fetched.
    """
    home = folder / "quix"
    interpreter, ready = home / "bin" / "python", home / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    if ready.exists():
        return interpreter
    progress("fetching Quix Streams …")
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
        raise UnavailableError(f"Quix Streams could not be fetched ({type(error).__name__})") from None
    ready.touch()
    return interpreter
