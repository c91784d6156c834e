"""Text from outside stays text in every output, and no module has an output of its own."""

from __future__ import annotations

import ast
import html
import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.progress import Progress

from infra.printing import console, html_text, json_text, printable, table, text_column
from schemas.characters import HIDDEN, HIDDEN_RE2

ROOT = Path(__file__).parents[3]
#: Folders whose output reaches people: terminals, and the pages of the demo, of chaos and of the benchmark.
FOLDERS = ("infra", "tests/chaos", "tests/bench")
PRINTING = ROOT / "infra" / "printing.py"
#: What may be called of the libraries of output elsewhere: it shows no text of its own.
HARMLESS = frozenset({"Progress", "BarColumn", "DownloadColumn", "TimeElapsedColumn", "MofNCompleteColumn"})
LIBRARIES = frozenset({"rich", "html"})

BYPASSING = frozenset(
    {("typer", "echo"), ("typer", "secho"), ("rich", "print"), ("html", "escape"), ("Text", "from_markup")}
)


def bypasses(source: str) -> Iterator[str]:
    """Yield the calls by which a module prints, or makes markup or HTML, without `infra.printing`."""
    tree = ast.parse(source)
    imported = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in LIBRARIES
        for alias in node.names
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name, owner = _called(node.func)
        original = imported.get(name) if owner is None else None
        if original == "Live":
            if all(keyword.arg != "console" for keyword in node.keywords):
                yield f"line {node.lineno}: Live without a console"
        elif (original and original not in HARMLESS) or (owner, name) in BYPASSING:
            yield f"line {node.lineno}: {name}"


def _called(function: ast.expr) -> tuple[str, str | None]:
    """Return the name that is called, and the name before its dot."""
    if isinstance(function, ast.Attribute):
        return function.attr, function.value.id if isinstance(function.value, ast.Name) else ""
    return (function.id, None) if isinstance(function, ast.Name) else ("", "")


MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if path != PRINTING)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_output_goes_through_one_module(path: Path) -> None:
    """Tables, lines and pages elsewhere would show text from outside as markup, or pass control characters on."""
    assert list(bypasses(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import typer\ntyper.echo('x')",
        "from rich.table import Table\nTable('x')",
        "from rich.console import Console as C\nC().print('x')",
        "from rich.progress import TextColumn\nTextColumn('x')",
        "from rich.live import Live\nLive('x')",
        "from html import escape\nescape('x')",
        "import html\nhtml.escape('x')",
        "from rich import print\nprint('x')",
    ],
)
def test_the_search_finds_an_output_of_its_own(source: str) -> None:
    """However it is imported."""
    assert list(bypasses(source))


@given(st.text())
def test_printed_text_has_no_hidden_character_and_keeps_all_others(text: str) -> None:
    """Lone surrogates included, which no terminal can show."""
    shown = printable(text)
    assert not HIDDEN.search(shown)
    assert shown.encode().decode() == shown
    assert shown == text or HIDDEN.search(text)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]))
    )
)
def test_json_means_what_it_meant(document: dict[str, str]) -> None:
    """Escapes are JSON's own; indented or not."""
    for indent in (False, True):
        text = json_text(document, indent=indent)
        assert json.loads(text) == document
        assert not HIDDEN.search(text.replace("\n", ""))


@given(st.text())
def test_html_has_neither_tags_nor_hidden_characters(text: str) -> None:
    """As content or as the value of an attribute."""
    shown = html_text(text)
    assert not set("<>\"'") & set(shown)
    assert html.unescape(shown) == printable(text)


def test_a_table_and_a_progress_bar_take_no_text_as_markup() -> None:
    """Neither tags nor names of emoji; None is an empty cell."""
    terminal = console(width=80)
    with terminal.capture() as capture:
        terminal.print(table(("a",), [("[/x][bold]:smile:",), (None,)], title="[/y]"))
        terminal.print("[/z]")
    assert "[/x][bold]:smile:" in capture.get()
    assert "[/y]" in capture.get()
    assert "[/z]" in capture.get()
    column = text_column("{task.description}")
    bars = Progress(column, console=terminal)
    bars.add_task("[/x]")
    assert column.render(bars.tasks[0]).plain == "[/x]"


def test_every_control_and_format_character_is_hidden() -> None:
    """By Unicode's categories; variation selectors are not hidden, and RE2 and Python agree on every character."""
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
    hidden = [character for character in characters if HIDDEN.match(character)]
    by_category = {c for c in characters if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp"}}
    assert by_category <= set(hidden)
    assert not {chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))} & set(hidden)
    in_re2 = pc.match_substring_regex(pa.array(characters), f"[{HIDDEN_RE2}]")
    assert pa.array(characters).filter(in_re2).to_pylist() == hidden
