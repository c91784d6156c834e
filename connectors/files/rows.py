"""Rows of CSV (RFC 4180), one a line: a quotation mark that isn't closed spoils its own row only."""

from __future__ import annotations

import csv


def columns_of(text: str) -> list[str] | None:
    """The columns of a row; None where its quotation marks don't fit together."""
    if '"' not in text:
        return text.split(",")
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None
