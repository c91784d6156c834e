"""Code that a replay or a retry runs again uses no clock and no random number; and no file is too long."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
FOLDERS = ("streams", "schemas", "connectors", "processors", "infra", "tests")
PURE_FOLDERS = ("processors", "schemas")
LINES_MAX = 400

#: Modules for time, random numbers, and the world outside the process.
MODULES = frozenset({"time", "random", "secrets", "uuid", "socket", "subprocess", "zoneinfo"})
#: Attributes by their last two names, because `datetime.now` is a clock in whatever module it is.
CALLS = frozenset(
    {
        *(("datetime", name) for name in ("now", "utcnow", "today")),
        ("date", "today"),
        *(("os", name) for name in ("urandom", "getrandom", "getpid", "environ", "getenv")),
        ("AESSIV", "generate_key"),
    }
)
#: Functions for time and random numbers that can be imported from other modules.
NAMES = frozenset(
    {"urandom", "getrandom", "uuid1", "uuid4", "token_bytes", "token_hex", "perf_counter", "monotonic"}
)


def files(folders: tuple[str, ...]) -> list[Path]:
    """Return the Python files of these folders."""
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def impurities(tree: ast.AST) -> Iterator[str]:
    """Yield each import or use of a clock or of random numbers, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names if alias.name.split(".")[0] in MODULES}
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".")[0]
            imported = {alias.name for alias in node.names}
            names = imported if module in MODULES else imported & NAMES
        elif isinstance(node, ast.Attribute):
            owner = (
                node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            )
            names = {node.attr} if (owner, node.attr) in CALLS or node.attr in NAMES else set()
        else:
            continue
        yield from (f"line {getattr(node, 'lineno', 0)}: {name}" for name in names)


@pytest.mark.parametrize("path", files(PURE_FOLDERS), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_clock_and_no_random_numbers(path: Path) -> None:
    """A replay computes the same values, and a retried transaction the same records."""
    assert list(impurities(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import random as chance",
        "from time import monotonic",
        "from os import urandom",
        "import os\nos.urandom(8)",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import date\ndate.today()",
        "import numpy as np\nx = np.random; from uuid import uuid4",
    ],
)
def test_the_search_detects_an_impurity(source: str) -> None:
    """The search finds clocks and random numbers, however they are imported."""
    assert list(impurities(ast.parse(source)))


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_file_is_too_long(folder: str) -> None:
    """A file of more than 400 lines does more than one thing and must be divided."""
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in files((folder,))
    }
    assert lengths
    assert {name: length for name, length in lengths.items() if length > LINES_MAX} == {}
