r"""Output for people: lines, tables, JSON and HTML in which text from outside stays text.

File names, reasons and numbers come from outside. In no output are they markup, and hidden characters
(`schemas.characters`) are shown as escapes: an escape character as `\x1b`, a change of direction as `\u202e`. Every
command prints through these functions; a test finds the modules that don't.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson
import typer
from rich.console import Console
from rich.progress import TextColumn
from rich.table import Table
from rich.text import Text

from schemas.characters import HIDDEN

#: Columns of text where standard output is not a terminal: a table that no window shows need not fit one.
WIDTH: Final = 200


def printable(text: object) -> str:
    r"""Return the text with an escape for each hidden character, line ends included; backslashes stay as they are."""
    return HIDDEN.sub(_python_escape, str(text))


def html_text(text: object) -> str:
    """Return the text for an HTML or SVG page, as content or as the value of an attribute."""
    return html.escape(printable(text))


def json_text(document: Any, *, indent: bool = False) -> str:
    r"""Return a document as JSON of the same meaning, in which hidden characters are `\u` escapes; line ends stay.

    Text that UTF-8 can't encode (lone surrogates) raises TypeError, as orjson does.
    """
    encoded = orjson.dumps(document, option=orjson.OPT_INDENT_2 if indent else None).decode()
    return "\n".join(HIDDEN.sub(_json_escape, line) for line in encoded.split("\n"))


def say(*lines: object, err: bool = False) -> None:
    """Print lines, with escapes, to standard output or to standard error."""
    for line in lines:
        typer.echo(printable(line), err=err)


def say_json(document: Any, *, indent: bool = False) -> None:
    """Print a document as JSON: on one line, or indented."""
    typer.echo(json_text(document, indent=indent))


def console(*, err: bool = False, width: int | None = None) -> Console:
    """Return a console that takes no text as markup or as the name of an emoji."""
    return Console(stderr=err, width=width, markup=False, emoji=False, highlight=False)


def wide_console() -> Console:
    """Return a console for standard output that is WIDTH columns wide where it isn't a terminal."""
    terminal = console()
    return terminal if terminal.is_terminal else console(width=WIDTH)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> Table:
    """Return a table; None in a cell is empty. Without columns' names it has no header."""
    built = Table(*columns, title=title, show_header=bool(columns))
    for row in rows:
        built.add_row(*(Text("" if cell is None else printable(cell)) for cell in row))
    return built


def text_column(template: str) -> TextColumn:
    """Return a column of a progress bar, whose description is no markup."""
    return TextColumn(template, markup=False)


def _python_escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _json_escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
