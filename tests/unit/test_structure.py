"""Names say what is where: one module name for one module, one class name for one class."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "streams", "processors", "connectors", "infra")
#: Every processor, source, sink or command line has these parts, so a reader looks for them by folder.
ANATOMY = frozenset(
    {"__init__", "__main__", "cli", "errors", "processor", "settings", "sink", "source", "worker"}
)
#: The reference model and the synthetic city share no code with the product, so they have words of their own.
VERIFICATION = ROOT / "infra" / "verification"
LINES_MAX = 400


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from (ROOT / package).rglob("*.py")


def test_a_module_name_occurs_once() -> None:
    """A module's name is enough to find it."""
    paths = defaultdict(list)
    for path in modules():
        if path.stem not in ANATOMY:
            paths[path.stem].append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in paths.items() if len(found) > 1} == {}


def test_a_class_name_occurs_once() -> None:
    """A name in a traceback or a review means one class; private classes of a module don't count."""
    places = defaultdict(list)
    for path in modules():
        if VERIFICATION in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_module_is_longer_than_a_reader_keeps_in_mind() -> None:
    """At most `LINES_MAX` lines, tests included."""
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (*modules(), *(ROOT / "tests").rglob("*.py"))
        if (lines := len(path.read_text("utf-8").splitlines())) > LINES_MAX
    }
    assert long == {}
