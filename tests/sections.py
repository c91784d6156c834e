"""Generated sections of documents, each between two markers."""

from __future__ import annotations

from pathlib import Path


def replace_section(document: Path, section: str) -> None:
    """Replace the section of `document` that has the same first and last line as `section`."""
    begin, _, _ = section.partition("\n")
    end = section.rpartition("\n")[2]
    text = document.read_text("utf-8")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    document.write_text(f"{before}{section}{after}", "utf-8")
