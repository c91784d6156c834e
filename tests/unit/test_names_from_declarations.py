"""Code takes the names of systems from their declarations, so a new system needs no change elsewhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.systems import SYSTEMS

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
FOLDERS = ("streams", "processors", "connectors", "infra")
#: The reference model and the synthetic city describe the systems a second time; the demo shows some of them.
EXCLUDED = (ROOT / "infra" / "verification", ROOT / "infra" / "demo")

#: File and literal that may equal the ID of a system, with the reason.
ALLOWED = {
    ("connectors/juki_cs/source.py", "juki"): "prefix of the names of the files, juki_<municipality>.csv",
    ("infra/cli.py", "clock"): "name of a command, as those of others",
    ("processors/fan_out/partition_clock.py", "clock"): "name of a state store of fan-out",
    ("processors/fan_out/processor.py", "clock"): "name of a state store of fan-out",
    ("infra/ingest/cli.py", "juki-cs"): "name of a command of `mesh ingest`, on which users rely",
}


def files() -> list[Path]:
    """Return the Python files to which the rule applies."""
    return [
        path
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not any(path.is_relative_to(excluded) for excluded in EXCLUDED)
    ]


def system_literals(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and value of each string literal that equals the ID of a system."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in SYSTEMS:
            yield node.lineno, node.value


def test_no_code_names_a_system() -> None:
    """No string literal outside the declarations equals the ID of a system, except the allowed ones."""
    literals = [
        (str(path.relative_to(ROOT)), line, literal)
        for path in files()
        for line, literal in system_literals(path.read_text(encoding="utf-8"))
    ]
    assert [each for each in literals if (each[0], each[2]) not in ALLOWED] == []


def test_every_exception_is_needed() -> None:
    """An exception that no file needs any more is removed from the list."""
    for path, literal in ALLOWED:
        literals = {value for _, value in system_literals((ROOT / path).read_text(encoding="utf-8"))}
        assert literal in literals, f"{path} has no literal {literal!r}: remove the exception"


@pytest.mark.parametrize(
    "source", ['x = "portal"', 'f(system="juki-cs")', 'TOPICS = {"child": 1}', 'x == "operator" or y']
)
def test_the_search_detects_a_literal(source: str) -> None:
    """The search finds a literal wherever it is in an expression."""
    assert list(system_literals(source))
