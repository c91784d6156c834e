"""A lock that one process of an installation may hold; another one gets an error at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from infra.errors import OperatorError


@contextmanager
def exclusive(file: Path, if_held: str) -> Iterator[None]:
    """Hold the lock of `file`. Raise OperatorError with the sentence `if_held` where another process holds it."""
    lock = FileLock(file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise OperatorError(if_held) from None
    try:
        yield
    finally:
        lock.release()
