"""Sections of documents that a command writes, each between two marks."""

from __future__ import annotations

from pathlib import Path


def put(document: Path, section: str) -> None:
    """Puts a section, from the mark that it begins with to the one it ends with, in place of the one before."""
    begin, _, _ = section.partition("\n")
    end = section.rpartition("\n")[2]
    text = document.read_text("utf-8")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    document.write_text(f"{before}{section}{after}", "utf-8")
