"""What may be run again on the same input asks no clock and no chance; and no file outgrows its reader."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
PARTS = ("streams", "schemas", "connectors", "processors", "infra", "tests")
PURE = ("processors", "schemas")
LINES_MAX = 400

#: Modules that are nothing but clock, chance or the world outside.
MODULES = frozenset({"time", "random", "secrets", "uuid", "socket", "subprocess", "zoneinfo"})
#: Calls by the last two names: of whatever module, `datetime.now` is a clock.
CALLS = frozenset(
    {
        *(("datetime", name) for name in ("now", "utcnow", "today")),
        ("date", "today"),
        *(("os", name) for name in ("urandom", "getrandom", "getpid", "environ", "getenv")),
        ("AESSIV", "generate_key"),
    }
)
#: Functions of clock and chance that come in by other ways.
NAMES = frozenset(
    {"urandom", "getrandom", "uuid1", "uuid4", "token_bytes", "token_hex", "perf_counter", "monotonic"}
)


def modules(parts: tuple[str, ...]) -> list[Path]:
    return [path for part in parts for path in sorted((ROOT / part).rglob("*.py"))]


def impure(tree: ast.AST) -> Iterator[str]:
    """Each import or use of a clock or of chance, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = {alias.name for alias in node.names if alias.name.split(".")[0] in MODULES}
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".")[0]
            names = {alias.name for alias in node.names}
            found = names if module in MODULES else names & NAMES
        elif isinstance(node, ast.Attribute):
            owner = (
                node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            )
            found = {node.attr} if (owner, node.attr) in CALLS or node.attr in NAMES else set()
        else:
            continue
        yield from (f"line {getattr(node, 'lineno', 0)}: {name}" for name in found)


@pytest.mark.parametrize("path", modules(PURE), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_clock_and_no_chance(path: Path) -> None:
    """A replay gives the same values, and a transaction that is tried again the same records."""
    assert list(impure(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "text",
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
def test_the_search_finds_them(text: str) -> None:
    """Whichever way they come in."""
    assert list(impure(ast.parse(text)))


@pytest.mark.parametrize("part", PARTS)
def test_no_module_is_too_long(part: str) -> None:
    """Over 400 lines a file holds more than one thing."""
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in modules((part,))}
    assert lengths
    assert {name: length for name, length in lengths.items() if length > LINES_MAX} == {}
